//! Whether a version is signed by somebody whom the device trusts.

use airlift_bundle::keys::TrustedKeys;
use airlift_proto::error_code;

use crate::{clock, stage::Trouble};

/// Checks the detached OpenPGP signature of a `content.json`, by the code the server uses.
pub fn check(
    name: &str,
    content: &[u8],
    signature: Option<&[u8]>,
    keys: &TrustedKeys,
) -> Result<(), Trouble> {
    let Some(signature) = signature else {
        let message = format!(
            "{name} is not signed, and this device demands it; push it again with its signature"
        );
        return Err(Trouble::new(error_code::UNSIGNED, message));
    };
    let now = clock::unix_seconds();
    match keys.verify(content, signature, now) {
        Ok(signer) => {
            tracing::info!(
                package = name,
                signer = signer.name,
                "the signature is good"
            );
            Ok(())
        }
        Err(error) => Err(Trouble::new(
            error.refusal.code(),
            format!("{name}: {error}"),
        )),
    }
}
