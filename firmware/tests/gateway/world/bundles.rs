//! Signed bundles: who signs them, what the server has of them, and how they are ordered.

use airlift_bundle::{MANIFEST_BYTES_MAX, Manifest, Part, SCHEMA, TrustedKey};
use airlift_firmware::Event;
use base64ct::{Base64, Encoding};
use ed25519_dalek::{Signer as _, SigningKey};
use md5::Md5;
use sha2::{Digest, Sha256, Sha512};

use super::*;

/// What every bundle is for, unless a test says otherwise.
pub const TARGET: &str = "esp32c3";
pub const DEVICE_TYPE: &str = "gateway";
/// When every bundle was built, Unix seconds.
pub const CREATED_AT: i64 = SENT_AT - 1_000;

/// A text on the server, and how it is sent.
#[derive(Clone, Debug)]
pub struct Document {
    pub bytes: Vec<u8>,
    /// HTTP.
    pub status: u16,
    /// As the answer announces it, bytes.
    pub total: Option<u64>,
    /// The connection breaks at its end.
    pub breaks: bool,
}

impl Document {
    pub fn new(bytes: impl Into<Vec<u8>>) -> Self {
        let bytes = bytes.into();
        Document {
            total: Some(bytes.len() as u64),
            bytes,
            status: 200,
            breaks: false,
        }
    }
}

/// An Ed25519 key that signs as OpenPGP has it (RFC 9580, 5.2.3), and as a gateway knows it.
pub struct Signer {
    secret: SigningKey,
    pub key: TrustedKey,
}

impl Signer {
    pub fn new(name: &str, seed: u8) -> Self {
        let secret = SigningKey::from_bytes(&[seed; 32]);
        Signer {
            key: TrustedKey {
                name: name.try_into().unwrap(),
                public_key: secret.verifying_key().to_bytes(),
                fingerprint: [seed; 20],
                valid_from: CREATED_AT - 1_000_000,
                valid_until: None,
            },
            secret,
        }
    }

    /// The armored signature of a document.
    pub fn sign(&self, document: &[u8]) -> Vec<u8> {
        self.sign_at(document, CREATED_AT)
    }

    pub fn sign_at(&self, document: &[u8], signed_at: i64) -> Vec<u8> {
        // Version 4, of a binary document, by Ed25519 over SHA-512; then the hashed subpackets: when,
        // and by whom.
        let mut body = vec![4, 0x00, 27, 10, 0, 29];
        body.extend([5, 2]);
        body.extend((signed_at as u32).to_be_bytes());
        body.extend([22, 33, 4]);
        body.extend(self.key.fingerprint);
        let mut digest = Sha512::new();
        digest.update(document);
        digest.update(&body);
        digest.update([4, 0xFF]);
        digest.update((body.len() as u32).to_be_bytes());
        let digest = digest.finalize();
        body.extend([0, 0]);
        body.extend(&digest[..2]);
        body.extend(self.secret.sign(&digest).to_bytes());
        let mut packet = vec![0xC2, body.len() as u8];
        packet.extend(body);
        let lines = Base64::encode_string(&packet);
        let lines: Vec<&str> = (0..lines.len())
            .step_by(64)
            .map(|at| &lines[at..lines.len().min(at + 64)])
            .collect();
        format!(
            "-----BEGIN PGP SIGNATURE-----\n\n{}\n-----END PGP SIGNATURE-----\n",
            lines.join("\n")
        )
        .into()
    }
}

/// The key that the gateways of these tests trust.
pub fn release_key() -> Signer {
    Signer::new("release", 7)
}

/// The manifest of a firmware whose one part is `image`.
pub fn manifest(version: &str, release_counter: u64, image: &[u8]) -> Manifest {
    Manifest {
        schema: SCHEMA,
        device_type: DEVICE_TYPE.into(),
        version: version.into(),
        target: TARGET.into(),
        kind: "firmware".into(),
        release_counter,
        allow_rollback: false,
        min_version: None,
        created_at: CREATED_AT,
        expires_at: None,
        parts: vec![Part {
            name: "firmware.bin".into(),
            partition: "app".into(),
            size: image.len() as u64,
            sha256: hex(&Sha256::digest(image)),
            md5: hex(&Md5::digest(image)),
        }],
        changelog: "Longer than a gateway keeps. ".repeat(200),
    }
}

pub fn manifest_name(msg_id: &str) -> String {
    format!("{msg_id}.manifest.json")
}

pub fn signature_name(msg_id: &str) -> String {
    format!("{msg_id}.manifest.json.asc")
}

impl World {
    /// A connected gateway that trusts the release key and knows what it is.
    pub fn trusting() -> Self {
        let mut world = World::new();
        world.trust();
        world.start();
        world.connect();
        world.ack_all();
        world
    }

    /// From the next start on.
    pub fn trust(&mut self) {
        self.trusted_keys.clear();
        self.trusted_keys.push(release_key().key).unwrap();
        self.device_type = DEVICE_TYPE.try_into().unwrap();
        self.target = TARGET.try_into().unwrap();
    }

    /// The image of a version as the server has it.
    pub fn image(&self, version: &str) -> Vec<u8> {
        image_of(version, self.image_bytes)
    }

    /// The server has this manifest, signed by the release key.
    pub fn offer(&mut self, msg_id: &str, manifest: &Manifest) {
        let bytes = manifest.to_json();
        assert!(bytes.len() <= MANIFEST_BYTES_MAX);
        self.serve_documents(msg_id, &bytes, &release_key().sign(&bytes));
    }

    pub fn serve_documents(&mut self, msg_id: &str, manifest: &[u8], signature: &[u8]) {
        for (name, bytes) in [
            (manifest_name(msg_id), manifest),
            (signature_name(msg_id), signature),
        ] {
            self.documents.insert(name, Document::new(bytes));
        }
    }

    pub fn manifest_of(&mut self, msg_id: &str) -> &mut Document {
        self.documents.get_mut(&manifest_name(msg_id)).unwrap()
    }

    pub fn signature_of(&mut self, msg_id: &str) -> &mut Document {
        self.documents.get_mut(&signature_name(msg_id)).unwrap()
    }

    /// Orders what the server has under this id.
    pub fn order_offered(&mut self, msg_id: &str, version: &str) {
        self.order_with(msg_id, version, FileKind::Good, |data| bundle(data, msg_id));
    }

    /// The server offers and orders a signed firmware.
    pub fn order_signed(&mut self, msg_id: &str, version: &str, release_counter: u64) {
        self.order_signed_with(msg_id, version, release_counter, |_| {});
    }

    pub fn order_signed_with(
        &mut self,
        msg_id: &str,
        version: &str,
        release_counter: u64,
        change: impl FnOnce(&mut Manifest),
    ) {
        let mut manifest = manifest(version, release_counter, &self.image(version));
        change(&mut manifest);
        self.offer(msg_id, &manifest);
        self.order_offered(msg_id, version);
    }

    /// The answer to a request for a manifest or signature.
    pub(super) fn answer_document(&mut self, job: JobId, document: &Document) {
        let answer = Answer {
            status: document.status,
            total: document.total,
            ..Answer::default()
        };
        self.happens(Event::Answer { job, answer });
    }

    /// The next bytes of a manifest or signature, or its end.
    pub(super) fn serve_document(&mut self, from: usize, length: usize, document: &Document) {
        let Some(fetching) = &mut self.fetching else {
            return;
        };
        let job = fetching.job;
        let to = document.bytes.len().min(from.saturating_add(length));
        if from >= to {
            self.fetching = None;
            let reason = document.breaks.then_some("cut");
            return self.happens(Event::FetchEnded { job, reason });
        }
        fetching.position = Some(to as u64);
        let bytes = &document.bytes[from..to];
        self.happens(Event::Chunk { job, bytes });
    }
}

/// Makes a command for a file one for a signed bundle.
pub fn bundle(data: &mut UpgradeData, msg_id: &str) {
    data.manifest_url = Some(format!("http://server/{}", manifest_name(msg_id)));
    data.signature_url = Some(format!("http://server/{}", signature_name(msg_id)));
    data.kind = Some("firmware".into());
    data.parts = vec![PartData {
        name: "firmware.bin".into(),
        partition: "app".into(),
        url: data.firmware_url.clone(),
        size: data.file_size,
        sha256: data.sha256.clone().unwrap_or_default(),
        md5: data.md5.clone(),
    }];
}
