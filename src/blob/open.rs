use std::{path::PathBuf, sync::Arc};

use object_store::{
    aws::AmazonS3Builder, local::LocalFileSystem, memory::InMemory, prefix::PrefixStore,
};

use super::{BlobStore, Error, Folder, Result};

/// Bytes per write to memory.
const MEMORY_PART_SIZE: usize = 1 << 20;
/// Bytes per part of an S3 multipart upload; S3 takes no less than 5 MiB and 10,000 parts.
const S3_PART_SIZE: usize = 5 << 20;

/// Where blobs lie, parsed from `--blob-url`.
#[derive(Clone, Debug, PartialEq)]
pub enum BlobUrl {
    /// `file:PATH`
    File(PathBuf),
    /// `s3://bucket/prefix`; endpoint and keys come from the usual `AWS_*` variables.
    S3 {
        bucket: String,
        prefix: Option<String>,
    },
    /// `memory:`, for tests and trials: gone with the process.
    Memory,
}

impl BlobUrl {
    pub fn parse(url: &str) -> Result<BlobUrl> {
        let refused = |reason: &str| Error::Url {
            url: url.to_owned(),
            reason: reason.to_owned(),
        };
        if let Some(path) = url.strip_prefix("file:") {
            let path = path.strip_prefix("//").unwrap_or(path);
            return match path {
                "" => Err(refused(
                    "file: wants a path, as in file:/var/lib/airlift/blobs",
                )),
                path => Ok(BlobUrl::File(path.into())),
            };
        }
        if let Some(rest) = url.strip_prefix("s3://") {
            let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
            let prefix = prefix.trim_matches('/');
            return match bucket {
                "" => Err(refused("s3:// wants a bucket, as in s3://bucket/prefix")),
                bucket => Ok(BlobUrl::S3 {
                    bucket: bucket.to_owned(),
                    prefix: (!prefix.is_empty()).then(|| prefix.to_owned()),
                }),
            };
        }
        match url {
            "memory:" => Ok(BlobUrl::Memory),
            _ => Err(refused(
                "it must be file:PATH, s3://bucket/prefix or memory:",
            )),
        }
    }
}

impl BlobStore {
    pub fn open(url: &BlobUrl) -> Result<BlobStore> {
        match url {
            BlobUrl::File(folder) => Self::open_folder(folder),
            BlobUrl::S3 { bucket, prefix } => {
                let s3 = AmazonS3Builder::from_env()
                    .with_bucket_name(bucket)
                    .build()
                    .map_err(|error| Error::Url {
                        url: format!("s3://{bucket}"),
                        reason: error.to_string(),
                    })?;
                Ok(Self::over_s3(s3, prefix.as_deref()))
            }
            BlobUrl::Memory => Ok(BlobStore {
                kind: "memory",
                store: Arc::new(InMemory::new()),
                part_size: MEMORY_PART_SIZE,
                folder: None,
                spare_pieces: Arc::default(),
            }),
        }
    }

    /// Over an S3 client that is set up already.
    pub fn over_s3(s3: object_store::aws::AmazonS3, prefix: Option<&str>) -> BlobStore {
        BlobStore {
            kind: "s3",
            store: match prefix {
                Some(prefix) => Arc::new(PrefixStore::new(s3, prefix)),
                None => Arc::new(s3),
            },
            part_size: S3_PART_SIZE,
            folder: None,
            spare_pieces: Arc::default(),
        }
    }

    fn open_folder(path: &std::path::Path) -> Result<BlobStore> {
        let refused = |reason: String| Error::Url {
            url: format!("file:{}", path.display()),
            reason,
        };
        let folder = Folder::open(path.to_owned()).map_err(|error| refused(error.to_string()))?;
        let local =
            LocalFileSystem::new_with_prefix(path).map_err(|error| refused(error.to_string()))?;
        Ok(BlobStore {
            kind: "files",
            store: Arc::new(local),
            part_size: 0,
            folder: Some(folder),
            spare_pieces: Arc::default(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_say_where_blobs_lie() {
        let s3 = |bucket: &str, prefix: Option<&str>| BlobUrl::S3 {
            bucket: bucket.into(),
            prefix: prefix.map(Into::into),
        };
        for (url, parsed) in [
            ("file:/a/b", BlobUrl::File("/a/b".into())),
            ("file:///a/b", BlobUrl::File("/a/b".into())),
            ("file:a", BlobUrl::File("a".into())),
            ("s3://bucket", s3("bucket", None)),
            ("s3://bucket/a/b/", s3("bucket", Some("a/b"))),
            ("memory:", BlobUrl::Memory),
        ] {
            assert_eq!(BlobUrl::parse(url).unwrap(), parsed, "{url}");
        }
        for url in ["", "file:", "s3://", "http://x", "/a/b"] {
            assert!(BlobUrl::parse(url).is_err(), "{url}");
        }
    }
}
