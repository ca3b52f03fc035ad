use md5::Md5;
use sha2::{Digest, Sha256};

use crate::{Error, Part, Refusal, field};

/// What a part's bytes are known by.
#[derive(Default)]
pub(super) struct Digests {
    sha256: Sha256,
    md5: Md5,
}

impl Digests {
    pub(super) fn update(&mut self, bytes: &[u8]) {
        self.sha256.update(bytes);
        self.md5.update(bytes);
    }

    /// Whether they were the part's.
    pub(super) fn check(self, part: &Part) -> Result<(), Error> {
        let sha256: [u8; 32] = self.sha256.finalize().into();
        let md5: [u8; 16] = self.md5.finalize().into();
        let wrong = match (field::digest(&part.sha256), field::digest(&part.md5)) {
            (expected, _) if expected != Some(sha256) => "SHA-256",
            (_, expected) if expected != Some(md5) => "MD5",
            _ => return Ok(()),
        };
        Err(Error::new(
            Refusal::PartMismatch,
            format!(
                "the part {} is not the one that the manifest names: its {wrong} differs",
                part.name
            ),
        ))
    }
}
