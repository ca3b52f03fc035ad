use chrono::TimeDelta;

use super::{Result, Service};

/// Age from which a file that nothing refers to is rubbish: an upload that still writes or is
/// about to commit is younger.
const RUBBISH_AGE: TimeDelta = TimeDelta::hours(1);

impl Service {
    /// Deletes what crashed uploads and deletions left in the blob store; how many files.
    pub async fn sweep_blobs(&self) -> Result<usize> {
        let before = self.clock.now() - RUBBISH_AGE;
        let mut swept = self.blobs.sweep_staging(before).await?;
        let stored = self.blobs.stored_before(before).await?;
        // Looked up once: a lock and a transaction are for those that seem to be rubbish.
        let used = self.db.read().await?.used_blobs().await?;
        for sha256 in stored.into_iter().filter(|name| !used.contains(name)) {
            swept += usize::from(self.delete_blob_if_unused(&sha256).await?);
        }
        Ok(swept)
    }

    /// Deletes a blob that no firmware and no package uses; whether it did. The row is locked first and the use
    /// looked up in a statement of its own, so that an upload of the same bytes either comes
    /// before and is seen, or waits and stores the file again.
    pub(super) async fn delete_blob_if_unused(&self, sha256: &str) -> Result<bool> {
        let mut tx = self.db.begin().await?;
        if !tx.lock_blob(sha256).await? {
            // A file without a row: make one to hold the lock with.
            let now = self.clock.now();
            tx.put_blob(&crate::store::BlobRow {
                sha256: sha256.to_owned(),
                md5: String::new(),
                size: 0,
                created_at: now,
            })
            .await?;
        }
        if !tx.delete_unused_blob(sha256).await? {
            return Ok(false);
        }
        self.blobs.delete(sha256).await?;
        tx.commit().await?;
        Ok(true)
    }
}
