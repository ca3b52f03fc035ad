//! `/api/ota/firmware` and the files under `/firmware`.

pub mod delete;
pub mod download;
pub mod get;
pub mod latest;
pub mod list;
pub mod release;
pub mod status;
pub mod upload;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::{
    domain::{DEVICE_TYPE_DEFAULT, Firmware, FirmwareStatus},
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
    pub release_date: Option<DateTime<Utc>>,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
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
        FirmwareDto {
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
