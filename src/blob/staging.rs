use std::{
    fs::File,
    io::{self, Write},
    sync::Arc,
};

use bytes::Bytes;
use futures_util::{FutureExt, future::BoxFuture};
use md5::{Digest, Md5};
use object_store::{ObjectStoreExt, WriteMultipart, path::Path};
use sha2::Sha256;
use uuid::Uuid;

use super::{BlobStore, Error, Result, blob_path, staging_folder};

/// Bytes that are digested and written at once. Two such pieces, one being filled and one being worked
/// on, are an upload's memory, with the parts below where the backend is no folder.
const PIECE_BYTES: usize = 256 << 10;
/// Parts on their way to the backend at once, beside the one being filled.
const PARTS_IN_FLIGHT_MAX: usize = 2;

/// A file that is still arriving. Dropped, it leaves nothing behind; after an error it can only be
/// dropped.
pub struct Staging {
    store: BlobStore,
    path: Path,
    size: u64,
    size_max: u64,
    piece: Vec<u8>,
    /// On the piece before, which comes back to be filled again.
    work: BoxFuture<'static, io::Result<(Sinks, Vec<u8>)>>,
    /// Where the backend is no folder; `None` once finished or given up.
    parts: Option<WriteMultipart>,
    finished: bool,
}

/// Where each byte goes.
struct Sinks {
    sha256: Sha256,
    md5: Md5,
    /// Where the backend is a folder.
    file: Option<File>,
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
        let (file, parts) = match &self.folder {
            Some(folder) => (Some(folder.create(&path).await?), None),
            None => {
                let upload = self.store.put_multipart(&path).await?;
                let parts = WriteMultipart::new_with_chunk_size(upload, self.part_size);
                (None, Some(parts))
            }
        };
        let sinks = Sinks {
            sha256: Sha256::new(),
            md5: Md5::new(),
            file,
        };
        Ok(Staging {
            store: self.clone(),
            path,
            size: 0,
            size_max,
            piece: Vec::new(),
            work: std::future::ready(Ok((sinks, Vec::new()))).boxed(),
            parts,
            finished: false,
        })
    }

    /// Gives a staged file its name, unless the same bytes are stored already.
    pub async fn promote(&self, mut staged: Staged) -> Result<()> {
        if self.size(&staged.sha256).await? == Some(staged.size) {
            return Ok(());
        }
        let name = blob_path(&staged.sha256);
        match &self.folder {
            Some(folder) => folder.rename(&staged.path, &name).await?,
            None => self.store.rename(&staged.path, &name).await?,
        }
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
        if let Some(parts) = &mut self.parts {
            parts.wait_for_capacity(PARTS_IN_FLIGHT_MAX).await?;
            parts.write(&bytes);
        }
        let mut left = bytes.as_ref();
        while !left.is_empty() {
            if self.piece.capacity() == 0 {
                self.piece.reserve_exact(PIECE_BYTES);
            }
            // Copied: who kept `bytes` would keep every network read alive.
            let room = PIECE_BYTES - self.piece.len();
            let (now, later) = left.split_at(left.len().min(room));
            self.piece.extend_from_slice(now);
            left = later;
            if self.piece.len() == PIECE_BYTES {
                self.pass_on().await?;
            }
        }
        Ok(())
    }

    async fn pass_on(&mut self) -> Result<()> {
        let (sinks, spare) = (&mut self.work).await?;
        let piece = std::mem::replace(&mut self.piece, spare);
        let work = tokio::spawn(sinks.take_in(piece, false));
        self.work = work.map(|ended| ended?).boxed();
        Ok(())
    }

    pub fn size(&self) -> u64 {
        self.size
    }

    pub async fn finish(mut self) -> Result<Staged> {
        let (sinks, _) = (&mut self.work).await?;
        let last = std::mem::take(&mut self.piece);
        let (sinks, _) = sinks.take_in(last, true).await?;
        if let Some(parts) = self.parts.take() {
            parts.finish().await?;
        }
        self.finished = true;
        Ok(Staged {
            store: self.store.clone(),
            path: self.path.clone(),
            settled: false,
            sha256: hex::encode(sinks.sha256.finalize()),
            md5: hex::encode(sinks.md5.finalize()),
            size: self.size,
        })
    }
}

impl Sinks {
    /// Each on a thread of its own, beside the network; behind the last piece the file is on disk.
    async fn take_in(self, piece: Vec<u8>, is_last: bool) -> io::Result<(Sinks, Vec<u8>)> {
        let piece = Arc::new(piece);
        let Sinks {
            mut sha256,
            mut md5,
            file,
        } = self;
        let (sha256, md5, file) = tokio::try_join!(
            on_a_thread(&piece, move |piece| {
                sha256.update(piece);
                Ok(sha256)
            }),
            on_a_thread(&piece, move |piece| {
                md5.update(piece);
                Ok(md5)
            }),
            on_a_thread(&piece, move |piece| {
                let Some(mut file) = file else {
                    return Ok(None);
                };
                file.write_all(piece)?;
                if is_last {
                    file.sync_all()?;
                }
                Ok(Some(file))
            })
        )?;
        let mut piece = Arc::unwrap_or_clone(piece);
        piece.clear();
        Ok((Sinks { sha256, md5, file }, piece))
    }
}

async fn on_a_thread<T: Send + 'static>(
    piece: &Arc<Vec<u8>>,
    work: impl FnOnce(&[u8]) -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    let piece = Arc::clone(piece);
    tokio::task::spawn_blocking(move || work(&piece)).await?
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
        if let Some(parts) = self.parts.take() {
            in_background(async move { parts.abort().await });
        } else if !self.finished {
            delete_in_background(&self.store, &self.path);
        }
    }
}

impl Drop for Staged {
    fn drop(&mut self) {
        if !self.settled {
            delete_in_background(&self.store, &self.path);
        }
    }
}

fn delete_in_background(store: &BlobStore, path: &Path) {
    let (store, path) = (store.store.clone(), path.clone());
    in_background(async move { store.delete(&path).await });
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
