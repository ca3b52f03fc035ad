//! Signed bundles, made by the library that build machines use and signed by the real gpg.

use std::{
    fs,
    io::{self, Cursor, Read},
    path::{Path, PathBuf},
};

use airlift::domain::Clock;
use airlift_bundle::{Kind, Manifest, Part, PartName, archive};
use airlift_testkit::Gpg;
use md5::Md5;
use reqwest::multipart::{Form, Part as FormPart};
use sha2::{Digest, Sha256};
use tempfile::TempDir;

use crate::app::{Answer, Setup, TestApp, UPLOAD};

/// The user id of the key that most tests trust.
pub const RELEASE: &str = "release@example.org";
/// A key that nobody trusts.
pub const STRANGER: &str = "stranger@example.org";

/// A gpg with keys, and a folder of those that are trusted.
pub struct Keys {
    pub gpg: Gpg,
    folder: TempDir,
}

impl Keys {
    /// Nobody is trusted yet.
    pub fn none() -> Keys {
        Keys {
            gpg: Gpg::new().unwrap(),
            folder: tempfile::tempdir().unwrap(),
        }
    }

    /// [`RELEASE`], an Ed25519 key, is trusted by the name `release`; [`STRANGER`] is not.
    pub fn new() -> Keys {
        let keys = Keys::none();
        keys.make(RELEASE, "ed25519");
        keys.make(STRANGER, "ed25519");
        keys.trust("release", RELEASE);
        keys
    }

    /// Makes a key; its fingerprint.
    pub fn make(&self, user_id: &str, algorithm: &str) -> String {
        self.gpg.generate(user_id, algorithm, "never").unwrap()
    }

    /// From now on the key of `user_id` is trusted.
    pub fn trust(&self, name: &str, user_id: &str) {
        fs::write(self.file(name), self.gpg.export(user_id).unwrap()).unwrap();
    }

    pub fn distrust(&self, name: &str) {
        fs::remove_file(self.file(name)).unwrap();
    }

    pub fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(format!("{name}.asc"))
    }

    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub fn setup(&self) -> Setup {
        Setup {
            trusted_keys: Some(self.folder.path().to_owned()),
            ..Setup::default()
        }
    }

    /// A server that trusts them.
    pub async fn server(&self) -> TestApp {
        self.setup().start().await
    }

    /// The bundle, signed by [`RELEASE`].
    pub fn seal(&self, sample: &Sample) -> Vec<u8> {
        self.seal_by(RELEASE, sample)
    }

    pub fn seal_by(&self, user_id: &str, sample: &Sample) -> Vec<u8> {
        let manifest = sample.manifest.to_json();
        sample.sealed(&self.gpg.sign(&[user_id], &manifest).unwrap())
    }
}

/// What a bundle is made of.
#[derive(Clone)]
pub struct Sample {
    pub manifest: Manifest,
    pub firmware: Vec<u8>,
    pub web: Vec<u8>,
}

impl Sample {
    /// For a gateway on a PC, which takes any bytes: a firmware without a web part.
    pub fn new(version: &str, release_counter: u64) -> Sample {
        Sample::of(Kind::Firmware, version, release_counter)
    }

    pub fn of(kind: Kind, version: &str, release_counter: u64) -> Sample {
        let mut sample = Sample {
            manifest: Manifest {
                schema: airlift_bundle::SCHEMA,
                device_type: "gateway".to_owned(),
                version: version.to_owned(),
                target: "raw".to_owned(),
                kind: kind.as_str().to_owned(),
                release_counter,
                allow_rollback: false,
                min_version: None,
                created_at: Clock::System.now().timestamp(),
                expires_at: None,
                parts: Vec::new(),
                changelog: format!("# {version}\n- signed"),
            },
            firmware: format!("firmware {version} ").repeat(5000).into_bytes(),
            web: format!("web {version} ").repeat(3000).into_bytes(),
        };
        sample.describe_parts();
        sample
    }

    /// Writes the parts as they are now into the manifest.
    pub fn describe_parts(&mut self) {
        let kind = Kind::parse(&self.manifest.kind).unwrap();
        let parts = kind.parts().iter().map(|name| {
            let bytes = self.part(*name);
            Part {
                name: name.file_name().to_owned(),
                partition: name.partition().to_owned(),
                size: bytes.len() as u64,
                sha256: hex::encode(Sha256::digest(bytes)),
                md5: hex::encode(Md5::digest(bytes)),
            }
        });
        self.manifest.parts = parts.collect();
    }

    pub fn part(&self, name: PartName) -> &[u8] {
        match name {
            PartName::Firmware => &self.firmware,
            PartName::Web => &self.web,
        }
    }

    /// The bundle with this signature.
    pub fn sealed(&self, signature: &[u8]) -> Vec<u8> {
        let mut parts =
            |name| -> io::Result<Box<dyn Read + '_>> { Ok(Box::new(Cursor::new(self.part(name)))) };
        archive::write(Vec::new(), &self.manifest, signature, &mut parts).unwrap()
    }
}

/// The bytes as the only field of a form.
pub fn bundle_form(bundle: &[u8]) -> Form {
    let part = FormPart::bytes(bundle.to_vec()).file_name("release.jota");
    Form::new().part("file", part)
}

pub async fn upload_bundle(app: &TestApp, bundle: &[u8]) -> Answer {
    app.post_form(UPLOAD, bundle_form(bundle)).await
}
