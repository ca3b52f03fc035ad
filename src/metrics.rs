//! What the server counts, in the names Prometheus sees. To add a metric: a field, its line in
//! [`Metrics::new`], and a row in `docs/operations.md`.

use prometheus_client::{
    encoding::{EncodeLabelSet, text::encode},
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
    registry::{Metric, Registry},
};

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct HttpLabels {
    pub method: String,
    /// The route's pattern, so that ids don't multiply the series.
    pub route: String,
    pub status: u16,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ReasonLabel {
    pub reason: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct KindLabel {
    pub kind: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct OutcomeLabel {
    pub outcome: &'static str,
}

pub struct Metrics {
    registry: Registry,
    pub http_requests: Family<HttpLabels, Counter>,
    pub messages_stored: Family<KindLabel, Counter>,
    pub messages_refused: Family<ReasonLabel, Counter>,
    pub ingest_batch_messages: Histogram,
    pub commands_sent: Family<KindLabel, Counter>,
    pub commands_waiting: Gauge,
    pub gateways: Gauge,
    pub gateways_online: Gauge,
    pub broker_connected: Gauge,
    pub event_streams: Gauge,
    pub webhook_deliveries: Family<OutcomeLabel, Counter>,
    pub download_sent_bytes: Counter,
    pub downloads_refused: Counter,
    pub upload_bytes: Counter,
    pub bundles_refused: Family<ReasonLabel, Counter>,
    pub download_bytes: Counter,
    pub history_deleted: Family<KindLabel, Counter>,
    pub ota_success: Counter,
    pub ota_rollback: Counter,
    pub ota_failure: Family<ReasonLabel, Counter>,
}

/// The known error codes are labels; a gateway may invent any, which would multiply the
/// series without bound.
const FAILURE_REASONS: [&str; 10] = [
    airlift_proto::error_code::BATTERY_LOW,
    airlift_proto::error_code::BUSY,
    airlift_proto::error_code::CANCELLED,
    airlift_proto::error_code::DIGEST_MISMATCH,
    airlift_proto::error_code::DOWNLOAD_FAILED,
    airlift_proto::error_code::INSTALL_FAILED,
    airlift_proto::error_code::TIMEOUT,
    airlift_proto::error_code::ROLLED_BACK,
    airlift_proto::error_code::UNCONFIRMED,
    airlift_proto::error_code::UNSPECIFIED,
];

/// A metric that begins empty.
fn registered<M: Metric + Clone + Default>(registry: &mut Registry, name: &str, help: &str) -> M {
    let metric = M::default();
    registry.register(name, help, metric.clone());
    metric
}

impl Metrics {
    pub fn new() -> Metrics {
        let mut registry = Registry::default();
        macro_rules! register {
            ($name:literal, $help:literal) => {
                registered(&mut registry, $name, $help)
            };
            ($name:literal, $help:literal, $metric:expr) => {{
                let metric = $metric;
                registry.register($name, $help, metric.clone());
                metric
            }};
        }
        Metrics {
            http_requests: register!("airlift_http_requests", "HTTP requests answered"),
            messages_stored: register!("airlift_messages_stored", "Messages of gateways taken in"),
            messages_refused: register!("airlift_messages_refused", "Messages of gateways dropped"),
            ingest_batch_messages: register!(
                "airlift_ingest_batch_messages",
                "Messages stored per transaction",
                Histogram::new([1.0, 4.0, 16.0, 64.0, 256.0])
            ),
            commands_sent: register!(
                "airlift_commands_sent",
                "Commands published, re-sends included"
            ),
            commands_waiting: register!("airlift_commands_waiting", "Commands not answered yet"),
            gateways: register!("airlift_gateways", "Gateways registered"),
            gateways_online: register!("airlift_gateways_online", "Gateways online"),
            broker_connected: register!(
                "airlift_broker_connected",
                "1 while the MQTT session is up"
            ),
            event_streams: register!("airlift_event_streams", "Listeners to events"),
            webhook_deliveries: register!(
                "airlift_webhook_deliveries",
                "Attempts to deliver events to webhooks"
            ),
            download_sent_bytes: register!(
                "airlift_download_sent_bytes",
                "Bytes of firmware given to the connections of downloads"
            ),
            downloads_refused: register!(
                "airlift_downloads_refused",
                "Downloads put off because the budget was used up"
            ),
            upload_bytes: register!("airlift_upload_bytes", "Bytes of firmware taken in"),
            bundles_refused: register!(
                "airlift_bundles_refused",
                "Uploads refused by the rules of signed bundles"
            ),
            download_bytes: register!(
                "airlift_download_bytes",
                "Bytes of firmware promised to gateways"
            ),
            history_deleted: register!(
                "airlift_history_deleted",
                "Old tasks, events and rollouts deleted"
            ),
            ota_success: register!("ota_success", "Upgrades proven by a heartbeat"),
            ota_rollback: register!(
                "ota_rollback",
                "Upgrades that came back with another version"
            ),
            ota_failure: register!("ota_failure", "Upgrades that failed, by error code"),
            registry,
        }
    }

    /// Counts a failed task under its error code.
    pub fn count_failure(&self, error_code: Option<&str>) {
        let reason = FAILURE_REASONS
            .into_iter()
            .find(|known| Some(*known) == error_code)
            .unwrap_or("OTHER");
        self.ota_failure
            .get_or_create(&ReasonLabel { reason })
            .inc();
    }

    /// The text form that Prometheus scrapes.
    pub fn render(&self) -> String {
        let mut text = String::new();
        match encode(&mut text, &self.registry) {
            Ok(()) => text,
            Err(std::fmt::Error) => String::new(),
        }
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}
