use bytes::Bytes;
use md5::{Digest, Md5};
use object_store::{ObjectStoreExt, WriteMultipart, path::Path};
use sha2::Sha256;
use uuid::Uuid;

use super::{BlobStore, Error, Result, blob_path, staging_folder};

/// Parts on their way to the backend at once; with the one being filled, an upload's memory.
const PARTS_IN_FLIGHT_MAX: usize = 2;

/// A file that is still arriving. Dropped, it leaves nothing behind.
pub struct Staging {
    store: BlobStore,
    path: Path,
    /// `None` once finished or given up.
    upload: Option<WriteMultipart>,
    sha256: Sha256,
    md5: Md5,
    size: u64,
    size_max: u64,
}

/// A whole file with its digests, not yet under its name.
pub struct Staged {
    store: BlobStore,
    path: Path,
    /// Nothing is left to clean up.
    settled: bool,
    /// Lower-case hex.
    pub sha256: String,
    /// Lower-case hex.
    pub md5: String,
    /// Bytes.
    pub size: u64,
}

impl BlobStore {
    /// Begins a file of at most `size_max` bytes; `id` is new for each.
    pub async fn stage(&self, id: Uuid, size_max: u64) -> Result<Staging> {
        let path = staging_folder().join(id.to_string());
        let upload = self.store.put_multipart(&path).await?;
        Ok(Staging {
            store: self.clone(),
            path,
            upload: Some(WriteMultipart::new_with_chunk_size(upload, self.part_size)),
            sha256: Sha256::new(),
            md5: Md5::new(),
            size: 0,
            size_max,
        })
    }

    /// Gives a staged file its name, unless the same bytes are stored already.
    pub async fn promote(&self, mut staged: Staged) -> Result<()> {
        if self.size(&staged.sha256).await? == Some(staged.size) {
            return Ok(());
        }
        self.store
            .rename(&staged.path, &blob_path(&staged.sha256))
            .await?;
        staged.settled = true;
        Ok(())
    }
}

impl Staging {
    pub async fn write(&mut self, bytes: Bytes) -> Result<()> {
        self.size += bytes.len() as u64;
        if self.size > self.size_max {
            return Err(Error::TooLarge {
                limit: self.size_max,
            });
        }
        self.sha256.update(&bytes);
        self.md5.update(&bytes);
        if let Some(upload) = &mut self.upload {
            upload.wait_for_capacity(PARTS_IN_FLIGHT_MAX).await?;
            // `write` copies into the part's one buffer; `put` would keep every network read alive.
            upload.write(&bytes);
        }
        Ok(())
    }

    pub fn size(&self) -> u64 {
        self.size
    }

    pub async fn finish(mut self) -> Result<Staged> {
        if let Some(upload) = self.upload.take() {
            upload.finish().await?;
        }
        Ok(Staged {
            store: self.store.clone(),
            path: self.path.clone(),
            settled: false,
            sha256: hex::encode(self.sha256.finalize_reset()),
            md5: hex::encode(self.md5.finalize_reset()),
            size: self.size,
        })
    }
}

impl Staged {
    /// Deletes it now, not behind the caller's back.
    pub async fn discard(mut self) -> Result<()> {
        self.store.store.delete(&self.path).await?;
        self.settled = true;
        Ok(())
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        if let Some(upload) = self.upload.take() {
            in_background(async move { upload.abort().await });
        }
    }
}

impl Drop for Staged {
    fn drop(&mut self) {
        if !self.settled {
            let (store, path) = (self.store.clone(), self.path.clone());
            in_background(async move { store.store.delete(&path).await });
        }
    }
}

/// Cleans up behind a future that was dropped, where nobody can wait; what fails here is swept
/// later.
fn in_background(cleanup: impl Future<Output = object_store::Result<()>> + Send + 'static) {
    if let Ok(runtime) = tokio::runtime::Handle::try_current() {
        runtime.spawn(async move {
            if let Err(error) = cleanup.await {
                tracing::debug!(%error, "an abandoned upload will be swept later");
            }
        });
    }
}
