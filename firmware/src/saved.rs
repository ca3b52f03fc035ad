//! What a gateway remembers over a power cut.

use alloc::{string::String, vec::Vec};

use airlift_proto::{ProgressData, ReportState, UpgradeData};
use serde::{Deserialize, Serialize};

use crate::FINISHED_MAX;

/// The only memory that survives a crash. It is made durable by [`crate::Effect::Save`], always
/// before the deed it announces is done or reported.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Saved {
    /// Version of the image that boots next.
    pub version: String,
    /// The first boot of that image is still to come.
    #[serde(default)]
    pub fresh_image: bool,
    #[serde(default)]
    pub active: Option<Active>,
    /// An upgrade that came too late to replace the one being installed; it begins after.
    #[serde(default)]
    pub next: Option<Order>,
    /// Oldest first, at most [`FINISHED_MAX`].
    #[serde(default)]
    pub finished: Vec<Finished>,
}

/// An upgrade as it was ordered.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Order {
    /// Never empty.
    pub msg_id: String,
    pub upgrade: UpgradeData,
}

/// The upgrade that runs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Active {
    pub order: Order,
    pub phase: Phase,
    /// Bytes of the partial download that are durable.
    pub offset: u64,
    /// The file's strong `ETag`, with its quotes.
    #[serde(default)]
    pub etag: Option<String>,
    /// Highest progress reported, percent.
    pub progress: u8,
}

/// How far an upgrade is. It only moves forward; `Installing` is the point of no return.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    Downloading,
    Verifying,
    Installing,
}

impl Phase {
    pub(crate) fn state(self) -> ReportState {
        match self {
            Phase::Downloading => ReportState::Downloading,
            Phase::Verifying => ReportState::Verifying,
            Phase::Installing => ReportState::Installing,
        }
    }
}

/// An upgrade that ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Finished {
    pub msg_id: String,
    /// Its last report, to be repeated word for word.
    pub report: ProgressData,
    /// The broker acknowledged that report.
    pub delivered: bool,
}

impl Saved {
    /// A gateway that never updated and runs `version`.
    pub fn new(version: impl Into<String>) -> Self {
        Saved {
            version: version.into(),
            fresh_image: false,
            active: None,
            next: None,
            finished: Vec::new(),
        }
    }

    /// Whether the boot needs the digests of the running image: the last run died while it
    /// installed, and only the image can say if it had finished.
    pub fn asks_running_digests(&self) -> bool {
        self.active
            .as_ref()
            .is_some_and(|active| active.phase == Phase::Installing)
    }

    pub(crate) fn finished(&self, msg_id: &str) -> Option<&Finished> {
        self.finished.iter().find(|end| end.msg_id == msg_id)
    }

    /// Remembers an end; the oldest that was delivered makes room for it.
    pub(crate) fn remember(&mut self, end: Finished) {
        if self.finished.len() >= FINISHED_MAX {
            let oldest = self.finished.iter().position(|end| end.delivered);
            self.finished.remove(oldest.unwrap_or(0));
        }
        self.finished.push(end);
    }
}
