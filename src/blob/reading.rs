use std::{io::SeekFrom, ops::Range};

use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream::BoxStream};
use object_store::{GetOptions, GetRange, GetResultPayload, ObjectStore};
use tokio::io::{AsyncReadExt, AsyncSeekExt};
use tokio_util::io::ReaderStream;

use super::{BlobStore, Result, blob_path};

/// Bytes per read of a local file: few enough calls for a large firmware, little enough memory for
/// thousands of downloads.
const READ_BUFFER_SIZE: usize = 64 << 10;

/// A blob's bytes as they are read.
pub type BlobStream = BoxStream<'static, std::io::Result<Bytes>>;

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
                let mut file = tokio::fs::File::from_std(file);
                file.seek(SeekFrom::Start(range.start))
                    .await
                    .map_err(|error| super::Error::Unavailable(error.to_string()))?;
                let reader = file.take(range.end - range.start);
                ReaderStream::with_capacity(reader, READ_BUFFER_SIZE).boxed()
            }
            GetResultPayload::Stream(stream) => stream.map_err(std::io::Error::other).boxed(),
        };
        Ok(stream)
    }
}
