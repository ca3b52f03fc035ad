use uuid::Uuid;

use super::{Result, Tx, db::TxInner};
use crate::domain::BundleFile;

/// The class of the PostgreSQL advisory locks under which a device type's release counters grow;
/// the second number is a hash of the device type.
const COUNTER_LOCK_CLASS: i32 = 0x0a12_11f7;

impl Tx {
    /// The files of a bundle beside the one that its firmware names. [`super::Error::Duplicate`] if one of
    /// these names is taken.
    pub async fn insert_bundle_files(
        &mut self,
        firmware_id: Uuid,
        files: &[&BundleFile],
    ) -> Result<()> {
        for file in files {
            on!(self, |conn| sqlx::query(
                "INSERT INTO bundle_files (file_name, firmware_id, sha256) VALUES ($1, $2, $3)",
            )
            .bind(&file.file_name)
            .bind(firmware_id)
            .bind(&file.sha256)
            .execute(conn)
            .await
            .map(drop))?;
        }
        Ok(())
    }

    /// The highest release counter of a device type's bundles.
    pub async fn highest_release_counter(&mut self, device_type: &str) -> Result<Option<i64>> {
        Ok(on!(self, |conn| sqlx::query_scalar::<_, Option<i64>>(
            "SELECT MAX(release_counter) FROM firmwares WHERE device_type = $1",
        )
        .bind(device_type)
        .fetch_one(conn)
        .await)?)
    }

    /// Like [`Tx::highest_release_counter`]; until this transaction ends no other reads it so. Call
    /// it before any row is locked.
    pub async fn lock_release_counter(&mut self, device_type: &str) -> Result<Option<i64>> {
        if let TxInner::Postgres(tx) = &mut self.inner {
            // There is no row to lock before the first bundle. Types whose hashes are the same
            // wait for each other; nothing else comes of it.
            sqlx::query("SELECT pg_advisory_xact_lock($1, hashtext($2))")
                .bind(COUNTER_LOCK_CLASS)
                .bind(device_type)
                .execute(&mut **tx)
                .await?;
        }
        self.highest_release_counter(device_type).await
    }
}
