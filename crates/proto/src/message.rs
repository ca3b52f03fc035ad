use serde::{Deserialize, Serialize};
#[cfg(feature = "alloc")]
use serde::{Deserializer, de::IgnoredAny};

use crate::slots::Slots;

/// The strings of a message where nothing else is said: owned if there is an allocator.
#[cfg(feature = "alloc")]
pub type Text = alloc::string::String;
/// The strings of a message where nothing else is said: owned if there is an allocator.
#[cfg(not(feature = "alloc"))]
pub type Text = &'static str;

/// What every command and report has around its `data`. All but `data` may be missing in what a
/// gateway sends: sketches in the field leave them out.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(
    rename_all = "camelCase",
    bound(deserialize = "D: Deserialize<'de>, S: Deserialize<'de>")
)]
pub struct Message<D, S = Text> {
    /// The task's message id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub msg_id: Option<S>,
    /// The gateway's id; the topic's is the one that counts.
    #[serde(default)]
    pub uuid: Option<S>,
    /// Unix seconds by the sender's clock, which may not be set.
    #[serde(default)]
    pub timestamp: Option<i64>,
    pub data: D,
}

/// Server to gateway. Read with an allocator alone: the tag may stand anywhere.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(feature = "alloc", derive(Deserialize))]
#[serde(tag = "msgType")]
#[cfg_attr(feature = "alloc", serde(bound(deserialize = "S: Deserialize<'de>")))]
pub enum Command<S = Text> {
    #[serde(rename = "ota_upgrade")]
    Upgrade(Message<UpgradeData<S>, S>),
    #[serde(rename = "ota_cancel")]
    Cancel(Message<CancelData<S>, S>),
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", bound(deserialize = "S: Deserialize<'de>"))]
pub struct UpgradeData<S = Text> {
    pub version: S,
    pub firmware_url: S,
    /// Lower-case hex.
    pub md5: S,
    /// Lower-case hex. Optional when read: older servers send none.
    #[serde(default)]
    pub sha256: Option<S>,
    /// Bytes.
    pub file_size: u64,
    #[serde(default)]
    pub force_upgrade: bool,
    /// Unix seconds before which the download must not begin, so that a fleet does not begin at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_before: Option<i64>,
    /// The same as the message's: gateways in the field read it from here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub msg_id: Option<S>,
    /// Of a signed bundle: its manifest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub manifest_url: Option<S>,
    /// Of a signed bundle: the manifest's detached OpenPGP signature.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signature_url: Option<S>,
    /// Of a signed bundle: `firmware`, `web` or `firmware+web`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<S>,
    /// Of a signed bundle: its parts. The first is the file that the fields above describe.
    #[cfg(feature = "alloc")]
    #[serde(
        default = "alloc::vec::Vec::new",
        skip_serializing_if = "alloc::vec::Vec::is_empty"
    )]
    pub parts: alloc::vec::Vec<PartData<S>>,
}

/// A file of a bundle that goes into the flash.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(bound(deserialize = "S: Deserialize<'de>"))]
pub struct PartData<S = Text> {
    /// `firmware.bin` or `web_spiffs.bin`.
    pub name: S,
    /// `app`, the slot that does not run, or a partition's label.
    pub partition: S,
    pub url: S,
    /// Bytes.
    pub size: u64,
    /// Lower-case hex.
    pub sha256: S,
    /// Lower-case hex.
    pub md5: S,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", bound(deserialize = "S: Deserialize<'de>"))]
pub struct CancelData<S = Text> {
    /// The message id of the upgrade to end.
    pub msg_id: S,
}

/// Gateway to server, on the report topic. `N` is the type of measured numbers: devices that measure
/// whole ones need no floating point.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(feature = "alloc", derive(Deserialize))]
#[serde(tag = "msgType")]
#[cfg_attr(
    feature = "alloc",
    serde(bound(deserialize = "S: Deserialize<'de>, N: Deserialize<'de>"))
)]
pub enum Report<S = Text, N = f32> {
    #[serde(rename = "ota_progress")]
    Progress(Message<ProgressData<S>, S>),
    #[serde(rename = "heartbeat")]
    Heartbeat(Message<HeartbeatData<S, N>, S>),
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", bound(deserialize = "S: Deserialize<'de>"))]
pub struct ProgressData<S = Text> {
    pub state: ReportState,
    /// Percent. Any number can arrive; 0 to 100 is valid.
    pub progress: i64,
    #[serde(default)]
    pub current_version: Option<S>,
    #[serde(default)]
    pub target_version: Option<S>,
    #[serde(default)]
    pub error_code: Option<S>,
    #[serde(default)]
    pub error_message: Option<S>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ReportState {
    Downloading,
    Verifying,
    Installing,
    Completed,
    Failed,
    /// A word this version does not know. Never sent; the receiver refuses it.
    #[serde(other)]
    Unknown,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(
    rename_all = "camelCase",
    bound(deserialize = "S: Deserialize<'de>, N: Deserialize<'de>")
)]
pub struct HeartbeatData<S = Text, N = f32> {
    pub firmware_version: S,
    /// Percent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub battery: Option<N>,
    /// Bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub free_heap: Option<u64>,
    /// dBm.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rssi: Option<N>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub boot_reason: Option<S>,
    /// The boot before this heartbeat fell back to the old image.
    #[serde(default)]
    pub rollback: bool,
    /// Label of the partition that runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "alloc", serde(deserialize_with = "if_ours"))]
    pub slot: Option<S>,
    #[serde(default, skip_serializing_if = "Slots::is_empty")]
    #[cfg_attr(feature = "alloc", serde(deserialize_with = "if_ours"))]
    pub slots: Slots<S>,
}

/// Sketches may mean something else by the same word: what is of another form counts as absent.
#[cfg(feature = "alloc")]
fn if_ours<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(
    from: D,
) -> Result<T, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Said<T> {
        Ours(T),
        Other(IgnoredAny),
    }
    Ok(match Said::deserialize(from)? {
        Said::Ours(value) => value,
        Said::Other(_) => T::default(),
    })
}

/// Gateway to everyone, retained on the status topic; also its last will.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", bound(deserialize = "S: Deserialize<'de>"))]
pub struct Status<S = Text> {
    pub online: bool,
    #[serde(default)]
    pub firmware_version: Option<S>,
}
