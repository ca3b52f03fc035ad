//! A bundle is unpacked as it arrives: its bytes go over a short queue to a thread that reads the
//! archive, checks the signature, and only then puts parts into the blob store's staging. So a bundle
//! of any size takes the queue, the reader's window and one part of the blob store's writer.

use std::{
    io::{self, Read},
    sync::Arc,
};

use airlift_bundle::{
    Archive, Manifest, PartName, Parts, ReadError, Refusal, image::FirmwareCheck, keys,
};
use bytes::Bytes;
use tokio::{
    runtime::Handle,
    sync::{OwnedSemaphorePermit, mpsc},
    task::JoinHandle,
};

use super::{Error, Result, Service};
use crate::{
    blob::{Staged, Staging},
    domain::Signer,
};

/// Pieces of a request's body that wait for the thread.
const QUEUE_PIECES_MAX: usize = 4;
/// Bytes of a part that are taken from the archive at a time.
const CHUNK_BYTES: usize = 64 << 10;

/// A bundle on its way in. Dropped, it leaves nothing behind.
pub(super) struct Unpacking {
    /// `None` is the end of the file.
    pieces: mpsc::Sender<Option<Bytes>>,
    thread: JoinHandle<Result<Unpacked, Failed>>,
}

/// A bundle whose signature and parts are checked and whose files are staged.
pub(super) struct Unpacked {
    pub manifest: Manifest,
    /// `None`: nobody is trusted, so nobody was asked for.
    pub signer: Option<Signer>,
    pub manifest_file: Staged,
    pub signature_file: Staged,
    /// In the order of the manifest.
    pub parts: Vec<Staged>,
}

/// Why a bundle is not taken, and what was known of it.
pub(super) struct Failed {
    pub error: Error,
    /// Once the signature was checked.
    pub manifest: Option<Box<Manifest>>,
}

impl From<Error> for Failed {
    fn from(error: Error) -> Self {
        Failed {
            error,
            manifest: None,
        }
    }
}

impl From<airlift_bundle::Error> for Error {
    fn from(error: airlift_bundle::Error) -> Self {
        Error::refused(error.refusal, error.message)
    }
}

impl From<ReadError> for Error {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Refused(error) => error.into(),
            // The request's body, which ends only when somebody says so.
            ReadError::Io(error) => {
                Error::invalid("invalid_form", format!("the upload broke off: {error}"))
            }
        }
    }
}

impl Unpacking {
    /// `permit` is given back when the thread ends.
    pub(super) fn begin(service: Arc<Service>, permit: OwnedSemaphorePermit) -> Unpacking {
        let (pieces, received) = mpsc::channel(QUEUE_PIECES_MAX);
        let runtime = Handle::current();
        let thread = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            let body = Body {
                pieces: received,
                piece: Bytes::new(),
                ended: false,
            };
            Unpacker { service, runtime }.unpack(body)
        });
        Unpacking { pieces, thread }
    }

    pub(super) async fn write(&mut self, bytes: Bytes) -> Result<(), Failed> {
        if self.pieces.send(Some(bytes)).await.is_ok() {
            return Ok(());
        }
        // The thread reads no further: it has found what is wrong.
        match join(&mut self.thread).await {
            Err(failed) => Err(failed),
            Ok(_) => Err(Error::refused(
                Refusal::TooLarge,
                "the bundle goes on behind its end: build it anew",
            )
            .into()),
        }
    }

    pub(super) async fn finish(mut self) -> Result<Unpacked, Failed> {
        // If it fails, the thread knows why.
        let _ = self.pieces.send(None).await;
        join(&mut self.thread).await
    }
}

async fn join(thread: &mut JoinHandle<Result<Unpacked, Failed>>) -> Result<Unpacked, Failed> {
    match thread.await {
        Ok(outcome) => outcome,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            // The server ends, and with it who waits here.
            Err(_) => std::future::pending().await,
        },
    }
}

/// The file as the thread reads it.
struct Body {
    pieces: mpsc::Receiver<Option<Bytes>>,
    piece: Bytes,
    ended: bool,
}

impl Read for Body {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.piece.is_empty() && !self.ended {
            match self.pieces.blocking_recv() {
                Some(Some(bytes)) => self.piece = bytes,
                Some(None) => self.ended = true,
                // Not an end: a bundle that breaks off is no shorter bundle.
                None => return Err(io::ErrorKind::ConnectionAborted.into()),
            }
        }
        let count = self.piece.len().min(buffer.len());
        buffer[..count].copy_from_slice(&self.piece.split_to(count));
        Ok(count)
    }
}

/// What the thread works with.
struct Unpacker {
    service: Arc<Service>,
    runtime: Handle,
}

impl Unpacker {
    fn unpack(&self, body: Body) -> Result<Unpacked, Failed> {
        let archive = Archive::open(body).map_err(Error::from)?;
        let signer = self.check_signature(&archive)?;
        let (manifest_bytes, signature) = (
            Bytes::copy_from_slice(archive.manifest_bytes()),
            Bytes::copy_from_slice(archive.signature()),
        );
        let mut parts = archive.into_parts().map_err(Error::from)?;
        let manifest = parts.manifest().clone();
        let staged = self
            .runtime
            .block_on(self.service.check_bundle(&manifest))
            .and_then(|()| self.stage_parts(&mut parts))
            .and_then(|parts| {
                let manifest_file = self.stage(manifest_bytes)?;
                Ok((parts, manifest_file, self.stage(signature)?))
            });
        match staged {
            Ok((parts, manifest_file, signature_file)) => Ok(Unpacked {
                manifest,
                signer,
                manifest_file,
                signature_file,
                parts,
            }),
            Err(error) => Err(Failed {
                error,
                manifest: Some(Box::new(manifest)),
            }),
        }
    }

    /// Whose signature it is; refuses one that does not count.
    fn check_signature(&self, archive: &Archive<Body>) -> Result<Option<Signer>> {
        let keys = self.service.read_trusted_keys()?;
        let now = self.service.clock.now().timestamp();
        let signature = archive.signature();
        if keys.is_empty() && !self.service.requires_signatures(&keys) {
            return match signature {
                [] => Err(Error::refused(
                    Refusal::Unsigned,
                    "the bundle has no signature: sign it (airlift bundle build --sign KEY)",
                )),
                _ => Ok(None),
            };
        }
        let keys::Signer {
            name, fingerprint, ..
        } = keys.verify(archive.manifest_bytes(), signature, now)?;
        Ok(Some(Signer { name, fingerprint }))
    }

    /// Reads the archive to its end.
    fn stage_parts(&self, parts: &mut Parts<Body>) -> Result<Vec<Staged>> {
        let target = parts.manifest().target();
        let mut staged = Vec::new();
        let mut chunk = vec![0; CHUNK_BYTES];
        while let Some(mut part) = parts.next_part()? {
            let is_firmware = part.part().name == PartName::Firmware.file_name();
            let mut check = is_firmware.then(|| FirmwareCheck::new(target));
            let mut staging = self.begin_staging()?;
            loop {
                let count = part.read_chunk(&mut chunk)?;
                let Some(bytes) = chunk.get(..count).filter(|bytes| !bytes.is_empty()) else {
                    break;
                };
                if let Some(check) = &mut check {
                    check.update(bytes)?;
                }
                let bytes = Bytes::copy_from_slice(bytes);
                self.runtime.block_on(staging.write(bytes))?;
            }
            if let Some(check) = check {
                check.finish()?;
            }
            staged.push(self.runtime.block_on(staging.finish())?);
        }
        Ok(staged)
    }

    fn stage(&self, bytes: Bytes) -> Result<Staged> {
        let mut staging = self.begin_staging()?;
        self.runtime.block_on(staging.write(bytes))?;
        Ok(self.runtime.block_on(staging.finish())?)
    }

    fn begin_staging(&self) -> Result<Staging> {
        let (id, size_max) = (
            self.service.clock.new_id(),
            self.service.settings.upload_bytes_max,
        );
        Ok(self
            .runtime
            .block_on(self.service.blobs.stage(id, size_max))?)
    }
}
