use alloc::string::String;

use serde::{Deserialize, Serialize};

/// What every command and report has around its `data`. All but `data` may be missing in what a
/// gateway sends: sketches in the field leave them out.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Message<D> {
    /// The task's message id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub msg_id: Option<String>,
    /// The gateway's id; the topic's is the one that counts.
    #[serde(default)]
    pub uuid: Option<String>,
    /// Unix seconds by the sender's clock, which may not be set.
    #[serde(default)]
    pub timestamp: Option<i64>,
    pub data: D,
}

/// Server to gateway.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "msgType")]
pub enum Command {
    #[serde(rename = "ota_upgrade")]
    Upgrade(Message<UpgradeData>),
    #[serde(rename = "ota_cancel")]
    Cancel(Message<CancelData>),
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct UpgradeData {
    pub version: String,
    pub firmware_url: String,
    /// Lower-case hex.
    pub md5: String,
    /// Lower-case hex. Optional when read: older servers send none.
    #[serde(default)]
    pub sha256: Option<String>,
    /// Bytes.
    pub file_size: u64,
    #[serde(default)]
    pub force_upgrade: bool,
    /// The same as the message's: gateways in the field read it from here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub msg_id: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CancelData {
    /// The message id of the upgrade to end.
    pub msg_id: String,
}

/// Gateway to server, on the report topic.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "msgType")]
pub enum Report {
    #[serde(rename = "ota_progress")]
    Progress(Message<ProgressData>),
    #[serde(rename = "heartbeat")]
    Heartbeat(Message<HeartbeatData>),
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ProgressData {
    pub state: ReportState,
    /// Percent. Any number can arrive; 0 to 100 is valid.
    pub progress: i64,
    #[serde(default)]
    pub current_version: Option<String>,
    #[serde(default)]
    pub target_version: Option<String>,
    #[serde(default)]
    pub error_code: Option<String>,
    #[serde(default)]
    pub error_message: Option<String>,
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
#[serde(rename_all = "camelCase")]
pub struct HeartbeatData {
    pub firmware_version: String,
    /// Percent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub battery: Option<f32>,
    /// Bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub free_heap: Option<u64>,
    /// dBm.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rssi: Option<f32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub boot_reason: Option<String>,
    /// The boot before this heartbeat fell back to the old image.
    #[serde(default)]
    pub rollback: bool,
}

/// Gateway to everyone, retained on the status topic; also its last will.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Status {
    pub online: bool,
    #[serde(default)]
    pub firmware_version: Option<String>,
}
