//! The key that `--sign` names.

use std::path::Path;

use airlift_bundle::keys::SigningKey;
use anyhow::{Context, Result};

use super::passphrase;

/// Opens the key, and asks for its passphrase where there is somebody to ask.
pub fn signing_key(key: &str) -> Result<SigningKey> {
    let passphrase = passphrase::from_environment()?;
    let opened = SigningKey::open(key, passphrase.as_deref());
    let is_file = !key.starts_with("gpg:") && Path::new(key).is_file();
    let about = match is_file {
        true => format!(
            "--sign {key} (its passphrase is taken from {})",
            passphrase::VARIABLE
        ),
        false => format!("--sign {key}"),
    };
    if opened.is_ok() || passphrase.is_some() || !is_file || !passphrase::can_ask() {
        return opened.context(about);
    }
    let asked = passphrase::ask(&format!("Passphrase of {key}: "))?;
    let opened = match asked {
        Some(passphrase) => SigningKey::open(key, Some(&passphrase)),
        None => opened,
    };
    opened.context(about)
}
