use chrono::{DateTime, Utc};
use sqlx::types::Json;
use uuid::Uuid;

use super::{Error, Result, Tx};
use crate::domain::{Admission, Bundle, Candidate, Firmware, FirmwareStatus, PackageOrigin};

macro_rules! columns {
    () => {
        "firmware_id, device_type, version, file_name, file_size, md5, sha256, description, \
         changelog, status, force_upgrade, min_version, bundle, package, release_date, \
         created_at, updated_at"
    };
}

/// Since when the package that a firmware is has been withdrawn.
macro_rules! withdrawn {
    () => {
        "(SELECT p.withdrawn_at FROM packages AS p WHERE p.name = firmwares.package ->> 'name'
          AND p.branch = firmwares.package ->> 'branch' AND p.version = firmwares.version)
         AS package_withdrawn_at"
    };
}

/// What a [`FirmwareRow`] is read from.
macro_rules! read_columns {
    () => {
        concat!(columns!(), ", ", withdrawn!())
    };
}

#[derive(sqlx::FromRow)]
struct FirmwareRow {
    firmware_id: Uuid,
    device_type: String,
    version: String,
    file_name: String,
    file_size: i64,
    md5: String,
    sha256: String,
    description: String,
    changelog: String,
    status: String,
    force_upgrade: bool,
    min_version: Option<String>,
    bundle: Option<Json<Bundle>>,
    package: Option<Json<PackageOrigin>>,
    package_withdrawn_at: Option<DateTime<Utc>>,
    release_date: Option<DateTime<Utc>>,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
}

impl TryFrom<FirmwareRow> for Firmware {
    type Error = Error;

    fn try_from(row: FirmwareRow) -> Result<Firmware> {
        Ok(Firmware {
            status: FirmwareStatus::parse(&row.status).ok_or_else(|| Error::BadRow {
                table: "firmwares",
                column: "status",
                row: row.firmware_id.to_string(),
                value: row.status.clone(),
            })?,
            firmware_id: row.firmware_id,
            device_type: row.device_type,
            version: row.version,
            file_name: row.file_name,
            file_size: row.file_size,
            md5: row.md5,
            sha256: row.sha256,
            description: row.description,
            changelog: row.changelog,
            force_upgrade: row.force_upgrade,
            min_version: row.min_version,
            bundle: row.bundle.map(|bundle| bundle.0),
            package: row.package.map(|Json(package)| PackageOrigin {
                withdrawn_at: row.package_withdrawn_at,
                ..package
            }),
            release_date: row.release_date,
            created_at: row.created_at,
            updated_at: row.updated_at,
        })
    }
}

/// Version, minimum, status, and what speaks for a firmware.
type CandidateRow = (
    String,
    Option<String>,
    String,
    Option<Json<Bundle>>,
    Option<Json<PackageOrigin>>,
    Option<DateTime<Utc>>,
);

/// Which firmwares to list, newest upload first.
#[derive(Clone, Debug)]
pub struct FirmwareFilter {
    pub device_type: Option<String>,
    pub status: Option<FirmwareStatus>,
    /// Only those uploaded before this one.
    pub before: Uuid,
    pub limit: i64,
}

impl Tx {
    /// [`Error::Duplicate`] if the device type has this version already.
    pub async fn insert_firmware(&mut self, firmware: &Firmware) -> Result<()> {
        on!(self, |conn| {
            sqlx::query(concat!(
            "INSERT INTO firmwares (",
            columns!(),
            ", release_counter) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18)"
        ))
        .bind(firmware.firmware_id)
        .bind(&firmware.device_type)
        .bind(&firmware.version)
        .bind(&firmware.file_name)
        .bind(firmware.file_size)
        .bind(&firmware.md5)
        .bind(&firmware.sha256)
        .bind(&firmware.description)
        .bind(&firmware.changelog)
        .bind(firmware.status.as_str())
        .bind(firmware.force_upgrade)
        .bind(&firmware.min_version)
        .bind(firmware.bundle.as_ref().map(Json))
        .bind(firmware.package.as_ref().map(Json))
        .bind(firmware.release_date)
        .bind(firmware.created_at)
        .bind(firmware.updated_at)
        .bind(firmware.bundle.as_ref().map(|bundle| bundle.release_counter))
        .execute(conn)
        .await
        .map(drop)
        })?;
        Ok(())
    }

    pub async fn firmware(&mut self, device_type: &str, version: &str) -> Result<Option<Firmware>> {
        on!(self, |conn| sqlx::query_as::<_, FirmwareRow>(concat!(
            "SELECT ",
            read_columns!(),
            " FROM firmwares WHERE device_type = $1 AND version = $2"
        ))
        .bind(device_type)
        .bind(version)
        .fetch_optional(conn)
        .await)?
        .map(Firmware::try_from)
        .transpose()
    }

    /// Like [`Tx::firmware`]; the row stays locked until the transaction ends.
    pub async fn lock_firmware(
        &mut self,
        device_type: &str,
        version: &str,
    ) -> Result<Option<Firmware>> {
        on_locked!(
            self,
            [
                "SELECT ",
                read_columns!(),
                " FROM firmwares WHERE device_type = $1 AND version = $2"
            ],
            "FOR UPDATE",
            |sql, conn| sqlx::query_as::<_, FirmwareRow>(sql)
                .bind(device_type)
                .bind(version)
                .fetch_optional(conn)
                .await
        )?
        .map(Firmware::try_from)
        .transpose()
    }

    /// The firmware that this file belongs to: its own, or one beside it of its bundle.
    pub async fn firmware_by_file_name(&mut self, file_name: &str) -> Result<Option<Firmware>> {
        on!(self, |conn| sqlx::query_as::<_, FirmwareRow>(concat!(
            "SELECT ",
            read_columns!(),
            " FROM firmwares WHERE file_name = $1 OR firmware_id =
                (SELECT firmware_id FROM bundle_files WHERE file_name = $1)"
        ))
        .bind(file_name)
        .fetch_optional(conn)
        .await)?
        .map(Firmware::try_from)
        .transpose()
    }

    pub async fn firmwares(&mut self, filter: &FirmwareFilter) -> Result<Vec<Firmware>> {
        on!(self, |conn| sqlx::query_as::<_, FirmwareRow>(concat!(
            "SELECT ",
            read_columns!(),
            " FROM firmwares
             WHERE (CAST($1 AS TEXT) IS NULL OR device_type = $1)
               AND (CAST($2 AS TEXT) IS NULL OR status = $2)
               AND firmware_id < $3
             ORDER BY firmware_id DESC LIMIT $4"
        ))
        .bind(&filter.device_type)
        .bind(filter.status.map(FirmwareStatus::as_str))
        .bind(filter.before)
        .bind(filter.limit)
        .fetch_all(conn)
        .await)?
        .into_iter()
        .map(Firmware::try_from)
        .collect()
    }

    /// The versions of a device type that are released.
    pub async fn released_versions(&mut self, device_type: &str) -> Result<Vec<String>> {
        Ok(on!(self, |conn| sqlx::query_scalar::<_, String>(
            "SELECT version FROM firmwares WHERE device_type = $1 AND status = 'released'",
        )
        .bind(device_type)
        .fetch_all(conn)
        .await)?)
    }

    /// The versions that are released, each behind its device type.
    pub async fn all_released_versions(&mut self) -> Result<Vec<(String, String)>> {
        Ok(on!(self, |conn| sqlx::query_as::<_, (String, String)>(
            "SELECT device_type, version FROM firmwares WHERE status = 'released'",
        )
        .fetch_all(conn)
        .await)?)
    }

    /// Every firmware of a device type, as far as the way to a version goes.
    pub async fn candidates(
        &mut self,
        device_type: &str,
        admission: &Admission,
    ) -> Result<Vec<Candidate>> {
        let rows = on!(self, |conn| sqlx::query_as::<_, CandidateRow>(concat!(
            "SELECT version, min_version, status, bundle, package, ",
            withdrawn!(),
            " FROM firmwares WHERE device_type = $1"
        ))
        .bind(device_type)
        .fetch_all(conn)
        .await)?;
        rows.into_iter()
            .map(
                |(version, min_version, status, bundle, package, withdrawn_at)| {
                    let barred = match package {
                        Some(Json(package)) => admission.bars_package(&PackageOrigin {
                            withdrawn_at,
                            ..package
                        }),
                        None => admission.bars_bundle(bundle.as_deref()),
                    };
                    Ok(Candidate {
                        barred,
                        status: FirmwareStatus::parse(&status).ok_or_else(|| Error::BadRow {
                            table: "firmwares",
                            column: "status",
                            row: version.clone(),
                            value: status,
                        })?,
                        version,
                        min_version,
                    })
                },
            )
            .collect()
    }

    pub async fn update_firmware_status(&mut self, firmware: &Firmware) -> Result<()> {
        on!(self, |conn| sqlx::query(
            "UPDATE firmwares SET status = $2, release_date = $3, updated_at = $4
             WHERE firmware_id = $1",
        )
        .bind(firmware.firmware_id)
        .bind(firmware.status.as_str())
        .bind(firmware.release_date)
        .bind(firmware.updated_at)
        .execute(conn)
        .await
        .map(drop))?;
        Ok(())
    }

    /// Its bundle's files go with it.
    pub async fn delete_firmware(&mut self, firmware_id: Uuid) -> Result<()> {
        on!(self, |conn| sqlx::query(
            "DELETE FROM firmwares WHERE firmware_id = $1"
        )
        .bind(firmware_id)
        .execute(conn)
        .await
        .map(drop))?;
        Ok(())
    }

    /// What a package that came with another signature since says of itself now.
    pub async fn update_firmware_package(&mut self, firmware: &Firmware) -> Result<()> {
        on!(self, |conn| sqlx::query(
            "UPDATE firmwares SET package = $2, updated_at = $3 WHERE firmware_id = $1",
        )
        .bind(firmware.firmware_id)
        .bind(firmware.package.as_ref().map(Json))
        .bind(firmware.updated_at)
        .execute(conn)
        .await
        .map(drop))?;
        Ok(())
    }
}
