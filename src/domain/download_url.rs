use base64ct::{Base64UrlUnpadded, Encoding};
use chrono::{DateTime, Utc};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// Keeps a signature for this from being one for anything else that is signed one day.
const PURPOSE: &str = "airlift download 1";

/// What the signature of a download's address says: this gateway may have these bytes at this path, by
/// GET or HEAD, until then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DownloadGrant<'g> {
    pub gateway_id: &'g str,
    /// As it stands in the address, from its first slash.
    pub path: &'g str,
    /// Lower-case hex.
    pub sha256: &'g str,
    /// Unix seconds.
    pub expires: i64,
}

/// Why a signed address is not good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GrantRefusal {
    /// Nobody has signed this.
    Forged,
    Expired,
}

impl DownloadGrant<'_> {
    /// What comes behind the path of the address. The characters of a gateway's id need no escape.
    pub fn query(&self, key: &[u8]) -> String {
        let signature = Base64UrlUnpadded::encode_string(&self.mac(key).finalize().into_bytes());
        format!(
            "?gateway={}&expires={}&signature={signature}",
            self.gateway_id, self.expires
        )
    }

    pub fn verify(
        &self,
        key: &[u8],
        signature: &str,
        now: DateTime<Utc>,
    ) -> Result<(), GrantRefusal> {
        let signature =
            Base64UrlUnpadded::decode_vec(signature).map_err(|_| GrantRefusal::Forged)?;
        // Takes as long wherever they differ.
        let is_ours = self.mac(key).verify_slice(&signature).is_ok();
        match is_ours {
            false => Err(GrantRefusal::Forged),
            true if self.expires <= now.timestamp() => Err(GrantRefusal::Expired),
            true => Ok(()),
        }
    }

    fn mac(&self, key: &[u8]) -> Hmac<Sha256> {
        let mut mac = Hmac::<Sha256>::new_from_slice(key)
            .unwrap_or_else(|_| unreachable!("HMAC takes keys of any length"));
        // With its length no field can end within another.
        for field in [PURPOSE, self.gateway_id, self.path, self.sha256] {
            mac.update(&(field.len() as u64).to_be_bytes());
            mac.update(field.as_bytes());
        }
        mac.update(&self.expires.to_be_bytes());
        mac
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &[u8] = b"a key of 32 bytes, for this test";
    const GRANT: DownloadGrant = DownloadGrant {
        gateway_id: "HQ2026TEST001",
        path: "/firmware/gateway_v1.0.2.bin",
        sha256: "5d",
        expires: 1_770_000_000,
    };

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(seconds, 0).unwrap()
    }

    fn signature(grant: &DownloadGrant, key: &[u8]) -> String {
        let query = grant.query(key);
        query.rsplit_once('=').unwrap().1.to_owned()
    }

    #[test]
    fn a_signature_is_good_for_what_it_was_made_for_until_it_expires() {
        let signed = signature(&GRANT, KEY);
        assert_eq!(GRANT.verify(KEY, &signed, at(0)), Ok(()));
        assert_eq!(GRANT.verify(KEY, &signed, at(1_769_999_999)), Ok(()));
        let late = GRANT.verify(KEY, &signed, at(1_770_000_000));
        assert_eq!(late, Err(GrantRefusal::Expired));
        for other in [
            DownloadGrant {
                gateway_id: "HQ2026TEST002",
                ..GRANT
            },
            DownloadGrant {
                path: "/firmware/gateway_v1.0.3.bin",
                ..GRANT
            },
            DownloadGrant {
                sha256: "5e",
                ..GRANT
            },
            DownloadGrant {
                expires: 1_770_000_001,
                ..GRANT
            },
            // The same characters, otherwise divided.
            DownloadGrant {
                gateway_id: "HQ2026TEST001/",
                path: "firmware/gateway_v1.0.2.bin",
                ..GRANT
            },
        ] {
            let refused = other.verify(KEY, &signed, at(0));
            assert_eq!(refused, Err(GrantRefusal::Forged), "{other:?}");
        }
        let refused = GRANT.verify(b"another key", &signed, at(0));
        assert_eq!(refused, Err(GrantRefusal::Forged));
        assert_eq!(
            GRANT.query(KEY),
            format!("?gateway=HQ2026TEST001&expires=1770000000&signature={signed}")
        );
    }

    #[test]
    fn a_signature_is_taken_whole_and_in_one_spelling() {
        let signed = signature(&GRANT, KEY);
        assert_eq!(signed.len(), 43);
        for n in 0..signed.len() {
            let mut altered = signed.clone().into_bytes();
            altered[n] = if altered[n] == b'A' { b'B' } else { b'A' };
            let altered = String::from_utf8(altered).unwrap();
            let refused = GRANT.verify(KEY, &altered, at(0));
            assert_eq!(refused, Err(GrantRefusal::Forged), "{altered}");
        }
        let long = format!("{signed}A");
        let padded = format!("{signed}=");
        for altered in ["", "A", "%", &signed[..42], &signed[..22], &long, &padded] {
            let refused = GRANT.verify(KEY, altered, at(0));
            assert_eq!(refused, Err(GrantRefusal::Forged), "{altered}");
        }
    }
}
