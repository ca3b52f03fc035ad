//! The files on the server, and the commands that announce them.

use airlift_proto::*;
use airlift_simflash::{ImageBuilder, image};
use md5::Md5;
use sha2::{Digest, Sha256};

/// The chip of every image.
pub const CHIP_ID: u16 = 5;

/// A file on the server.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum FileKind {
    Good,
    /// Not the bytes the command announced.
    Altered,
    /// More bytes than announced, and a server that does not say so.
    Longer,
    /// HTTP 404.
    Missing,
    /// A server that ignores ranges and cuts every answer in the middle.
    NeverWhole,
    /// As announced, but for another chip.
    OtherChip,
    /// As announced, but with a bit flipped before the digests were made.
    Flipped,
    /// As announced, but no image at all.
    NoImage,
}

pub const KINDS: [FileKind; 8] = [
    FileKind::Good,
    FileKind::Altered,
    FileKind::Longer,
    FileKind::Missing,
    FileKind::NeverWhole,
    FileKind::OtherChip,
    FileKind::Flipped,
    FileKind::NoImage,
];

/// A valid image.
pub fn image_of(version: &str, bytes: usize) -> Vec<u8> {
    let seed = version.bytes().map(u64::from).sum();
    ImageBuilder::new(CHIP_ID)
        .version(version)
        .project("world")
        .size(bytes, seed)
        .build()
}

/// What the command announces: an image that is valid, or not.
pub fn announced(version: &str, kind: FileKind, bytes: usize) -> Vec<u8> {
    let mut file = image_of(version, bytes);
    match kind {
        FileKind::OtherChip => {
            image::set_chip(&mut file, 0).unwrap();
            image::seal(&mut file).unwrap();
        }
        FileKind::Flipped => image::flip(&mut file, bytes / 2, 3),
        FileKind::NoImage => file[0] = b'M',
        _ => {}
    }
    file
}

/// What the server sends.
pub fn served(version: &str, kind: FileKind, bytes: usize) -> Vec<u8> {
    let mut file = announced(version, kind, bytes);
    match kind {
        FileKind::Altered => image::flip(&mut file, bytes / 3, 1),
        FileKind::Longer => file.extend(*b"and more"),
        _ => {}
    }
    file
}

pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The command's data for a file.
pub fn upgrade_data(msg_id: &str, version: &str, file: &[u8]) -> UpgradeData {
    UpgradeData {
        version: version.into(),
        firmware_url: format!("http://server/{msg_id}"),
        md5: hex(&Md5::digest(file)).to_uppercase(),
        sha256: Some(hex(&Sha256::digest(file))),
        file_size: file.len() as u64,
        force_upgrade: false,
        not_before: None,
        msg_id: Some(msg_id.into()),
        manifest_url: None,
        signature_url: None,
        kind: None,
        parts: Vec::new(),
    }
}

pub fn upgrade(data: UpgradeData) -> Vec<u8> {
    serde_json::to_vec(&Command::<Text>::Upgrade(Message {
        msg_id: Some("in the message, not the one that counts".into()),
        uuid: None,
        timestamp: Some(SENT_AT),
        data,
    }))
    .unwrap()
}

/// Unix seconds in every command.
pub const SENT_AT: i64 = 1_770_000_000;

pub fn cancel(msg_id: &str) -> Vec<u8> {
    serde_json::to_vec(&Command::<Text>::Cancel(Message {
        msg_id: None,
        uuid: None,
        timestamp: None,
        data: CancelData {
            msg_id: msg_id.into(),
        },
    }))
    .unwrap()
}

pub fn is_final(report: &ProgressData) -> bool {
    matches!(report.state, ReportState::Completed | ReportState::Failed)
}
