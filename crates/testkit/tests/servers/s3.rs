use airlift_testkit::S3Server;
use anyhow::{Result, ensure};
use bytes::Bytes;
use futures_util::TryStreamExt;
use object_store::aws::{AmazonS3, AmazonS3Builder};
use object_store::path::Path;
use object_store::{Error, ObjectStore, ObjectStoreExt, PutMode, RetryConfig};

const PART_SIZE: usize = 5 * 1024 * 1024;
const FILE_SIZE: usize = 12 * 1024 * 1024;

#[tokio::test]
async fn object_store_uploads_reads_copies_lists_and_deletes() -> Result<()> {
    let server = S3Server::start()?;
    let store = client(&server, &server.secret_access_key)?;
    let content = Bytes::from(
        (0..FILE_SIZE)
            .map(|n| u8::try_from(n % 251))
            .collect::<Result<Vec<u8>, _>>()?,
    );
    let (staged, kept) = (Path::from("staging/upload"), Path::from("sha256/ab/abcdef"));

    let mut upload = store.put_multipart(&staged).await?;
    for start in (0..FILE_SIZE).step_by(PART_SIZE) {
        upload
            .put_part(
                content
                    .slice(start..FILE_SIZE.min(start + PART_SIZE))
                    .into(),
            )
            .await?;
    }
    upload.complete().await?;
    store.copy(&staged, &kept).await?;
    store.delete(&staged).await?;

    ensure!(store.head(&kept).await?.size == FILE_SIZE as u64);
    ensure!(
        store.get(&kept).await?.bytes().await? == content,
        "the copy differs"
    );
    let middle = store.get_range(&kept, 5_000_000..7_000_000).await?;
    ensure!(
        middle == content.slice(5_000_000..7_000_000),
        "the range differs"
    );
    let listed: Vec<_> = store
        .list(None)
        .map_ok(|meta| meta.location)
        .try_collect()
        .await?;
    ensure!(listed == [kept.clone()], "{listed:?}");
    ensure!(store.list_with_delimiter(None).await?.common_prefixes == [Path::from("sha256")]);
    ensure!(server.leftover_parts()? == 0);

    let again = store
        .put_opts(&kept, "other".into(), PutMode::Create.into())
        .await;
    ensure!(
        matches!(again, Err(Error::AlreadyExists { .. })),
        "{again:?}"
    );
    store.delete(&kept).await?;
    let gone = store.get(&kept).await.map(drop);
    ensure!(matches!(gone, Err(Error::NotFound { .. })), "{gone:?}");
    Ok(())
}

#[tokio::test]
async fn an_aborted_upload_leaves_neither_object_nor_parts() -> Result<()> {
    let server = S3Server::start()?;
    let store = client(&server, &server.secret_access_key)?;
    let mut upload = store.put_multipart(&Path::from("half")).await?;
    upload
        .put_part(Bytes::from(vec![1; PART_SIZE]).into())
        .await?;
    ensure!(server.leftover_parts()? > 0, "no part arrived");
    upload.abort().await?;
    ensure!(server.leftover_parts()? == 0);
    ensure!(matches!(
        store.head(&Path::from("half")).await,
        Err(Error::NotFound { .. })
    ));
    Ok(())
}

#[tokio::test]
async fn a_stopped_server_refuses_and_comes_back_with_its_objects() -> Result<()> {
    let mut server = S3Server::start()?;
    let store = client(&server, &server.secret_access_key)?;
    let path = Path::from("kept");
    store.put(&path, "still here".into()).await?;
    server.stop()?;
    ensure!(store.get(&path).await.is_err(), "a stopped server answers");
    server.start_again()?;
    ensure!(store.get(&path).await?.bytes().await? == "still here");
    Ok(())
}

#[tokio::test]
async fn a_wrong_key_is_refused() -> Result<()> {
    let server = S3Server::start()?;
    let denied = client(&server, "guess")?
        .put(&Path::from("x"), "x".into())
        .await;
    ensure!(denied.is_err(), "a wrong signature was taken");
    ensure!(
        server.bucket_folder().read_dir()?.next().is_none(),
        "something was stored"
    );
    Ok(())
}

fn client(server: &S3Server, secret: &str) -> Result<AmazonS3> {
    Ok(AmazonS3Builder::new()
        .with_endpoint(server.endpoint())
        .with_allow_http(true)
        .with_region(&server.region)
        .with_bucket_name(&server.bucket)
        .with_access_key_id(&server.access_key_id)
        .with_secret_access_key(secret)
        .with_retry(RetryConfig {
            max_retries: 0,
            ..RetryConfig::default()
        })
        .build()?)
}
