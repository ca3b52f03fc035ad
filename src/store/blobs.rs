use std::collections::HashSet;

use chrono::{DateTime, Utc};

use super::{Result, Tx};

/// A stored file, named by its SHA-256.
#[derive(Clone, Debug, PartialEq, sqlx::FromRow)]
pub struct BlobRow {
    pub sha256: String,
    pub md5: String,
    /// Bytes.
    pub size: i64,
    pub created_at: DateTime<Utc>,
}

impl Tx {
    /// Registers a blob and locks its row, so that nobody deletes the file until this transaction
    /// ends.
    pub async fn put_blob(&mut self, blob: &BlobRow) -> Result<()> {
        on!(self, |conn| sqlx::query(
            "INSERT INTO blobs (sha256, md5, size, created_at) VALUES ($1, $2, $3, $4)
             ON CONFLICT (sha256) DO UPDATE SET size = excluded.size",
        )
        .bind(&blob.sha256)
        .bind(&blob.md5)
        .bind(blob.size)
        .bind(blob.created_at)
        .execute(conn)
        .await
        .map(drop))?;
        Ok(())
    }

    /// The blobs that firmwares and packages use.
    pub async fn used_blobs(&mut self) -> Result<HashSet<String>> {
        let used = on!(self, |conn| sqlx::query_scalar::<_, String>(
            "SELECT sha256 FROM firmwares UNION SELECT sha256 FROM bundle_files
             UNION SELECT sha256 FROM packages",
        )
        .fetch_all(conn)
        .await)?;
        Ok(used.into_iter().collect())
    }

    /// Locks a blob's row; whether there is one.
    pub async fn lock_blob(&mut self, sha256: &str) -> Result<bool> {
        let row = on_locked!(
            self,
            ["SELECT sha256 FROM blobs WHERE sha256 = $1"],
            "FOR UPDATE",
            |sql, conn| sqlx::query_scalar::<_, String>(sql)
                .bind(sha256)
                .fetch_optional(conn)
                .await
        )?;
        Ok(row.is_some())
    }

    /// Deletes a blob's row unless a firmware or package uses it; whether it is gone. Call it with the row
    /// locked, in a statement of its own, so that it sees every committed use.
    pub async fn delete_unused_blob(&mut self, sha256: &str) -> Result<bool> {
        let gone = on!(self, |conn| sqlx::query(
            "DELETE FROM blobs WHERE sha256 = $1
             AND NOT EXISTS (SELECT 1 FROM firmwares WHERE sha256 = $1)
             AND NOT EXISTS (SELECT 1 FROM bundle_files WHERE sha256 = $1)
             AND NOT EXISTS (SELECT 1 FROM packages WHERE sha256 = $1)",
        )
        .bind(sha256)
        .execute(conn)
        .await
        .map(|done| done.rows_affected()))?;
        Ok(gone > 0)
    }
}
