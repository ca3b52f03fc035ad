//! An S3 server over a folder: the `s3s` crates check signatures and speak the protocol, `s3s-fs`
//! keeps objects as files. It runs inside the test process.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result, anyhow, bail};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use s3s::auth::SimpleAuth;
use s3s::service::{S3Service, S3ServiceBuilder};
use s3s_fs::FileSystem;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use crate::runtime::{self, Task};
use crate::{Scratch, free_port};

const ACCESS_KEY_ID: &str = "airlift-test-key";
const SECRET_ACCESS_KEY: &str = "airlift-test-secret";
const BUCKET: &str = "airlift-test";
const REGION: &str = "us-east-1";

/// Folder of the buckets inside the scratch folder.
const OBJECTS: &str = "objects";

/// A running S3 server with one bucket.
///
/// One limit of `s3s-fs` to know: an object's key is also its file path, so `a` and `a/b` cannot
/// both exist.
pub struct S3Server {
    /// Whoever signs with these may do everything; everybody else nothing.
    pub access_key_id: String,
    /// The other half.
    pub secret_access_key: String,
    /// The bucket, which exists and is empty.
    pub bucket: String,
    /// The region to sign for.
    pub region: String,
    task: Option<Task>,
    port: u16,
    service: S3Service,
    scratch: Scratch,
}

impl S3Server {
    /// Starts the server.
    ///
    /// # Errors
    /// When the folder or the port cannot be had.
    pub fn start() -> Result<Self> {
        let scratch = Scratch::new("s3")?;
        let root = scratch.path().join(OBJECTS);
        fs::create_dir_all(root.join(BUCKET))?;
        let files = FileSystem::new(&root)
            .map_err(|error| anyhow!("opening {} for S3: {error:?}", root.display()))?;
        let mut builder = S3ServiceBuilder::new(files);
        builder.set_auth(SimpleAuth::from_single(ACCESS_KEY_ID, SECRET_ACCESS_KEY));
        let mut server = Self {
            access_key_id: ACCESS_KEY_ID.to_owned(),
            secret_access_key: SECRET_ACCESS_KEY.to_owned(),
            bucket: BUCKET.to_owned(),
            region: REGION.to_owned(),
            task: None,
            port: free_port()?,
            service: builder.build(),
            scratch,
        };
        server.start_again()?;
        Ok(server)
    }

    /// `http://127.0.0.1:<port>`; buckets are the first part of the path.
    #[must_use]
    pub fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// The port, for a [`crate::FaultProxy`] before it.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The usual `AWS_*` variables that lead a program here; to be given to [`crate::Process::spawn`].
    #[must_use]
    pub fn env(&self) -> Vec<(&'static str, String)> {
        vec![
            ("AWS_ACCESS_KEY_ID", self.access_key_id.clone()),
            ("AWS_SECRET_ACCESS_KEY", self.secret_access_key.clone()),
            ("AWS_REGION", self.region.clone()),
            ("AWS_ENDPOINT_URL", self.endpoint()),
            ("AWS_ALLOW_HTTP", "true".to_owned()),
        ]
    }

    /// The folder with the bucket's objects, each in a file named by its key.
    #[must_use]
    pub fn bucket_folder(&self) -> PathBuf {
        self.root().join(&self.bucket)
    }

    /// How many parts of unfinished multipart uploads lie about.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub fn leftover_parts(&self) -> Result<usize> {
        let entries = fs::read_dir(self.root()).context("looking for parts of uploads")?;
        Ok(entries
            .flatten()
            .filter(|entry| {
                entry
                    .file_name()
                    .to_string_lossy()
                    .starts_with(".upload_id-")
            })
            .count())
    }

    /// Goes down: the port refuses, open connections are dropped. The objects stay.
    ///
    /// # Errors
    /// When it is down already.
    pub fn stop(&mut self) -> Result<()> {
        match self.task.take() {
            Some(_) => Ok(()),
            None => bail!("the S3 server is down already"),
        }
    }

    /// Comes up on the same port with the same objects.
    ///
    /// # Errors
    /// When it is up, or somebody took the port.
    pub fn start_again(&mut self) -> Result<()> {
        if self.task.is_some() {
            bail!("the S3 server is up: stop it before starting it again");
        }
        self.task = Some(runtime::spawn(serve(
            runtime::listen(self.port)?,
            self.service.clone(),
        ))?);
        Ok(())
    }

    fn root(&self) -> PathBuf {
        self.scratch.path().join(OBJECTS)
    }
}

/// Dropping this future drops the listener and all connections.
async fn serve(listener: TcpListener, service: S3Service) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let Ok((stream, _)) = accepted else { continue };
                let service = service.clone();
                connections.spawn(async move {
                    // A client that goes away in the middle is no failure of the server.
                    let _ = Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), service).await;
                });
            }
            Some(_) = connections.join_next() => {}
        }
    }
}
