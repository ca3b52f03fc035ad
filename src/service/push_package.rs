use std::sync::Arc;

use airlift_bundle::Refusal;
use airlift_package::{Content, Version};
use bytes::Bytes;
use serde_json::json;

use super::{Error, PackageView, Result, Service, trust::blocking, unpack_bundle::Failed};
use crate::{
    blob::{Staged, Staging},
    domain::{Caller, Event, Package, Signer},
    metrics::KindLabel,
    store::{BlobRow, Tx},
};

/// Largest `content.json`, in bytes.
pub const CONTENT_BYTES_MAX: u64 = airlift_package::CONTENT_BYTES_MAX as u64;
/// Largest file of signatures, in bytes.
pub const SIGNATURE_BYTES_MAX: u64 = airlift_bundle::SIGNATURE_BYTES_MAX as u64;

/// What is said of a package's file.
#[derive(Clone, Debug)]
pub struct PackageDetails {
    /// `content.json`, byte for byte.
    pub content: String,
    /// Detached OpenPGP signatures of these bytes, armored.
    pub signature: Option<String>,
}

/// A package's file on its way in. Dropped, it leaves nothing behind.
pub struct PackageUpload {
    staging: Staging,
}

/// What came of a push.
#[derive(Clone, Debug)]
pub enum Pushed {
    Stored(Box<PackageView>),
    /// The file is not the one that `content.json` names; nothing is kept.
    OtherFile,
}

impl PackageUpload {
    pub async fn write(&mut self, bytes: Bytes) -> Result<()> {
        Ok(self.staging.write(bytes).await?)
    }
}

impl Service {
    /// Begins a package's file; its digests are computed as the bytes arrive.
    pub async fn begin_package(&self) -> Result<PackageUpload> {
        let (id, size_max) = (self.clock.new_id(), self.settings.upload_bytes_max);
        let staging = self.blobs.stage(id, size_max).await?;
        Ok(PackageUpload { staging })
    }

    /// Refuses a package that can't be stored, before the bytes of its file are spent. What has not come
    /// yet is not missed.
    pub async fn check_package(
        self: &Arc<Self>,
        content: &str,
        signature: Option<&str>,
    ) -> Result<()> {
        let described = read_content(content)?;
        if signature.is_some() {
            self.check_signature(&described, content, signature).await?;
        }
        let mut tx = self.db.read().await?;
        let (name, branch) = (&described.package, &described.branch);
        match tx.package(name, branch, &described.version).await? {
            Some(old) if old.content != content => refuse_released(&mut tx, &old).await,
            _ => Ok(()),
        }
    }

    /// Makes an uploaded file a version of its package, or puts it in the place of what that version was.
    pub async fn finish_package(
        self: &Arc<Self>,
        caller: &Caller,
        upload: PackageUpload,
        details: PackageDetails,
    ) -> Result<Pushed> {
        let PackageDetails { content, signature } = details;
        let described = read_content(&content)?;
        let version: Version = described.version.parse().map_err(invalid_content)?;
        let signed_by = self
            .check_signature(&described, &content, signature.as_deref())
            .await?;
        let staged = upload.staging.finish().await?;
        if staged.sha256 != described.sha256() {
            tracing::info!(
                package = described.package,
                version = described.version,
                sha256 = staged.sha256,
                "a package's file is not the one of its content.json"
            );
            staged.discard().await?;
            return Ok(Pushed::OtherFile);
        }
        if staged.size == 0 {
            return Err(Error::invalid(
                "empty_file",
                "the file is empty: choose what your build made",
            ));
        }
        let now = self.clock.now();
        let pushed = Package {
            package_id: self.clock.new_id(),
            name: described.package,
            branch: described.branch,
            version: described.version,
            content,
            file_size: i64::try_from(staged.size).unwrap_or(i64::MAX),
            md5: staged.md5.clone(),
            sha256: staged.sha256.clone(),
            signature,
            signed_by,
            withdrawn_at: None,
            created_at: now,
            updated_at: now,
        };
        let view = self
            .store_package(caller, pushed, version.key(), staged)
            .await?;
        Ok(Pushed::Stored(Box::new(view)))
    }

    async fn store_package(
        &self,
        caller: &Caller,
        pushed: Package,
        version_key: &str,
        staged: Staged,
    ) -> Result<PackageView> {
        let now = pushed.updated_at;
        let bytes = staged.size;
        let mut tx = self.db.begin().await?;
        tx.lock_branch(&pushed.name, &pushed.branch).await?;
        let old = tx
            .package(&pushed.name, &pushed.branch, &pushed.version)
            .await?;
        // The row's lock keeps the sweeper from deleting the file between here and the commit.
        tx.put_blob(&BlobRow {
            sha256: pushed.sha256.clone(),
            md5: pushed.md5.clone(),
            size: pushed.file_size,
            created_at: now,
        })
        .await?;
        let (package, change) = match &old {
            None => {
                tx.insert_package(&pushed, version_key).await?;
                (pushed, Some("pushed"))
            }
            Some(old) => {
                if old.content != pushed.content {
                    refuse_released(&mut tx, old).await?;
                }
                let (package, change) = merged(old, pushed);
                if change.is_some() {
                    tx.update_package(&package).await?;
                }
                (package, change)
            }
        };
        self.blobs.promote(staged).await?;
        let head = tx.head_package(&package.name, &package.branch).await?;
        if let Some(change) = change {
            tx.record(Event::package(change, &package, now));
            let detail = json!({
                "branch": package.branch,
                "change": change,
                "sha256": package.sha256,
            });
            tx.audit(&caller.did("package.push", package.subject(), detail, now))
                .await?;
        }
        tx.commit().await?;
        if let Some(old) = old.filter(|old| old.sha256 != package.sha256) {
            self.delete_blob_if_unused(&old.sha256).await?;
        }
        self.metrics.upload_bytes.inc_by(bytes);
        let kind = KindLabel { kind: "package" };
        self.metrics.uploads.get_or_create(&kind).inc();
        tracing::info!(
            package = package.name,
            branch = package.branch,
            version = package.version,
            bytes,
            sha256 = package.sha256,
            signed_by = package.signed_by.as_ref().map(|signer| &signer.name),
            change = change.unwrap_or("none"),
            "package pushed"
        );
        Ok(PackageView {
            is_head: head.is_some_and(|head| head.package_id == package.package_id),
            package,
        })
    }

    /// Who signed a `content.json`; refuses a signature that does not count, and none where one must be.
    async fn check_signature(
        self: &Arc<Self>,
        described: &Content,
        content: &str,
        signature: Option<&str>,
    ) -> Result<Option<Signer>> {
        let service = Arc::clone(self);
        let (content, signature) = (content.to_owned(), signature.map(str::to_owned));
        let of = format!("{} {}", described.package, described.version);
        let checked = blocking(move || service.signer(&of, &content, signature.as_deref())).await;
        match checked {
            Ok(signer) => Ok(signer),
            Err(error) => Err(self.note_refusal(Failed::from(error)).await),
        }
    }

    /// Not for async code: it reads files.
    fn signer(&self, of: &str, content: &str, signature: Option<&str>) -> Result<Option<Signer>> {
        let keys = self.read_trusted_keys()?;
        let required = self.requires_signatures(&keys);
        let unsigned = |why: &str| {
            let message = format!(
                "{of}: {why}: sign content.json (gpg --armor --detach-sign content.json) and send \
                 the signature too (-F signature=@content.json.asc)"
            );
            Error::refused(Refusal::Unsigned, message)
        };
        let Some(signature) = signature else {
            return match required {
                true => Err(unsigned(
                    "this server takes only packages that a trusted key has signed",
                )),
                false => Ok(None),
            };
        };
        if keys.is_empty() && !required {
            // Nobody is trusted, so nobody is asked for.
            return Ok(None);
        }
        let now = self.clock.now().timestamp();
        match keys.verify(content.as_bytes(), signature.as_bytes(), now) {
            Ok(signer) => Ok(Some(Signer {
                name: signer.name,
                fingerprint: signer.fingerprint,
            })),
            Err(error) if error.refusal == Refusal::Unsigned => {
                Err(unsigned("there is no signature in the field \"signature\""))
            }
            Err(error) => {
                let message = format!("content.json of {of}: {}", error.message);
                Err(Error::refused(error.refusal, message))
            }
        }
    }
}

/// What a version is after a push onto what it was, and what is told of it; `None`: nothing has
/// changed.
fn merged(old: &Package, pushed: Package) -> (Package, Option<&'static str>) {
    let mut package = Package {
        package_id: old.package_id,
        created_at: old.created_at,
        ..pushed
    };
    if package.content != old.content {
        return (package, Some("replaced"));
    }
    // The one that is there is of the same bytes; who made it was found out when it came.
    if package.signature.is_none() || package.signature == old.signature {
        package.signature.clone_from(&old.signature);
        package.signed_by = package.signed_by.or_else(|| old.signed_by.clone());
    }
    let is_signed_anew = package.signature != old.signature || package.signed_by != old.signed_by;
    match old.withdrawn_at {
        Some(_) => (package, Some("restored")),
        None if is_signed_anew => (package, Some("signed")),
        None => (old.clone(), None),
    }
}

fn read_content(content: &str) -> Result<Content> {
    let described = Content::read(content.as_bytes()).map_err(invalid_content)?;
    if described.sha256.is_empty() {
        return Err(invalid_content(
            "content.json has no sha256: write the file's SHA-256 there",
        ));
    }
    Ok(described)
}

fn invalid_content(error: impl ToString) -> Error {
    Error::invalid("invalid_content", error.to_string())
}

/// Refuses a change of a version that devices are sent as a firmware.
pub(super) async fn refuse_released(tx: &mut Tx, package: &Package) -> Result<()> {
    let Package {
        name,
        branch,
        version,
        ..
    } = package;
    match tx.package_released_for(name, branch, version).await? {
        None => Ok(()),
        Some(device_type) => Err(Error::conflict(
            "package_released",
            format!(
                "{name} {version} of branch {branch} is released as a firmware of device type \
                 {device_type}, so its content stays as it is: push a new version"
            ),
        )),
    }
}
