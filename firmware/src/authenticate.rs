//! What a bundle must show before a byte of its parts is fetched: a manifest that a trusted key
//! signed, for this gateway, not an old one, not one whose time is over, and a command that wants
//! nothing else.
//!
//! Nothing of it is kept over a restart but the URLs: then all of it is done again.
//!
//! What comes over the upload page is judged by the same rules: see `local.rs`.

use core::{fmt, mem};

use airlift_bundle::{
    MANIFEST_BYTES_MAX, MANIFEST_HEAD_BYTES_MAX, ManifestDigests, Refusal, Release,
    SIGNATURE_BYTES_MAX, TrustedKey, Verification,
};
use airlift_proto::error_code::DOWNLOAD_FAILED;
use embedded_storage::nor_flash::NorFlash;
use heapless::Vec;

use crate::{
    Answer, Broken, Effect, Gateway, JobId, Notice,
    gateway::{Job, Turn},
    judge::first_part,
    saved::{Links, Order},
    text::{Text, text},
    upgrade::Trouble,
};

/// The signature and the manifest on their way.
#[derive(Debug)]
pub(crate) struct Authentication {
    file: File,
    signature: Vec<u8, SIGNATURE_BYTES_MAX>,
    /// The beginning of the manifest.
    head: Vec<u8, MANIFEST_HEAD_BYTES_MAX>,
    check: Check,
    /// The size that the server announced, bytes.
    total: Option<u64>,
    /// Bytes of the file.
    received: usize,
    /// The manifest's last byte.
    last: u8,
    /// The most bytes of the signature and the manifest there ever were, so that starting over does
    /// not pass for progress.
    received_max: usize,
}

/// What becomes of the manifest's bytes.
#[derive(Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "there is no heap to put the larger ones on"
)]
enum Check {
    /// No key is trusted, so that nothing can be checked; or the signature is still to come.
    None,
    /// The signature comes after the manifest.
    Early(ManifestDigests),
    Signed(Verification),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum File {
    Signature,
    Manifest,
}

impl File {
    pub(crate) fn bytes_max(self) -> usize {
        match self {
            File::Signature => SIGNATURE_BYTES_MAX,
            File::Manifest => MANIFEST_BYTES_MAX,
        }
    }

    fn url(self, links: &Links) -> &str {
        match self {
            File::Signature => links.signature(),
            File::Manifest => links.manifest(),
        }
    }
}

impl fmt::Display for File {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            File::Signature => "signature",
            File::Manifest => "manifest",
        })
    }
}

impl Authentication {
    fn new(first: File) -> Self {
        Authentication {
            file: first,
            signature: Vec::new(),
            head: Vec::new(),
            check: Check::None,
            total: None,
            received: 0,
            last: 0,
            received_max: 0,
        }
    }

    /// Of an upload, which begins with the manifest.
    pub(crate) fn of_upload() -> Self {
        Authentication {
            check: Check::Early(ManifestDigests::default()),
            ..Authentication::new(File::Manifest)
        }
    }

    /// The body of `file` begins.
    fn begin(&mut self, file: File) {
        self.file = file;
        match file {
            File::Signature => self.signature.clear(),
            File::Manifest => {
                self.head.clear();
                self.last = 0;
            }
        }
        (self.total, self.received) = (None, 0);
    }

    /// Takes the next bytes of an upload's manifest or signature.
    pub(crate) fn take_of(&mut self, file: File, bytes: &[u8]) -> Result<(), Refusal> {
        if self.file != file {
            self.begin(file);
        }
        self.take(bytes)
    }

    /// Takes the next bytes; what a limit allows no more is refused.
    fn take(&mut self, bytes: &[u8]) -> Result<(), Refusal> {
        self.received += bytes.len();
        if self.received > self.file.bytes_max() {
            return Err(Refusal::TooLarge);
        }
        if self.file == File::Signature {
            let taken = self.signature.extend_from_slice(bytes);
            return taken.map_err(|_| Refusal::TooLarge);
        }
        let room = MANIFEST_HEAD_BYTES_MAX - self.head.len();
        // There is room.
        let _ = self.head.extend_from_slice(&bytes[..bytes.len().min(room)]);
        self.last = bytes.last().copied().unwrap_or(self.last);
        match &mut self.check {
            Check::None => {}
            Check::Early(digests) => digests.update(bytes),
            Check::Signed(verification) => verification.update(bytes),
        }
        Ok(())
    }

    /// The signature is here: it must be a trusted key's.
    pub(crate) fn trust(&mut self, keys: &[TrustedKey]) -> Result<(), Refusal> {
        let mut verification = Verification::begin(&self.signature, keys)
            .map_err(|refusal| self.truncated_or(File::Signature, refusal))?;
        if let Check::Early(digests) = mem::replace(&mut self.check, Check::None) {
            verification.take(digests);
        }
        self.check = Check::Signed(verification);
        Ok(())
    }

    /// A signature or manifest that is refused: as cut off, if it looks so.
    fn truncated_or(&self, file: File, refusal: Refusal) -> Refusal {
        let is_cut = match file {
            File::Signature => {
                self.signature.starts_with(b"-----BEGIN") && !contains(&self.signature, b"-----END")
            }
            File::Manifest => self.last != b'}',
        };
        match refusal {
            Refusal::BadSignature | Refusal::InvalidManifest if is_cut => Refusal::Truncated,
            other => other,
        }
    }
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

impl Trouble {
    pub(crate) fn refused(refusal: Refusal, why: fmt::Arguments<'_>) -> Self {
        Trouble::new(refusal.code(), why)
    }
}

impl<F> Gateway<F> {
    /// Why this order cannot even be looked at: it is for a plain image, and this gateway trusts keys.
    pub(crate) fn unsigned(&self, order: &Order) -> Option<Trouble> {
        let is_signed = order
            .links
            .as_ref()
            .is_some_and(|links| !links.signature().is_empty());
        (!is_signed && !self.config.trusted_keys.is_empty()).then(|| {
            Trouble::refused(
                Refusal::Unsigned,
                format_args!(
                    "the command names no signature; this gateway takes signed bundles alone: \
                     upload a signed .jota"
                ),
            )
        })
    }
}

impl<F: NorFlash> Turn<'_, F> {
    /// Begins to look at the bundle of the running upgrade, if it is one.
    pub(crate) fn begin_authentication(&mut self) -> bool {
        let gateway = &mut *self.gateway;
        gateway.release = None;
        let order = gateway.saved.active.as_ref().map(|active| &active.order);
        let Some(order) = order.filter(|order| order.links.is_some()) else {
            return false;
        };
        gateway.authentication = Some(Authentication::new(gateway.first_file()));
        (self.out)(Effect::Tell(Notice::Authenticates {
            msg_id: &order.msg_id,
            version: &order.version,
        }));
        true
    }

    /// Begins the next attempt: from the first file on, for what is here may belong to another release
    /// by now.
    pub(crate) fn fetch_proof(&mut self) -> Result<(), Broken> {
        let file = self.gateway.first_file();
        self.fetch_file(file);
        Ok(())
    }

    fn fetch_file(&mut self, file: File) {
        let job = self.next_job();
        let gateway = &mut *self.gateway;
        let order = gateway.saved.active.as_ref().map(|active| &active.order);
        let links = order.and_then(|order| order.links.as_ref());
        let (Some(links), Some(authentication)) = (links, &mut gateway.authentication) else {
            return;
        };
        authentication.begin(file);
        gateway.attempts.begin(self.now.ms);
        gateway.job = Job::Fetching {
            id: job,
            answered: false,
        };
        (self.out)(Effect::Fetch {
            job,
            url: file.url(links),
            offset: 0,
            etag: None,
        });
    }

    pub(crate) fn proof_answer(&mut self, job: JobId, answer: Answer<'_>) -> Result<(), Broken> {
        let Some(authentication) = &mut self.gateway.authentication else {
            return Ok(());
        };
        let file = authentication.file;
        match answer.status {
            200 => {
                let bytes_max = file.bytes_max();
                if let Some(total) = answer.total.filter(|total| *total > bytes_max as u64) {
                    let why = format_args!(
                        "the {file} on the server has {total} bytes, at most {bytes_max} are allowed"
                    );
                    return self.end_active(Trouble::refused(Refusal::TooLarge, why));
                }
                authentication.total = answer.total;
                self.gateway.job = Job::Fetching {
                    id: job,
                    answered: true,
                };
                Ok(())
            }
            408 | 425 | 429 | 500..=599 => {
                let status = u32::from(answer.status);
                let reason: Text<60> =
                    text(format_args!("the server answered {status} for the {file}"));
                self.retry_or_fail(DOWNLOAD_FAILED, &reason, answer.retry_after_ms)
            }
            status => {
                let status = u32::from(status);
                let why = format_args!("the server answered {status} for the {file}'s URL");
                self.fail(DOWNLOAD_FAILED, why)
            }
        }
    }

    pub(crate) fn proof_chunk(&mut self, job: JobId, bytes: &[u8]) -> Result<(), Broken> {
        let gateway = &mut *self.gateway;
        let is_answered = gateway.job
            == Job::Fetching {
                id: job,
                answered: true,
            };
        let Some(authentication) = gateway.authentication.as_mut().filter(|_| is_answered) else {
            return Ok(());
        };
        let file = authentication.file;
        if let Err(refusal) = authentication.take(bytes) {
            let bytes_max = file.bytes_max();
            let why =
                format_args!("the {file} has more than the {bytes_max} bytes that are allowed");
            return self.end_active(Trouble::refused(refusal, why));
        }
        let before = match file {
            File::Signature => 0,
            File::Manifest => SIGNATURE_BYTES_MAX,
        };
        if before + authentication.received > authentication.received_max {
            authentication.received_max = before + authentication.received;
            gateway.attempts.grow(self.now.ms);
        }
        Ok(())
    }

    pub(crate) fn proof_ended(&mut self, reason: Option<&str>) -> Result<(), Broken> {
        let is_answered = matches!(self.gateway.job, Job::Fetching { answered: true, .. });
        let Some(authentication) = &self.gateway.authentication else {
            return Ok(());
        };
        let file = authentication.file;
        let is_short = authentication
            .total
            .is_some_and(|total| (authentication.received as u64) < total);
        if !is_answered || is_short || reason.is_some() {
            // A body that never comes whole is told as what it is.
            let code = match is_answered {
                true => Refusal::Truncated.code(),
                false => DOWNLOAD_FAILED,
            };
            let reason: Text<90> = text(format_args!(
                "the {file}: {}",
                reason.unwrap_or("it ended early")
            ));
            return self.retry_or_fail(code, &reason, None);
        }
        self.gateway.job = Job::None;
        match file {
            File::Signature => self.signature_came(),
            File::Manifest => self.manifest_came(),
        }
    }

    pub(crate) fn proof_impossible(&mut self, reason: &str) -> Result<(), Broken> {
        let Some(authentication) = &self.gateway.authentication else {
            return Ok(());
        };
        let file = authentication.file;
        let why = format_args!("the {file}'s URL cannot be fetched: {reason}");
        self.fail(DOWNLOAD_FAILED, why)
    }

    #[inline(never)]
    fn signature_came(&mut self) -> Result<(), Broken> {
        let gateway = &mut *self.gateway;
        let Some(authentication) = &mut gateway.authentication else {
            return Ok(());
        };
        match authentication.trust(&gateway.config.trusted_keys) {
            Ok(()) => {
                self.fetch_file(File::Manifest);
                Ok(())
            }
            Err(refusal) => self.end_active(explained(refusal)),
        }
    }

    /// Both are here: what they say is judged.
    #[inline(never)]
    fn manifest_came(&mut self) -> Result<(), Broken> {
        let (release, key) = match self.gateway.verify_release() {
            Ok(verified) => verified,
            Err(refusal) => return self.end_active(explained(refusal)),
        };
        let gateway = &*self.gateway;
        let key = key.and_then(|key| gateway.config.trusted_keys.get(key));
        (self.out)(Effect::Tell(Notice::Authentic {
            version: &release.version,
            release_counter: release.release_counter,
            key: key.map(|key| key.name.as_str()),
        }));
        if let Some(trouble) = gateway.unfit(&release, self.now.unix_seconds) {
            return self.end_active(trouble);
        }
        if let Some(active) = &mut self.gateway.saved.active {
            // From now on it is the manifest's that counts; a command may have none.
            active.order.sha256 = first_part(&release).map(|part| part.sha256);
        }
        self.gateway.release = Some(release);
        self.gateway.authentication = None;
        self.begin_download()
    }
}

/// Why a signature and a manifest are no release.
pub(crate) fn explained(refusal: Refusal) -> Trouble {
    let why = match refusal {
        Refusal::Unsigned => "the signature file has no signature; sign the bundle, upload it anew",
        Refusal::UntrustedKey => {
            "no key that this gateway trusted at that time signed the bundle; sign it with one"
        }
        Refusal::BadSignature => {
            "the manifest is not what was signed, or the signature is garbled; upload the bundle anew"
        }
        Refusal::Truncated => "the signature or the manifest is cut off; upload the bundle anew",
        Refusal::WrongTarget => {
            "the manifest is for a board that is not known; order another bundle"
        }
        Refusal::UnsafePath => "the manifest names a part by a path; build the bundle anew",
        Refusal::TooLarge => "the signature, or a part of the bundle, is too large; build it anew",
        _ => "the manifest makes no sense to this gateway; build the bundle anew",
    };
    Trouble::refused(refusal, format_args!("{why}"))
}

impl<F: NorFlash> Gateway<F> {
    /// The release that a trusted key signed, and which key; without trusted keys any.
    pub(crate) fn verify_release(&mut self) -> Result<(Release, Option<usize>), Refusal> {
        let authentication = self.authentication.as_mut().ok_or(Refusal::Unsigned)?;
        let check = mem::replace(&mut authentication.check, Check::None);
        let truncated_or = |refusal| authentication.truncated_or(File::Manifest, refusal);
        let signed = match check {
            Check::Signed(verification) => Some(verification.finish().map_err(&truncated_or)?),
            Check::None | Check::Early(_) => None,
        };
        if signed.is_none() && !self.config.trusted_keys.is_empty() {
            return Err(Refusal::Unsigned);
        }
        let release = Release::read(&authentication.head).map_err(truncated_or)?;
        if signed.is_some() && release.created_at > self.saved.time_floor {
            self.saved.time_floor = release.created_at;
            // If it is not kept, the next manifest tells it again.
            let _ = self.memory.save(self.ota.flash(), &mut self.saved);
        }
        Ok((release, signed.map(|signed| signed.key)))
    }

    /// Without a trusted key there is nothing to check a signature by, so it is not even fetched.
    fn first_file(&self) -> File {
        match self.config.trusted_keys.is_empty() {
            true => File::Manifest,
            false => File::Signature,
        }
    }
}
