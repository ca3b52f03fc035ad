//! `/api/ota/firmware` and the files under `/firmware`.

pub mod delete;
pub mod download;
pub mod get;
pub mod latest;
pub mod list;
pub mod release;
pub mod release_package;
pub mod status;
pub mod upload;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::{
    domain::{BundlePart, DEVICE_TYPE_DEFAULT, Firmware, FirmwareStatus, Signer},
    service::Service,
};

/// A firmware.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Firmware)]
pub struct FirmwareDto {
    /// SemVer 2.0.
    #[schema(examples("1.0.2"))]
    pub version: String,
    #[schema(examples("gateway_v1.0.2.bin"))]
    pub file_name: String,
    pub file_url: String,
    /// Bytes.
    pub file_size: i64,
    /// Lower-case hex.
    pub md5: String,
    /// Lower-case hex.
    pub sha256: String,
    #[schema(examples("gateway"))]
    pub device_type: String,
    pub description: String,
    /// Markdown.
    pub changelog: String,
    pub status: FirmwareStatusDto,
    pub force_upgrade: bool,
    /// The lowest version from which it may be installed.
    pub min_version: Option<String>,
    /// Of a signed bundle, like all until `parts`; a plain image has none of them. `firmware`,
    /// `web` or `firmware+web`; or `package`, which has `signedBy` and the URLs besides.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(examples("firmware+web"))]
    pub kind: Option<&'static str>,
    /// The board it is for.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(examples("esp32-wroom"))]
    pub target: Option<String>,
    /// Grows with each release of the device type.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub release_counter: Option<i64>,
    /// Devices that run a later release take it all the same.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub allow_rollback: Option<bool>,
    /// After it no device begins the update; null: it never expires.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<DateTime<Utc>>)]
    pub expires_at: Option<Option<DateTime<Utc>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub built_at: Option<DateTime<Utc>>,
    /// The trusted key; null: it was taken in while none was.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<SignerDto>)]
    pub signed_by: Option<Option<SignerDto>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    /// Of a package: its `content.json`.
    pub manifest_url: Option<String>,
    /// The detached OpenPGP signature of what `manifestUrl` names.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub signature_url: Option<String>,
    /// The first is the file that the fields above describe.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parts: Option<Vec<PartDto>>,
    /// The package for Linux devices that it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub package: Option<PackageOriginDto>,
    pub release_date: Option<DateTime<Utc>>,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
}

/// The package that a firmware is; its version is the firmware's.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = PackageOrigin)]
pub struct PackageOriginDto {
    #[schema(examples("app"))]
    pub name: String,
    #[schema(examples("main"))]
    pub branch: String,
    /// Since when the branch's head is below it: it is sent to nobody.
    pub withdrawn_at: Option<DateTime<Utc>>,
}

/// A key of the folder of trusted keys.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Signer)]
pub struct SignerDto {
    /// The name of its file.
    #[schema(examples("release-2026"))]
    pub name: String,
    /// Upper-case hex.
    pub fingerprint: String,
}

/// A file of a bundle that goes into the flash.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Part)]
pub struct PartDto {
    #[schema(examples("firmware.bin"))]
    pub name: String,
    /// `app`, the slot that does not run, or a partition's label.
    #[schema(examples("app"))]
    pub partition: String,
    pub url: String,
    /// Bytes.
    pub size: i64,
    /// Lower-case hex.
    pub sha256: String,
    /// Lower-case hex.
    pub md5: String,
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(as = FirmwareStatus)]
pub enum FirmwareStatusDto {
    Draft,
    Testing,
    Released,
    Deprecated,
}

impl From<FirmwareStatus> for FirmwareStatusDto {
    fn from(status: FirmwareStatus) -> Self {
        match status {
            FirmwareStatus::Draft => FirmwareStatusDto::Draft,
            FirmwareStatus::Testing => FirmwareStatusDto::Testing,
            FirmwareStatus::Released => FirmwareStatusDto::Released,
            FirmwareStatus::Deprecated => FirmwareStatusDto::Deprecated,
        }
    }
}

impl From<FirmwareStatusDto> for FirmwareStatus {
    fn from(status: FirmwareStatusDto) -> Self {
        match status {
            FirmwareStatusDto::Draft => FirmwareStatus::Draft,
            FirmwareStatusDto::Testing => FirmwareStatus::Testing,
            FirmwareStatusDto::Released => FirmwareStatus::Released,
            FirmwareStatusDto::Deprecated => FirmwareStatus::Deprecated,
        }
    }
}

impl FirmwareDto {
    pub fn new(service: &Service, firmware: Firmware) -> Self {
        let bundle = firmware.bundle.as_ref();
        let package = firmware.package.as_ref();
        let signer = |signer: &Option<Signer>| signer.clone().map(SignerDto::from);
        FirmwareDto {
            kind: firmware.kind(),
            target: bundle.map(|it| it.target.clone()),
            release_counter: bundle.map(|it| it.release_counter),
            allow_rollback: bundle.map(|it| it.allow_rollback),
            expires_at: bundle.map(|it| it.expires_at),
            built_at: bundle.map(|it| it.built_at),
            signed_by: match package {
                Some(package) => Some(signer(&package.signed_by)),
                None => bundle.map(|it| signer(&it.signed_by)),
            },
            manifest_url: service.manifest_url(&firmware),
            signature_url: service.signature_url(&firmware),
            package: package.map(|it| PackageOriginDto {
                name: it.name.clone(),
                branch: it.branch.clone(),
                withdrawn_at: it.withdrawn_at,
            }),
            parts: bundle.map(|it| {
                it.parts
                    .iter()
                    .map(|part| part_dto(service, part))
                    .collect()
            }),
            file_url: service.firmware_url(&firmware),
            version: firmware.version,
            file_name: firmware.file_name,
            file_size: firmware.file_size,
            md5: firmware.md5,
            sha256: firmware.sha256,
            device_type: firmware.device_type,
            description: firmware.description,
            changelog: firmware.changelog,
            status: firmware.status.into(),
            force_upgrade: firmware.force_upgrade,
            min_version: firmware.min_version,
            release_date: firmware.release_date,
            created_at: firmware.created_at,
            updated_at: firmware.updated_at,
        }
    }
}

impl From<Signer> for SignerDto {
    fn from(signer: Signer) -> Self {
        SignerDto {
            name: signer.name,
            fingerprint: signer.fingerprint,
        }
    }
}

fn part_dto(service: &Service, part: &BundlePart) -> PartDto {
    PartDto {
        name: part.name.clone(),
        partition: part.partition.clone(),
        url: service.file_url(&part.file.file_name),
        size: part.file.size,
        sha256: part.file.sha256.clone(),
        md5: part.md5.clone(),
    }
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase")]
#[into_params(parameter_in = Query)]
pub struct DeviceTypeQuery {
    /// Default `gateway`.
    device_type: Option<String>,
}

impl DeviceTypeQuery {
    pub fn device_type(&self) -> &str {
        self.device_type.as_deref().unwrap_or(DEVICE_TYPE_DEFAULT)
    }
}
