//! Bundles to begin with, and archives made by hand: what a bundle's writer would never write.

use std::io::Read;

use airlift_bundle::{
    Archive, Kind, MANIFEST_NAME, Manifest, Part, PartDigests, PartName, ReadError, Release,
    SCHEMA, SIGNATURE_NAME,
};
use md5::Md5;
use sha2::{Digest, Sha256};

/// A bundle, taken apart.
#[derive(Clone, Debug, PartialEq)]
pub struct Bundle {
    pub manifest: Manifest,
    pub signature: Vec<u8>,
    /// In the manifest's order.
    pub parts: Vec<Vec<u8>>,
}

/// A sound manifest of a kind, for parts of 1000 bytes that nobody has.
pub fn manifest(kind: Kind) -> Manifest {
    let parts = kind.parts().iter().map(|name| Part {
        name: name.file_name().into(),
        partition: name.partition().into(),
        size: 1000,
        sha256: "a1".repeat(32),
        md5: "0f".repeat(16),
    });
    Manifest {
        schema: SCHEMA,
        device_type: "gateway".into(),
        version: "2.7.0".into(),
        target: "esp32-wroom".into(),
        kind: kind.as_str().into(),
        release_counter: 17,
        allow_rollback: false,
        min_version: Some("2.6.0".into()),
        created_at: 1_700_000_000,
        expires_at: Some(1_800_000_000),
        parts: parts.collect(),
        changelog: "# 2.7.0\n\n- \"signed\" bundles: Größe, 固件 \u{1F680}\n".into(),
    }
}

/// A sound bundle of a kind. Its signature is none: nobody looks at it here.
pub fn bundle(kind: Kind) -> Bundle {
    let parts = kind.parts().iter().map(|name| match name {
        PartName::Firmware => noise(1, 1500),
        PartName::Web => noise(2, 700),
    });
    bundle_of(manifest(kind), parts.collect())
}

/// The bundle of these parts, which the manifest is made to name.
pub fn bundle_of(mut manifest: Manifest, parts: Vec<Vec<u8>>) -> Bundle {
    for (part, bytes) in manifest.parts.iter_mut().zip(&parts) {
        part.size = bytes.len() as u64;
        (part.sha256, part.md5) = digests(bytes);
    }
    Bundle {
        manifest,
        signature: b"-----BEGIN PGP SIGNATURE-----\n".to_vec(),
        parts,
    }
}

/// SHA-256 and MD5 in hex.
pub fn digests(bytes: &[u8]) -> (String, String) {
    (
        hex::encode(Sha256::digest(bytes)),
        hex::encode(Md5::digest(bytes)),
    )
}

/// Bytes that do not compress, the same for the same seed.
pub fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed;
    let bytes = std::iter::repeat_with(|| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (state >> 56) as u8
    });
    bytes.take(length).collect()
}

/// What the device is to read of a manifest.
pub fn release(manifest: &Manifest) -> Release {
    let digests = |name: PartName| {
        let part = manifest
            .parts
            .iter()
            .find(|part| part.name == name.file_name())?;
        let (mut sha256, mut md5) = ([0; 32], [0; 16]);
        hex::decode_to_slice(&part.sha256, &mut sha256).expect("hex");
        hex::decode_to_slice(&part.md5, &mut md5).expect("hex");
        let size = part.size;
        Some(PartDigests { size, sha256, md5 })
    };
    let version = |text: &str| heapless::String::try_from(text).expect("a version is short");
    Release {
        device_type: manifest
            .device_type
            .as_str()
            .try_into()
            .expect("it is short"),
        version: version(&manifest.version),
        target: manifest.target.as_str().try_into().expect("it is short"),
        kind: manifest.kind(),
        release_counter: manifest.release_counter,
        allow_rollback: manifest.allow_rollback,
        min_version: manifest.min_version.as_deref().map(version),
        created_at: manifest.created_at,
        expires_at: manifest.expires_at,
        firmware: digests(PartName::Firmware),
        web: digests(PartName::Web),
    }
}

impl Bundle {
    /// Name and content of each member, in their order.
    pub fn members(&self) -> Vec<(String, Vec<u8>)> {
        let manifest = (MANIFEST_NAME.to_owned(), self.manifest.to_json());
        let signature = (SIGNATURE_NAME.to_owned(), self.signature.clone());
        let names = self.manifest.parts.iter().map(|part| part.name.clone());
        let parts = names.zip(self.parts.iter().cloned());
        [manifest, signature].into_iter().chain(parts).collect()
    }

    /// As [`airlift_bundle::archive::write`] writes it.
    pub fn write(&self) -> Vec<u8> {
        let names = self.manifest.kind().parts();
        airlift_bundle::archive::write(Vec::new(), &self.manifest, &self.signature, &mut |name| {
            let place = names.iter().position(|&other| other == name);
            let place = place.expect("a part of the kind");
            Ok(Box::new(self.parts[place].as_slice()))
        })
        .expect("memory does not fail")
    }

    /// Reads a bundle to its end, `chunk` bytes of a part at a time.
    pub fn read(input: impl Read, chunk: usize) -> Result<Bundle, ReadError> {
        let archive = Archive::open(input)?;
        let signature = archive.signature().to_vec();
        let mut reader = archive.into_parts()?;
        let mut parts = Vec::new();
        let mut buffer = vec![0; chunk];
        while let Some(mut part) = reader.next_part()? {
            let mut bytes = Vec::new();
            loop {
                match part.read_chunk(&mut buffer)? {
                    0 => break,
                    count => bytes.extend_from_slice(&buffer[..count]),
                }
            }
            parts.push(bytes);
        }
        Ok(Bundle {
            manifest: reader.manifest().clone(),
            signature,
            parts,
        })
    }
}

/// An archive of plain files.
pub fn tar(members: &[(String, Vec<u8>)]) -> Vec<u8> {
    let mut tar = Vec::new();
    for (name, bytes) in members {
        append(
            &mut tar,
            &header(name.as_bytes(), bytes.len() as u64, b'0'),
            bytes,
        );
    }
    tar.resize(tar.len() + 1024, 0);
    tar
}

/// Adds a header and what is behind it.
pub fn append(tar: &mut Vec<u8>, header: &[u8; 512], bytes: &[u8]) {
    tar.extend_from_slice(header);
    tar.extend_from_slice(bytes);
    tar.resize(tar.len().next_multiple_of(512), 0);
}

/// A header as POSIX.1-1988 has it.
pub fn header(name: &[u8], size: u64, kind: u8) -> [u8; 512] {
    let mut header = [0; 512];
    header[..name.len()].copy_from_slice(name);
    header[100..124].copy_from_slice(b"0000644\x000000000\x000000000\x00");
    header[124..136].copy_from_slice(format!("{size:011o}\0").as_bytes());
    header[136..148].copy_from_slice(b"14524770000\x00");
    header[156] = kind;
    header[257..265].copy_from_slice(b"ustar\x0000");
    seal(&mut header);
    header
}

/// Puts the right checksum into a header.
pub fn seal(header: &mut [u8]) {
    header[148..156].fill(b' ');
    let sum: u32 = header.iter().map(|&byte| u32::from(byte)).sum();
    header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
}

/// One zstd frame, as the program writes it.
pub fn zstd(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = zstd::Encoder::new(Vec::new(), 1).expect("memory does not fail");
    encoder
        .include_checksum(true)
        .expect("before the first byte");
    std::io::Write::write_all(&mut encoder, bytes).expect("memory does not fail");
    encoder.finish().expect("memory does not fail")
}
