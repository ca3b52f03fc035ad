//! Files, named by the SHA-256 of their content, over `object_store`: a local folder, S3 or memory.
//!
//! A file arrives through [`Staging`], which computes its digests as the bytes come, and appears
//! under its name only when whole: `blobs/<first two>/<sha256>`. What an interrupted upload leaves
//! lies under `staging/` and is swept. To add a backend: an arm in [`BlobStore::open`], and its
//! URL in the contract suite (`tests/blob_contract`).

mod folder;
mod open;
mod reading;
mod staging;

use std::sync::Arc;

use chrono::{DateTime, Utc};
use futures_util::{StreamExt, TryStreamExt};
use object_store::{ObjectStore, ObjectStoreExt, path::Path};

use folder::Folder;
pub use open::BlobUrl;
pub use reading::BlobStream;
use reading::SparePieces;
pub use staging::{Staged, Staging};

pub type Result<T, E = Error> = std::result::Result<T, E>;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("the blob URL {url:?} can't be used: {reason}")]
    Url { url: String, reason: String },
    #[error("the file {0} is not in the blob store")]
    NotFound(String),
    #[error("the file is larger than the limit of {limit} bytes")]
    TooLarge { limit: u64 },
    #[error("the blob store has no space left")]
    Full,
    #[error("the blob store failed: {0}")]
    Unavailable(String),
}

impl From<object_store::Error> for Error {
    fn from(error: object_store::Error) -> Self {
        if let object_store::Error::NotFound { path, .. } = &error {
            return Error::NotFound(path.clone());
        }
        let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(&error);
        while let Some(error) = cause {
            if let Some(io) = error.downcast_ref::<std::io::Error>()
                && io.kind() == std::io::ErrorKind::StorageFull
            {
                return Error::Full;
            }
            cause = error.source();
        }
        Error::Unavailable(error.to_string())
    }
}

/// A place for blobs.
#[derive(Clone, Debug)]
pub struct BlobStore {
    kind: &'static str,
    store: Arc<dyn ObjectStore>,
    /// Bytes per write to a backend that is no folder.
    part_size: usize,
    /// Where the blobs lie, if in a folder.
    folder: Option<Folder>,
    spare_pieces: Arc<SparePieces>,
}

fn blob_path(sha256: &str) -> Path {
    Path::from(format!("blobs/{}/{sha256}", &sha256[..2]))
}

fn staging_folder() -> Path {
    Path::from("staging")
}

impl BlobStore {
    /// `files`, `s3` or `memory`.
    pub fn kind(&self) -> &'static str {
        self.kind
    }

    /// Whether the blob is there, with its size in bytes.
    pub async fn size(&self, sha256: &str) -> Result<Option<u64>> {
        match self.store.head(&blob_path(sha256)).await {
            Ok(meta) => Ok(Some(meta.size)),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    pub async fn delete(&self, sha256: &str) -> Result<()> {
        match self.store.delete(&blob_path(sha256)).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Whether the backend answers.
    pub async fn ping(&self) -> Result<()> {
        self.size(&"0".repeat(64)).await.map(drop)
    }

    /// Deletes what interrupted uploads left behind before `before`; how many files.
    pub async fn sweep_staging(&self, before: DateTime<Utc>) -> Result<usize> {
        let abandoned = self
            .store
            .list(Some(&staging_folder()))
            .try_filter(move |meta| std::future::ready(meta.last_modified < before))
            .map_ok(|meta| meta.location)
            .boxed();
        let deleted: Vec<Path> = self.store.delete_stream(abandoned).try_collect().await?;
        Ok(deleted.len())
    }

    /// The names of blobs that were stored before `before`.
    pub async fn stored_before(&self, before: DateTime<Utc>) -> Result<Vec<String>> {
        let metas: Vec<_> = self
            .store
            .list(Some(&Path::from("blobs")))
            .try_filter(|meta| std::future::ready(meta.last_modified < before))
            .try_collect()
            .await?;
        Ok(metas
            .iter()
            .filter_map(|meta| Some(meta.location.filename()?.to_owned()))
            .collect())
    }
}
