//! One use case per file, each an `impl Service`. A service holds the transaction, asks `domain`
//! what to do and stores the outcome; metrics move after the commit.
//!
//! To add one: a file with its input type and one public method, its errors from [`Error`], its
//! test through the door that calls it. What somebody asks for and changes something takes the
//! `Caller` and writes `tx.audit` in the same transaction; `tests/server/api_audit.rs` lists them.

mod admit_client;
mod admit_download;
mod announce;
mod announce_releases;
mod audit;
mod authenticate;
mod batches;
mod begin_update;
mod cancel_upgrade;
mod change_firmware_status;
mod changelog;
mod claim;
mod delete_firmware;
mod delete_history;
mod deliver_events;
mod dispatch_commands;
mod download_file;
mod edit_gateways;
mod error;
mod expire_tasks;
mod fan_out_events;
mod fetch_command;
mod gateway_statistics;
mod gateway_tokens;
mod health;
mod heard;
mod heartbeats;
mod hold_mqtt_session;
mod inbox;
mod known_firmwares;
mod list;
mod log_in;
mod make_task;
mod newest_task;
mod next_step;
mod oidc_log_in;
mod packages;
mod passwords;
mod provisioning_keys;
mod push_package;
mod record_messages;
mod record_report;
mod release_package;
mod rollout;
mod server_settings;
mod setup;
mod sign_downloads;
mod signing_keys;
mod silent_gateways;
mod statistics;
mod stream_events;
mod sweep_blobs;
mod tokens;
mod trigger_upgrade;
mod trust;
mod unpack_bundle;
mod upload_bundle;
mod upload_firmware;
mod users;
mod webhooks;
mod why;
mod workers;

use std::{
    num::NonZeroU64,
    path::PathBuf,
    sync::{Arc, Mutex},
    time::Instant,
};

use airlift_proto::Topics;
use chrono::{DateTime, TimeDelta, Utc};
use ipnet::IpNet;
use tokio::sync::{Notify, OnceCell, Semaphore, watch};

pub use admit_download::SignedDownload;
pub use authenticate::{CREDENTIAL_KEPT, Presented};
pub use begin_update::BeginUpdate;
pub use change_firmware_status::LatestFirmware;
pub use claim::Claimed;
pub use deliver_events::ClaimedDelivery;
pub use download_file::{FileKind, StoredFile};
pub use edit_gateways::{EditedGateways, GatewayChanges, GatewayLine};
pub use error::{Error, Result, Trouble};
pub use gateway_statistics::{DeviceTypeStatistics, GatewayStatistics, GatewayTotals};
pub use gateway_tokens::{GatewayIdLine, NewGatewayToken, TokenIssue};
pub use health::Health;
pub use heartbeats::HeartbeatHistory;
pub use list::{GatewayView, Page};
pub use log_in::{CredentialEnd, LogIn};
pub use oidc_log_in::{OIDC_LOG_IN_LIFETIME, OidcDeparture, OidcLogIns, OidcReturn};
pub use packages::PackageView;
pub use provisioning_keys::{NewProvisioningKey, ProvisioningKeyDetails};
pub use push_package::{
    CONTENT_BYTES_MAX, PackageDetails, PackageUpload, Pushed, SIGNATURE_BYTES_MAX,
};
pub use record_messages::InboundMessage;
pub use rollout::{CreateRollout, DryRun, DryRunGateway, Exclusion, RolloutGateway, RolloutView};
pub use server_settings::ServerSettings;
pub use setup::{FirstStart, SETUP_LINK_LIFETIME};
pub use signing_keys::{SigningKey, SigningKeys};
pub use statistics::{Counts, Statistics, Timeline};
pub use stream_events::{EventGap, EventMessage, EventStream, Told};
pub use tokens::{Changed, NewToken, TokenRef};
pub use trigger_upgrade::TriggerUpgrade;
pub use upload_bundle::BundleDetails;
pub use upload_firmware::{FirmwareDetails, Upload};
pub use users::{NewUser, UserChanges, UserRef};
pub use webhooks::{Ping, WebhookDetails};
pub use why::GatewayWhy;
pub use workers::Workers;

/// What lists and statistics are asked for; the doors fill them in.
pub use crate::store::{
    AuditFilter, AuditLine, BrokerLogin, DeliveryFilter, EventFilter, FirmwareFilter, GatewayCount,
    GatewayFilter, HeartbeatFilter, PackageFilter, RolloutFilter, RolloutWave, StatisticsFilter,
    TaskFilter, TokenFilter,
};

use crate::{
    blob::BlobStore,
    domain::{
        AlertLimit, Clock, DownloadBudget, RefusalLimit, Setting, SignaturePolicy, Task,
        TaskDeadlines,
    },
    metrics::Metrics,
    mqtt::Publisher,
    store::{Db, InboxMessage},
    webhook::WebhookClient,
};

/// What the operator has set, as far as use cases need it.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Without a slash at the end.
    pub public_url: String,
    /// Bytes of one upload.
    pub upload_bytes_max: u64,
    /// Of all downloads together; without one there is no limit.
    pub download_bytes_per_second: Option<NonZeroU64>,
    pub deadlines: TaskDeadlines,
    /// How long ended tasks and rollouts are kept.
    pub history_kept: TimeDelta,
    /// Of each so long the first heartbeat of a gateway is kept; `None`: none is.
    pub heartbeat_interval: Option<TimeDelta>,
    /// How long heartbeats are kept.
    pub heartbeats_kept: TimeDelta,
    /// How long events are kept.
    pub events_kept: TimeDelta,
    pub topics: Topics,
    /// How often the newest releases are announced again; `None`: not at all.
    pub announce_interval: Option<TimeDelta>,
    /// Folder of the keys that are trusted.
    pub trusted_keys: Option<PathBuf>,
    pub signatures: SignaturePolicy,
    /// Who knows a file's name may have it.
    pub public_downloads: bool,
    /// For how long the signed URL in a command is good.
    pub download_url_lifetime: TimeDelta,
    /// Of one credential, and of one address; 0: no limit.
    pub requests_per_second: u32,
    /// Whether people reach this server by HTTPS.
    pub https: bool,
    /// Uploads at the same time.
    pub uploads_max: u32,
    /// Proxies that say for whom they speak, besides those on this machine.
    pub trusted_proxies: Vec<IpNet>,
    /// For how long a login on the web page is good.
    pub session_lifetime: TimeDelta,
    /// Whether the built-in broker runs, which leaves what it acknowledged in the inbox.
    pub built_in_broker: bool,
    /// Every option of the server, to be shown.
    pub listed: Vec<Setting>,
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
    /// Rung when somebody made or changed a rollout.
    rollouts_changed: Notify,
    /// Rung when deliveries were queued, so that they leave at once.
    deliveries_queued: Notify,
    /// Rung when something waits to be announced, so that it leaves at once.
    announcements_queued: Notify,
    alert_limit: Mutex<AlertLimit>,
    /// Since when gateways can report over HTTP to this server.
    listening_since: DateTime<Utc>,
    /// When tasks and rollouts were last counted for the metrics.
    counted_at: watch::Sender<Option<Instant>>,
    events: stream_events::EventStreams,
    webhooks: WebhookClient,
    inbox: batches::Batches<InboxMessage, ()>,
    triggers: batches::Batches<trigger_upgrade::Trigger, Result<Task>>,
    /// Ids of gateways whose newest task somebody wants to know.
    polls: batches::Batches<String, newest_task::Newest>,
    oidc: Option<OidcLogIns>,
    credentials: authenticate::Credentials,
    passwords: passwords::Passwords,
    refusal_limit: Mutex<RefusalLimit>,
    download_secret: OnceCell<Vec<u8>>,
    known_files: download_file::KnownFiles,
    /// One for each bundle that may be unpacked at once.
    bundle_uploads: Arc<Semaphore>,
    /// Shared with the downloads under way, which give back what they do not send.
    download_budget: Option<Arc<Mutex<DownloadBudget>>>,
}

impl Service {
    /// The use cases, and the workers that are to be run beside them.
    pub fn new(
        db: Db,
        blobs: BlobStore,
        publisher: Publisher,
        webhooks: WebhookClient,
        clock: Clock,
        metrics: Arc<Metrics>,
        settings: Settings,
    ) -> (Service, Workers) {
        let (inbox, inbox_worker) = batches::batches(inbox::WRITE_BATCH_MAX);
        let (triggers, trigger_worker) = batches::batches(trigger_upgrade::TRIGGER_BATCH_MAX);
        let (polls, polls_worker) = batches::batches(newest_task::POLL_BATCH_MAX);
        let download_budget = settings
            .download_bytes_per_second
            .map(|rate| Arc::new(Mutex::new(DownloadBudget::new(rate, clock.now()))));
        let service = Service {
            listening_since: clock.now(),
            db,
            blobs,
            publisher,
            clock,
            metrics,
            settings,
            commands_queued: Notify::new(),
            rollouts_changed: Notify::new(),
            deliveries_queued: Notify::new(),
            announcements_queued: Notify::new(),
            alert_limit: Mutex::default(),
            counted_at: watch::Sender::new(None),
            events: stream_events::EventStreams::default(),
            webhooks,
            inbox,
            triggers,
            polls,
            oidc: None,
            credentials: authenticate::Credentials::default(),
            passwords: passwords::Passwords::default(),
            refusal_limit: Mutex::default(),
            download_secret: OnceCell::new(),
            known_files: download_file::KnownFiles::default(),
            bundle_uploads: Arc::new(Semaphore::new(upload_firmware::BUNDLE_UPLOADS_MAX)),
            download_budget,
        };
        let workers = Workers {
            inbox: inbox_worker,
            triggers: trigger_worker,
            polls: polls_worker,
        };
        (service, workers)
    }

    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    pub fn settings(&self) -> &Settings {
        &self.settings
    }
}
