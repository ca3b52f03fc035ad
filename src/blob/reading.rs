use std::{
    fs::File,
    io,
    ops::Range,
    os::unix::fs::FileExt,
    sync::{Arc, Mutex, PoisonError},
};

use bytes::Bytes;
use futures_util::{
    StreamExt, TryStreamExt,
    stream::{self, BoxStream},
};
use object_store::{GetOptions, GetRange, GetResultPayload, ObjectStore};

use super::{BlobStore, Result, blob_path};

/// Bytes per read of a local file: few enough calls for a large firmware, little enough memory for
/// thousands of downloads.
const PIECE_BYTES: usize = 64 << 10;
/// Pieces that are kept to be filled again: where downloads are fast, they stay in the processor's cache.
const SPARE_PIECES_MAX: usize = 16;

/// A blob's bytes as they are read.
pub type BlobStream = BoxStream<'static, io::Result<Bytes>>;

impl BlobStore {
    /// Bytes `range` of a blob, which must lie within it.
    pub async fn read(&self, sha256: &str, range: Range<u64>) -> Result<BlobStream> {
        let options = GetOptions {
            range: (!range.is_empty()).then(|| GetRange::Bounded(range.clone())),
            ..GetOptions::default()
        };
        let result = self.store.get_opts(&blob_path(sha256), options).await?;
        let stream = match result.payload {
            GetResultPayload::File(file, _) => {
                let reader = FileReader {
                    file: Arc::new(file),
                    range,
                    spares: self.spare_pieces.clone(),
                };
                stream::try_unfold(reader, FileReader::next).boxed()
            }
            GetResultPayload::Stream(stream) => stream.map_err(io::Error::other).boxed(),
        };
        Ok(stream)
    }
}

struct FileReader {
    file: Arc<File>,
    /// What is still to be read.
    range: Range<u64>,
    spares: Arc<SparePieces>,
}

impl FileReader {
    async fn next(mut self) -> io::Result<Option<(Bytes, FileReader)>> {
        if self.range.is_empty() {
            return Ok(None);
        }
        let start = self.range.start;
        let wanted = (self.range.end - start).min(PIECE_BYTES as u64) as usize;
        let mut piece = self.spares.take();
        if let Some(read) = read_from_memory(&self.file, &mut piece.bytes[..wanted], start) {
            piece.length = read;
        } else {
            let file = self.file.clone();
            piece = tokio::task::spawn_blocking(move || {
                piece.length = file.read_at(&mut piece.bytes[..wanted], start)?;
                io::Result::Ok(piece)
            })
            .await??;
        }
        if piece.length == 0 {
            return Err(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                "a blob's file is shorter than it was",
            ));
        }
        self.range.start += piece.length as u64;
        Ok(Some((Bytes::from_owner(piece), self)))
    }
}

/// What the system has in memory, and so without a thread that may wait for the disk; `None` if it
/// has nothing, or can't tell.
#[cfg(target_os = "linux")]
fn read_from_memory(file: &File, piece: &mut [u8], start: u64) -> Option<usize> {
    use rustix::io::{ReadWriteFlags, preadv2};
    let mut pieces = [io::IoSliceMut::new(piece)];
    preadv2(file, &mut pieces, start, ReadWriteFlags::NOWAIT).ok()
}

#[cfg(not(target_os = "linux"))]
fn read_from_memory(_: &File, _: &mut [u8], _: u64) -> Option<usize> {
    None
}

/// Part of a file; its memory goes back to the spares.
struct Piece {
    bytes: Box<[u8]>,
    /// Bytes that were read.
    length: usize,
    spares: Arc<SparePieces>,
}

impl AsRef<[u8]> for Piece {
    fn as_ref(&self) -> &[u8] {
        &self.bytes[..self.length]
    }
}

impl Drop for Piece {
    fn drop(&mut self) {
        let mut spares = self.spares.lock();
        if spares.len() < SPARE_PIECES_MAX {
            spares.push(std::mem::take(&mut self.bytes));
        }
    }
}

/// The last one that came back is taken first.
#[derive(Debug, Default)]
pub struct SparePieces(Mutex<Vec<Box<[u8]>>>);

impl SparePieces {
    fn take(self: &Arc<Self>) -> Piece {
        let spare = self.lock().pop();
        Piece {
            bytes: spare.unwrap_or_else(|| vec![0; PIECE_BYTES].into()),
            length: 0,
            spares: self.clone(),
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Box<[u8]>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_are_filled_again_and_no_more_are_kept_than_a_few() {
        let spares = Arc::new(SparePieces::default());
        let piece = spares.take();
        let place = piece.bytes.as_ptr();
        drop(piece);
        let pieces: Vec<Piece> = (0..10 * SPARE_PIECES_MAX).map(|_| spares.take()).collect();
        assert_eq!(pieces[0].bytes.as_ptr(), place);
        drop(pieces);
        assert_eq!(spares.lock().len(), SPARE_PIECES_MAX);
    }
}
