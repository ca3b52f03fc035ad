//! OpenPGP keys where there is an operating system: whom the server trusts, and what a build machine
//! signs with. By rpgp (the crate `pgp`); which of a file's signatures counts, and how strict its
//! packets are read, is decided in [`crate::signature`], for the server as for devices.

mod certificate;
mod generate;
mod gpg;
mod part;
mod signing;
mod trusted;

pub use generate::generate;
pub use gpg::GpgKey;
pub use signing::{FileKey, SigningKey};
pub use trusted::{PublicKey, Signer, TrustedKeys};

/// Longest key file, bytes.
const KEY_FILE_BYTES_MAX: u64 = 64 << 10;

/// A key cannot be read, made or used: which, why, and what to do. Never holds what is secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct KeyError(String);

impl KeyError {
    fn new(message: impl Into<String>) -> Self {
        Self(message.into())
    }
}

/// A key file's bytes.
fn read_file(path: &std::path::Path) -> Result<Vec<u8>, KeyError> {
    use std::io::Read as _;

    let failed = |error| KeyError(format!("{} cannot be read: {error}", path.display()));
    let file = std::fs::File::open(path).map_err(failed)?;
    let mut bytes = Vec::new();
    file.take(KEY_FILE_BYTES_MAX + 1)
        .read_to_end(&mut bytes)
        .map_err(failed)?;
    if bytes.len() as u64 > KEY_FILE_BYTES_MAX {
        return Err(KeyError(format!(
            "{} is larger than a key: more than {KEY_FILE_BYTES_MAX} bytes",
            path.display()
        )));
    }
    Ok(bytes)
}
