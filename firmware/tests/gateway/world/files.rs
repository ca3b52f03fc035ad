//! The files on the server, and the commands that announce them.

use airlift_firmware::Digests;
use airlift_proto::*;

/// A file on the server. The digests are fakes: the core only compares them.
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
}

pub const KINDS: [FileKind; 5] = [
    FileKind::Good,
    FileKind::Altered,
    FileKind::Longer,
    FileKind::Missing,
    FileKind::NeverWhole,
];

/// The bytes of a file on the server.
pub fn content(msg_id: &str, kind: FileKind) -> Vec<u8> {
    let size = announced_size(msg_id) as usize;
    let seed = msg_id.bytes().map(u32::from).sum::<u32>();
    let more = if kind == FileKind::Longer { 7 } else { 0 };
    let flip = u32::from(kind == FileKind::Altered);
    (0..(size + more) as u32)
        .map(|at| (at * 31 + seed + flip) as u8)
        .collect()
}

pub fn announced_size(msg_id: &str) -> u64 {
    100 + 37 * msg_id.len() as u64
}

pub fn digests(bytes: &[u8]) -> Digests {
    let sum = bytes.iter().fold(7u64, |sum, byte| {
        sum.wrapping_mul(1_099).wrapping_add(u64::from(*byte))
    });
    Digests {
        size: bytes.len() as u64,
        md5: format!("{sum:032x}"),
        sha256: format!("{sum:064x}"),
    }
}

pub fn version_of(msg_id: &str) -> String {
    format!("2.0.0-{msg_id}")
}

pub fn upgrade(msg_id: &str, force_upgrade: bool) -> Command {
    let good = digests(&content(msg_id, FileKind::Good));
    Command::Upgrade(Message {
        msg_id: Some("in the message, not the one that counts".into()),
        uuid: None,
        timestamp: None,
        data: UpgradeData {
            version: version_of(msg_id),
            firmware_url: format!("http://server/{msg_id}"),
            md5: good.md5.to_uppercase(),
            sha256: Some(good.sha256),
            file_size: good.size,
            force_upgrade,
            msg_id: Some(msg_id.into()),
        },
    })
}

pub fn cancel(msg_id: &str) -> Command {
    Command::Cancel(Message {
        msg_id: None,
        uuid: None,
        timestamp: None,
        data: CancelData {
            msg_id: msg_id.into(),
        },
    })
}

pub fn is_final(report: &ProgressData) -> bool {
    matches!(report.state, ReportState::Completed | ReportState::Failed)
}
