//! What the tests share: a manifest, what devices know of gpg's keys, and OpenPGP by hand.

use std::{
    fs,
    time::{SystemTime, UNIX_EPOCH},
};

use airlift_bundle::{
    Error, Refusal, Signed, TrustedKey, Verification,
    keys::{KeyError, Signer, TrustedKeys},
};
use airlift_testkit::{Gpg, Scratch};
use base64ct::{Base64, Encoding as _};

pub const MANIFEST: &[u8] =
    br#"{"schema":1,"deviceType":"gateway","version":"2.7.1","changelog":"- It blinks.\n"}"#;

pub fn hex(text: &str) -> Vec<u8> {
    let digit = |at| u8::from_str_radix(&text[at..at + 2], 16).expect("hex");
    (0..text.len()).step_by(2).map(digit).collect()
}

/// What a device is told of a gpg key, always valid: its 32 octets follow the length and the prefix
/// of its point.
pub fn trusted(gpg: &Gpg, fingerprint: &str) -> TrustedKey {
    let key = gpg
        .run(&["--export", &format!("{fingerprint}!")], &[])
        .expect("exported");
    // The point of a subkey comes last, that of a key alone.
    let at = key
        .windows(3)
        .rposition(|three| three == [0x01, 0x07, 0x40])
        .expect("an Ed25519 key");
    TrustedKey {
        name: "release".try_into().expect("short"),
        public_key: key[at + 3..at + 35].try_into().expect("32 octets"),
        fingerprint: hex(fingerprint).try_into().expect("20 octets"),
        valid_from: 0,
        valid_until: None,
    }
}

/// A device's answer.
pub fn check(signatures: &[u8], keys: &[TrustedKey], manifest: &[u8]) -> Result<Signed, Refusal> {
    let mut verification = Verification::begin(signatures, keys)?;
    for piece in manifest.chunks(7) {
        verification.update(piece);
    }
    verification.finish()
}

/// The octets of one armored block.
pub fn dearmor(armored: &[u8]) -> Vec<u8> {
    let text = str::from_utf8(armored).expect("text").replace('\r', "");
    let (_, body) = text.split_once("\n\n").expect("a body");
    let lines = body
        .lines()
        .take_while(|line| !line.starts_with(['=', '-']));
    Base64::decode_vec(&lines.collect::<String>()).expect("base64")
}

pub fn armor(octets: &[u8]) -> Vec<u8> {
    let mut text = "-----BEGIN PGP SIGNATURE-----\n\n".to_owned();
    for line in Base64::encode_string(octets).as_bytes().chunks(64) {
        text += str::from_utf8(line).expect("base64");
        text += "\n";
    }
    (text + "-----END PGP SIGNATURE-----\n").into_bytes()
}

/// The body of the first packet, whose length has one octet.
pub fn body(packets: &[u8]) -> &[u8] {
    assert!(matches!(packets[0], 0x88 | 0xC2), "{:02x}", packets[0]);
    &packets[2..2 + usize::from(packets[1])]
}

/// A folder of trusted keys.
pub struct Folder(pub Scratch);

impl Folder {
    pub fn new(files: &[(&str, &[u8])]) -> Self {
        let scratch = Scratch::new("keys").expect("a folder");
        let folder = Self(scratch);
        for (name, bytes) in files {
            folder.write(name, bytes);
        }
        folder
    }

    pub fn write(&self, name: &str, bytes: &[u8]) {
        fs::write(self.0.path().join(name), bytes).expect("written");
    }

    pub fn read(&self) -> Result<TrustedKeys, KeyError> {
        TrustedKeys::read(self.0.path())
    }

    /// The server's answer.
    pub fn verify(&self, signatures: &[u8], manifest: &[u8]) -> Result<Signer, Error> {
        let keys = self.read().expect("trusted keys");
        keys.verify(manifest, signatures, now())
    }
}

/// Unix seconds.
#[expect(clippy::disallowed_methods, reason = "gpg signs with the clock's time")]
pub fn now() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.expect("after 1970").as_secs() as i64
}
