//! One use case per file, each an `impl Service`. A service holds the transaction, asks `domain`
//! what to do and stores the outcome; metrics move after the commit.
//!
//! To add one: a file with its input type and one public method, its errors from [`Error`], its
//! test through the door that calls it.

mod cancel_upgrade;
mod change_firmware_status;
mod delete_firmware;
mod dispatch_commands;
mod download_firmware;
mod edit_gateways;
mod error;
mod expire_tasks;
mod health;
mod hold_mqtt_session;
mod inbox;
mod list;
mod record_messages;
mod statistics;
mod sweep_blobs;
mod trigger_upgrade;
mod upload_firmware;

use std::sync::Arc;

use airlift_proto::Topics;
use tokio::sync::{Notify, mpsc};

pub use change_firmware_status::LatestFirmware;
pub use download_firmware::FirmwareFile;
pub use edit_gateways::{EditedGateways, GatewayChanges, GatewayLine};
pub use error::{Error, Result, Trouble};
pub use health::Health;
pub use inbox::InboxWriter;
pub use list::{GatewayView, Page};
pub use record_messages::InboundMessage;
pub use statistics::{Statistics, VersionStatistics};
pub use trigger_upgrade::TriggerUpgrade;
pub use upload_firmware::{FirmwareDetails, Upload};

/// What lists and statistics are asked for; the doors fill them in.
pub use crate::store::{FirmwareFilter, GatewayFilter, StatisticsFilter, TaskFilter};

use crate::{
    blob::BlobStore,
    domain::{Clock, TaskDeadlines},
    metrics::Metrics,
    mqtt::Publisher,
    store::Db,
};

/// What the operator has set, as far as use cases need it.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Without a slash at the end.
    pub public_url: String,
    /// Bytes of one upload.
    pub upload_bytes_max: u64,
    pub deadlines: TaskDeadlines,
    pub topics: Topics,
    /// Whether the built-in broker runs, which leaves what it acknowledged in the inbox.
    pub built_in_broker: bool,
}

/// Every use case, over one database, one blob store and one broker.
pub struct Service {
    db: Db,
    blobs: BlobStore,
    publisher: Publisher,
    clock: Clock,
    metrics: Arc<Metrics>,
    settings: Settings,
    /// Rung when a command was queued, so that it leaves at once.
    commands_queued: Notify,
    inbox: inbox::KeepQueue,
}

impl Service {
    /// The use cases, and the inbox's writer, which is to be run beside them.
    pub fn new(
        db: Db,
        blobs: BlobStore,
        publisher: Publisher,
        clock: Clock,
        metrics: Arc<Metrics>,
        settings: Settings,
    ) -> (Service, InboxWriter) {
        let (inbox, queue) = mpsc::unbounded_channel();
        let service = Service {
            db,
            blobs,
            publisher,
            clock,
            metrics,
            settings,
            commands_queued: Notify::new(),
            inbox,
        };
        (service, InboxWriter { queue })
    }

    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    pub fn settings(&self) -> &Settings {
        &self.settings
    }
}
