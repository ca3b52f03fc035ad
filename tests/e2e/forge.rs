//! Bundles, honest and forged, with keys of the real gpg.

use std::{fs, io::Write, path::Path};

use airlift_bundle::{Kind, Manifest, Part, PartName, SCHEMA};
use airlift_testkit::Gpg;
use md5::Md5;
use sha2::{Digest, Sha256};

/// Bytes of a tar block.
const BLOCK: usize = 512;
/// When every bundle was built, Unix seconds.
pub const BUILT_AT: i64 = 1_750_000_000;

/// A release key that is trusted, and a stranger's.
pub struct Forge {
    gpg: Gpg,
    release: String,
    stranger: String,
    trusted: tempfile::TempDir,
}

/// A bundle in its pieces.
#[derive(Clone)]
pub struct Pieces {
    pub manifest: Vec<u8>,
    pub signature: Vec<u8>,
    pub parts: Vec<(&'static str, Vec<u8>)>,
}

impl Forge {
    pub fn new() -> Forge {
        let gpg = Gpg::new().unwrap();
        let release = gpg.generate("release", "ed25519", "never").unwrap();
        let stranger = gpg.generate("stranger", "ed25519", "never").unwrap();
        let trusted = tempfile::tempdir().unwrap();
        let key = gpg.export(&release).unwrap();
        fs::write(trusted.path().join("release.asc"), key).unwrap();
        Forge {
            gpg,
            release,
            stranger,
            trusted,
        }
    }

    /// The folder for `--trusted-keys`.
    pub fn trusted(&self) -> &Path {
        self.trusted.path()
    }

    pub fn sign(&self, manifest: &[u8]) -> Vec<u8> {
        self.gpg.sign(&[&self.release], manifest).unwrap()
    }

    pub fn sign_as_stranger(&self, manifest: &[u8]) -> Vec<u8> {
        self.gpg.sign(&[&self.stranger], manifest).unwrap()
    }

    /// A sound bundle for raw gateways, after `change`; its parts are filled with the version.
    pub fn bundle(
        &self,
        kind: Kind,
        version: &str,
        release_counter: u64,
        change: impl FnOnce(&mut Manifest),
    ) -> Pieces {
        let parts: Vec<_> = kind
            .parts()
            .iter()
            .map(|&name| made(name, version))
            .collect();
        let mut manifest = Manifest {
            schema: SCHEMA,
            device_type: "gateway".into(),
            version: version.into(),
            target: "raw".into(),
            kind: kind.as_str().into(),
            release_counter,
            allow_rollback: false,
            min_version: None,
            created_at: BUILT_AT,
            expires_at: None,
            parts: parts
                .iter()
                .map(|(name, bytes)| described(name, bytes))
                .collect(),
            changelog: format!("# {version}\n"),
        };
        change(&mut manifest);
        let manifest = manifest.to_json();
        Pieces {
            signature: self.sign(&manifest),
            manifest,
            parts,
        }
    }
}

impl Pieces {
    pub fn part(&self, name: PartName) -> &[u8] {
        let mut parts = self.parts.iter();
        let found = parts.find(|(part, _)| *part == name.file_name());
        &found.expect("the bundle has the part").1
    }

    /// Every member, in order.
    pub fn members(&self) -> Vec<(&str, &[u8])> {
        let mut members: Vec<(&str, &[u8])> = vec![
            ("manifest.json", &self.manifest),
            ("manifest.json.asc", &self.signature),
        ];
        members.extend(
            self.parts
                .iter()
                .map(|(name, bytes)| (*name, bytes.as_slice())),
        );
        members
    }

    pub fn jota(&self) -> Vec<u8> {
        jota(&self.members())
    }
}

fn made(name: PartName, version: &str) -> (&'static str, Vec<u8>) {
    let bytes = match name {
        PartName::Firmware => 200_000,
        PartName::Web => 50_000,
    };
    let text = format!("{} {version}\n", name.file_name());
    let filled = text.bytes().cycle().take(bytes).collect();
    (name.file_name(), filled)
}

fn described(name: &str, bytes: &[u8]) -> Part {
    Part {
        name: name.into(),
        partition: PartName::parse(name).unwrap().partition().into(),
        size: bytes.len() as u64,
        sha256: hex::encode(Sha256::digest(bytes)),
        md5: hex::encode(Md5::digest(bytes)),
    }
}

/// An archive of these members, whatever their names.
pub fn jota(members: &[(&str, &[u8])]) -> Vec<u8> {
    compressed(&tar(members))
}

pub fn compressed(bytes: &[u8]) -> Vec<u8> {
    zstd::encode_all(bytes, 3).unwrap()
}

/// Plain ustar; written here, for a library refuses the names that matter.
pub fn tar(members: &[(&str, &[u8])]) -> Vec<u8> {
    let mut tar = Vec::new();
    for (name, bytes) in members {
        let mut head = [0; BLOCK];
        head[..name.len()].copy_from_slice(name.as_bytes());
        field(&mut head[100..108], 0o644);
        field(&mut head[108..116], 0);
        field(&mut head[116..124], 0);
        field(&mut head[124..136], bytes.len() as u64);
        field(&mut head[136..148], BUILT_AT.unsigned_abs());
        head[148..156].fill(b' ');
        head[156] = b'0';
        head[257..265].copy_from_slice(b"ustar\x0000");
        let sum: u64 = head.iter().map(|byte| u64::from(*byte)).sum();
        write!(&mut head[148..155], "{sum:06o}\0").unwrap();
        tar.extend_from_slice(&head);
        tar.extend_from_slice(bytes);
        tar.resize(tar.len().next_multiple_of(BLOCK), 0);
    }
    tar.resize(tar.len() + 2 * BLOCK, 0);
    tar
}

fn field(mut field: &mut [u8], number: u64) {
    let digits = field.len() - 1;
    write!(field, "{number:0digits$o}\0").unwrap();
}
