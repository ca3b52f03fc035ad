use std::{collections::BTreeSet, path::Path};

use airlift_bundle::keys::{KeyError, TrustedKeys};

use super::{Error, Result, Service};
use crate::domain::{Admission, Barred, Firmware};

impl Service {
    /// Refuses a folder of trusted keys that can't be read, and says who is trusted.
    pub async fn check_trusted_keys(&self) -> Result<()> {
        let Some(folder) = self.settings.trusted_keys.clone() else {
            return Ok(());
        };
        let read = blocking(move || TrustedKeys::read(&folder)).await;
        let keys = read.map_err(|error| {
            Error::invalid(
                "trusted_keys_unreadable",
                format!(
                    "{error}: put that right, or name with --trusted-keys a folder that holds \
                     nothing but the public keys of those who sign releases"
                ),
            )
        })?;
        for key in keys.keys() {
            tracing::info!(
                name = key.name,
                fingerprint = key.fingerprint,
                algorithm = key.algorithm,
                revoked = key.is_revoked,
                "a key is trusted"
            );
        }
        if keys.is_empty() {
            tracing::warn!("no key is trusted: the folder of --trusted-keys holds none");
        }
        Ok(())
    }

    /// The keys that are trusted now, read anew. Not for async code: it reads files.
    pub(super) fn read_trusted_keys(&self) -> Result<TrustedKeys> {
        read_keys(self.settings.trusted_keys.as_deref())
    }

    /// What a firmware must have so that it may be sent now.
    pub(super) async fn admission(&self) -> Result<Admission> {
        let keys = match self.settings.trusted_keys.clone() {
            None => TrustedKeys::default(),
            Some(folder) => blocking(move || read_keys(Some(&folder))).await?,
        };
        Ok(Admission {
            now: self.clock.now(),
            trusted: self
                .requires_signatures(&keys)
                .then(|| keys.fingerprints().collect::<BTreeSet<String>>()),
        })
    }

    /// A key that is revoked counts too: else a server with that one alone would take what nobody
    /// has signed.
    pub(super) fn requires_signatures(&self, keys: &TrustedKeys) -> bool {
        self.settings.signatures.requires(!keys.is_empty())
    }
}

pub(super) fn read_keys(folder: Option<&Path>) -> Result<TrustedKeys> {
    let Some(folder) = folder else {
        return Ok(TrustedKeys::default());
    };
    TrustedKeys::read(folder).map_err(unreadable)
}

/// The log knows more than the client is told: the error names files of the server.
fn unreadable(error: KeyError) -> Error {
    tracing::error!(%error, "the trusted keys can't be read");
    Error::busy(
        "trusted_keys_unreadable",
        "the server can't read the keys that it trusts, so it can't tell what is signed: its log \
         says what is wrong with the folder",
    )
}

pub(super) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            // The server ends, and with it who waits here.
            Err(_) => std::future::pending().await,
        },
    }
}

/// Refuses a firmware that must not be sent whatever its status.
pub(super) fn admit(firmware: &Firmware, admission: &Admission) -> Result<()> {
    match admission.bars(firmware) {
        None => Ok(()),
        Some(barred) => Err(refused(&firmware.version, &barred)),
    }
}

fn refused(version: &str, barred: &Barred) -> Error {
    Error::conflict(barred.code(), format!("firmware {version}: {barred}"))
}
