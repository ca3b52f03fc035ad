//! What every blob store promises, run on a folder, in memory and on a real S3 server.

use std::sync::atomic::{AtomicU64, Ordering};

use airlift::{
    blob::{BlobStore, BlobUrl, Error},
    domain::Clock,
};
use airlift_testkit::S3Server;
use bytes::Bytes;
use chrono::{DateTime, TimeDelta, Utc};
use futures_util::TryStreamExt;
use md5::{Digest, Md5};
use object_store::aws::AmazonS3Builder;
use sha2::Sha256;
use uuid::Uuid;

struct Fixture {
    blobs: BlobStore,
    folder: tempfile::TempDir,
    s3: Option<S3Server>,
}

fn folder() -> Fixture {
    let folder = tempfile::tempdir().unwrap();
    let url = BlobUrl::File(folder.path().join("blobs"));
    Fixture {
        blobs: BlobStore::open(&url).unwrap(),
        folder,
        s3: None,
    }
}

fn memory() -> Fixture {
    Fixture {
        blobs: BlobStore::open(&BlobUrl::Memory).unwrap(),
        folder: tempfile::tempdir().unwrap(),
        s3: None,
    }
}

fn s3() -> Fixture {
    let server = S3Server::start().unwrap();
    let client = AmazonS3Builder::new()
        .with_endpoint(server.endpoint())
        .with_access_key_id(&server.access_key_id)
        .with_secret_access_key(&server.secret_access_key)
        .with_region(&server.region)
        .with_bucket_name(&server.bucket)
        .with_allow_http(true)
        .build()
        .unwrap();
    Fixture {
        blobs: BlobStore::over_s3(client, Some("some/prefix")),
        folder: tempfile::tempdir().unwrap(),
        s3: Some(server),
    }
}

macro_rules! contract {
    ($($promise:ident),+ $(,)?) => {
        contract!(@on on_a_folder, folder, $($promise),+);
        contract!(@on in_memory, memory, $($promise),+);
        contract!(@on on_s3, s3, $($promise),+);
    };
    (@on $module:ident, $fixture:ident, $($promise:ident),+) => {
        mod $module {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $promise() {
                super::$promise(super::$fixture()).await;
            })+
        }
    };
}

contract![
    a_file_is_stored_under_its_digest_and_read_in_parts,
    a_file_of_several_parts_comes_back_whole,
    digests_are_those_of_the_whole_file_however_its_bytes_come,
    many_read_a_file_at_once,
    the_same_bytes_twice_are_one_blob,
    a_file_over_the_limit_is_refused,
    an_abandoned_upload_leaves_nothing,
    a_deleted_blob_is_gone_and_deleting_it_again_is_fine,
    what_is_young_is_not_swept,
];

const SIZE_MAX: u64 = 64 << 20;

async fn store(blobs: &BlobStore, chunks: &[&[u8]]) -> String {
    let mut staging = blobs.stage(new_id(), SIZE_MAX).await.unwrap();
    for chunk in chunks {
        staging.write(Bytes::copy_from_slice(chunk)).await.unwrap();
    }
    let staged = staging.finish().await.unwrap();
    let sha256 = staged.sha256.clone();
    blobs.promote(staged).await.unwrap();
    sha256
}

/// Ids that differ.
fn new_id() -> Uuid {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    Uuid::from_u64_pair(7, NEXT.fetch_add(1, Ordering::Relaxed))
}

/// Files have the system's time.
fn now() -> DateTime<Utc> {
    Clock::System.now()
}

async fn read(blobs: &BlobStore, sha256: &str, range: std::ops::Range<u64>) -> Vec<u8> {
    let stream = blobs.read(sha256, range).await.unwrap();
    let chunks: Vec<Bytes> = stream.try_collect().await.unwrap();
    chunks.concat()
}

async fn a_file_is_stored_under_its_digest_and_read_in_parts(f: Fixture) {
    let sha256 = store(&f.blobs, &[b"test ", b"firmware", b"\n"]).await;
    assert_eq!(
        sha256,
        "76bf0948dd89e41ce66d49cb019cf9ac233a9a5440c96e5d919520efb630b4de"
    );
    assert_eq!(f.blobs.size(&sha256).await.unwrap(), Some(14));
    assert_eq!(read(&f.blobs, &sha256, 0..14).await, b"test firmware\n");
    assert_eq!(read(&f.blobs, &sha256, 5..9).await, b"firm");
    assert_eq!(read(&f.blobs, &sha256, 13..14).await, b"\n");
    let nothing = "0".repeat(64);
    assert_eq!(f.blobs.size(&nothing).await.unwrap(), None);
    let missing = f.blobs.read(&nothing, 0..1).await.err();
    assert!(matches!(missing, Some(Error::NotFound(_))), "{missing:?}");
    f.blobs.ping().await.unwrap();
}

async fn a_file_of_several_parts_comes_back_whole(f: Fixture) {
    let chunk: Vec<u8> = (0..1_000_003_u32).map(|i| (i % 251) as u8).collect();
    let chunks = [chunk.as_slice(); 12];
    let sha256 = store(&f.blobs, &chunks).await;
    let whole = chunks.concat();
    let size = whole.len() as u64;
    assert_eq!(f.blobs.size(&sha256).await.unwrap(), Some(size));
    assert!(read(&f.blobs, &sha256, 0..size).await == whole);
    assert!(read(&f.blobs, &sha256, 999_999..7_000_001).await == whole[999_999..7_000_001]);
}

async fn digests_are_those_of_the_whole_file_however_its_bytes_come(f: Fixture) {
    // Sizes around those of pieces and of parts.
    for size in [0, 1, (256 << 10) - 1, 256 << 10, (256 << 10) + 1, 1_500_000] {
        let file: Vec<u8> = (0..size).map(|n| (n % 251) as u8).collect();
        for chunk in [1_000, 64 << 10, 2 << 20] {
            let mut staging = f.blobs.stage(new_id(), SIZE_MAX).await.unwrap();
            for bytes in file.chunks(chunk) {
                staging.write(Bytes::copy_from_slice(bytes)).await.unwrap();
            }
            let staged = staging.finish().await.unwrap();
            assert_eq!(staged.size, size as u64);
            assert_eq!(staged.md5, hex::encode(Md5::digest(&file)), "{size}");
            assert_eq!(staged.sha256, hex::encode(Sha256::digest(&file)), "{size}");
            let sha256 = staged.sha256.clone();
            f.blobs.promote(staged).await.unwrap();
            assert!(
                read(&f.blobs, &sha256, 0..size as u64).await == file,
                "{size}"
            );
        }
    }
}

async fn many_read_a_file_at_once(f: Fixture) {
    let file: Vec<u8> = (0..700_000_u32).map(|n| (n % 251) as u8).collect();
    let sha256 = store(&f.blobs, &[&file]).await;
    let readers = (0..40_usize).map(|n| {
        let (blobs, sha256, expected) =
            (f.blobs.clone(), sha256.clone(), file[n * 1_000..].to_vec());
        tokio::spawn(async move {
            let range = n as u64 * 1_000..700_000;
            let mut pieces = blobs.read(&sha256, range).await.unwrap();
            let mut bytes = Vec::new();
            // Each holds a piece while the others read on.
            while let Some(piece) = pieces.try_next().await.unwrap() {
                tokio::task::yield_now().await;
                bytes.extend_from_slice(&piece);
            }
            assert!(bytes == expected, "reader {n}");
        })
    });
    futures_util::future::try_join_all(readers).await.unwrap();
}

async fn the_same_bytes_twice_are_one_blob(f: Fixture) {
    let first = store(&f.blobs, &[b"same"]).await;
    let second = store(&f.blobs, &[b"sa", b"me"]).await;
    assert_eq!(first, second);
    let later = now() + TimeDelta::hours(1);
    assert_eq!(f.blobs.stored_before(later).await.unwrap(), [first]);
}

async fn a_file_over_the_limit_is_refused(f: Fixture) {
    let mut staging = f.blobs.stage(new_id(), 4).await.unwrap();
    staging.write(Bytes::from_static(b"1234")).await.unwrap();
    let refused = staging.write(Bytes::from_static(b"5")).await;
    assert!(
        matches!(refused, Err(Error::TooLarge { limit: 4 })),
        "{refused:?}"
    );
}

async fn an_abandoned_upload_leaves_nothing(f: Fixture) {
    let mut staging = f.blobs.stage(new_id(), SIZE_MAX).await.unwrap();
    staging.write(Bytes::from(vec![7; 6 << 20])).await.unwrap();
    drop(staging);
    let mut staging = f.blobs.stage(new_id(), SIZE_MAX).await.unwrap();
    staging.write(Bytes::from_static(b"whole")).await.unwrap();
    drop(staging.finish().await.unwrap());
    for _ in 0..100 {
        if files(&f).is_empty() {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    panic!("left behind: {:?}", files(&f));
}

/// Every file that the backend holds, but the folder's lock.
fn files(f: &Fixture) -> Vec<String> {
    fn walk(folder: &std::path::Path, found: &mut Vec<String>) {
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            match entry.file_type().unwrap().is_dir() {
                true => walk(&entry.path(), found),
                false => found.push(entry.path().display().to_string()),
            }
        }
    }
    let mut found = Vec::new();
    walk(f.folder.path(), &mut found);
    if let Some(s3) = &f.s3 {
        walk(&s3.bucket_folder(), &mut found);
        found.extend((0..s3.leftover_parts().unwrap()).map(|n| format!("part {n} of an upload")));
    }
    found.retain(|file| !file.ends_with("/.lock"));
    found
}

async fn a_deleted_blob_is_gone_and_deleting_it_again_is_fine(f: Fixture) {
    let sha256 = store(&f.blobs, &[b"x"]).await;
    f.blobs.delete(&sha256).await.unwrap();
    assert_eq!(f.blobs.size(&sha256).await.unwrap(), None);
    f.blobs.delete(&sha256).await.unwrap();
}

async fn what_is_young_is_not_swept(f: Fixture) {
    let mut staging = f.blobs.stage(new_id(), SIZE_MAX).await.unwrap();
    staging.write(Bytes::from_static(b"staged")).await.unwrap();
    let staged = staging.finish().await.unwrap();
    let blob = store(&f.blobs, &[b"blob"]).await;
    let now = now();
    assert_eq!(
        f.blobs
            .sweep_staging(now - TimeDelta::hours(1))
            .await
            .unwrap(),
        0
    );
    assert!(
        f.blobs
            .stored_before(now - TimeDelta::hours(1))
            .await
            .unwrap()
            .is_empty()
    );
    let later = now + TimeDelta::hours(1);
    assert_eq!(f.blobs.sweep_staging(later).await.unwrap(), 1);
    assert_eq!(f.blobs.stored_before(later).await.unwrap(), [blob]);
    drop(staged);
}

#[tokio::test]
async fn what_a_crash_left_in_the_folder_is_gone_at_the_next_start() {
    let folder = tempfile::tempdir().unwrap();
    let url = BlobUrl::File(folder.path().to_owned());
    std::fs::create_dir_all(folder.path().join("staging")).unwrap();
    std::fs::write(folder.path().join("staging/abc"), b"half").unwrap();
    let blobs = BlobStore::open(&url).unwrap();
    assert!(!folder.path().join("staging/abc").exists());
    // A second process must not sweep what the first is writing.
    let mut staging = blobs.stage(new_id(), SIZE_MAX).await.unwrap();
    staging.write(Bytes::from(vec![1; 2 << 20])).await.unwrap();
    let _second = BlobStore::open(&url).unwrap();
    let staged = staging.finish().await.unwrap();
    blobs.promote(staged).await.unwrap();
}

/// Of a folder's one blob.
fn only_file(f: &Fixture) -> std::path::PathBuf {
    let files = files(f);
    assert_eq!(files.len(), 1, "{files:?}");
    files[0].clone().into()
}

#[tokio::test]
async fn what_the_system_has_forgotten_is_read_from_the_disk() {
    let f = folder();
    let file: Vec<u8> = (0..3_000_000_u32).map(|n| (n % 251) as u8).collect();
    let sha256 = store(&f.blobs, &[&file]).await;
    let blob = std::fs::File::open(only_file(&f)).unwrap();
    rustix::fs::fadvise(&blob, 0, None, rustix::fs::Advice::DontNeed).unwrap();
    assert!(read(&f.blobs, &sha256, 0..3_000_000).await == file);
}

#[tokio::test]
async fn a_blob_whose_file_was_cut_short_is_an_error_and_no_shorter_blob() {
    let f = folder();
    let sha256 = store(&f.blobs, &[&[7; 200_000]]).await;
    let pieces = f.blobs.read(&sha256, 0..200_000).await.unwrap();
    let file = std::fs::File::options().write(true).open(only_file(&f));
    file.unwrap().set_len(100_000).unwrap();
    let pieces: Result<Vec<Bytes>, _> = pieces.try_collect().await;
    assert_eq!(
        pieces.unwrap_err().kind(),
        std::io::ErrorKind::UnexpectedEof
    );
}

#[tokio::test]
async fn what_a_crash_left_beside_a_running_process_is_swept() {
    let f = folder();
    let staging = f.folder.path().join("blobs/staging");
    std::fs::create_dir_all(&staging).unwrap();
    std::fs::write(staging.join("half"), b"half").unwrap();
    let later = now() + TimeDelta::hours(1);
    assert_eq!(f.blobs.sweep_staging(later).await.unwrap(), 1);
    assert!(files(&f).is_empty(), "{:?}", files(&f));
}
