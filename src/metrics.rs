//! What the server counts, in the names Prometheus sees. To add a metric: a field, its line in
//! [`Metrics::new`], and a row in `docs/operations.md`.

use prometheus_client::{
    encoding::{EncodeLabelSet, text::encode},
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
    registry::{Metric, Registry},
};

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct HttpLabels {
    pub method: &'static str,
    /// The route's pattern, so that ids don't multiply the series.
    pub route: &'static str,
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

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct RouteLabels {
    pub method: &'static str,
    /// The route's pattern.
    pub route: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct StatusLabel {
    pub status: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct StateLabel {
    pub state: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct AlertLabels {
    pub code: &'static str,
    pub source: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct VersionLabel {
    version: &'static str,
}

type Histograms = Family<RouteLabels, Histogram, fn() -> Histogram>;

pub struct Metrics {
    registry: Registry,
    pub http_requests: Family<HttpLabels, Counter>,
    pub http_request_duration: Histograms,
    pub http_connections_cut: Family<ReasonLabel, Counter>,
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
    pub uploads: Family<KindLabel, Counter>,
    pub download_sent_bytes: Counter,
    pub downloads_refused: Counter,
    pub upload_bytes: Counter,
    pub bundles_refused: Family<ReasonLabel, Counter>,
    pub download_bytes: Counter,
    pub history_deleted: Family<KindLabel, Counter>,
    pub announcements: AnnouncementMetrics,
    pub access: AccessMetrics,
    pub tasks: Family<StatusLabel, Gauge>,
    pub rollouts: Family<StateLabel, Gauge>,
    pub database_connected: Gauge,
    pub database_connections: Family<StateLabel, Gauge>,
    pub database_connections_max: Gauge,
    pub upgrade_duration: Histogram,
    pub ota_success: Counter,
    pub ota_rollback: Counter,
    pub ota_failure: Family<ReasonLabel, Counter>,
}

/// Of who is not let in.
pub struct AccessMetrics {
    pub refused: Family<ReasonLabel, Counter>,
    pub refusals_not_audited: Counter,
}

/// Of what goes to everyone.
pub struct AnnouncementMetrics {
    pub alerts: Family<AlertLabels, Counter>,
    pub alerts_dropped: Family<ReasonLabel, Counter>,
    pub sent: Family<KindLabel, Counter>,
    pub waiting: Gauge,
}

/// The known error codes are labels; a gateway may invent any, which would multiply the
/// series without bound.
const FAILURE_REASONS: [&str; 18] = [
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
    airlift_proto::error_code::SCRIPT_FAILED,
    airlift_proto::error_code::SCRIPT_TIMEOUT,
    airlift_proto::error_code::HEALTH_FAILED,
    airlift_proto::error_code::DISK_FULL,
    airlift_proto::error_code::UNPACK_FAILED,
    airlift_proto::error_code::DEPENDENCY_UNMET,
    airlift_proto::error_code::DEPENDENCY_CYCLE,
    airlift_proto::error_code::INTERRUPTED,
];

/// The same of signed bundles, which are refused with them.
const REFUSALS: [&str; 13] = [
    airlift_proto::error_code::UNSIGNED,
    airlift_proto::error_code::UNTRUSTED_KEY,
    airlift_proto::error_code::BAD_SIGNATURE,
    airlift_proto::error_code::INVALID_MANIFEST,
    airlift_proto::error_code::PART_MISMATCH,
    airlift_proto::error_code::RELEASE_ROLLBACK,
    airlift_proto::error_code::BUNDLE_EXPIRED,
    airlift_proto::error_code::BUNDLE_TOO_LARGE,
    airlift_proto::error_code::BUNDLE_TRUNCATED,
    airlift_proto::error_code::UNSAFE_PATH,
    airlift_proto::error_code::BUNDLE_MALFORMED,
    airlift_proto::error_code::WRONG_TARGET,
    airlift_proto::error_code::MIN_VERSION,
];

/// Why an alert is not sent: too many like it within a minute.
pub const ALERT_LIMIT: &str = "limit";
/// Why an alert is not sent: too many wait for the broker.
pub const ALERT_FULL: &str = "full";
/// Why an alert is not sent: it waited for the broker too long.
pub const ALERT_EXPIRED: &str = "expired";
/// Why an alert is not sent: the database is away.
pub const ALERT_UNSTORED: &str = "unstored";

/// From a request that the database answers at once to one that waits for a connection, seconds.
const REQUEST_SECONDS: [f64; 10] = [0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0, 30.0];
/// From a small image on a good line to a gateway that was offline for a day, seconds.
const UPGRADE_SECONDS: [f64; 9] = [
    10.0, 30.0, 60.0, 120.0, 300.0, 900.0, 3600.0, 14_400.0, 86_400.0,
];

fn request_durations() -> Histogram {
    Histogram::new(REQUEST_SECONDS)
}

/// A metric that begins empty.
fn registered<M: Metric + Clone + Default>(registry: &mut Registry, name: &str, help: &str) -> M {
    let metric = M::default();
    registry.register(name, help, metric.clone());
    metric
}

impl AccessMetrics {
    fn new(registry: &mut Registry) -> AccessMetrics {
        AccessMetrics {
            refused: registered(
                registry,
                "airlift_access_refused",
                "Requests refused for want of a credential, a role or a good signature",
            ),
            refusals_not_audited: registered(
                registry,
                "airlift_refusals_not_audited",
                "Refused changes that are only counted, as there were too many",
            ),
        }
    }
}

impl AnnouncementMetrics {
    fn new(registry: &mut Registry) -> AnnouncementMetrics {
        AnnouncementMetrics {
            alerts: registered(
                registry,
                "airlift_alerts",
                "Refused bundles and upgrades to them, whether or not an alert was sent",
            ),
            alerts_dropped: registered(registry, "airlift_alerts_dropped", "Alerts not sent"),
            sent: registered(
                registry,
                "airlift_announcements_sent",
                "Announcements and alerts that the broker has taken",
            ),
            waiting: registered(
                registry,
                "airlift_announcements_waiting",
                "Announcements and alerts that the broker has not taken yet",
            ),
        }
    }

    fn begin_at_zero(&self) {
        for code in REFUSALS {
            for source in ["server", "gateway"] {
                drop(self.alerts.get_or_create(&AlertLabels { code, source }));
            }
        }
        for reason in [ALERT_LIMIT, ALERT_FULL, ALERT_EXPIRED, ALERT_UNSTORED] {
            drop(self.alerts_dropped.get_or_create(&ReasonLabel { reason }));
        }
        for kind in ["alert", "available"] {
            drop(self.sent.get_or_create(&KindLabel { kind }));
        }
    }
}

fn register_build_info(registry: &mut Registry) {
    let help = "1, with the version that runs";
    let build: Family<VersionLabel, Gauge> = registered(registry, "airlift_build_info", help);
    let version = env!("CARGO_PKG_VERSION");
    build.get_or_create(&VersionLabel { version }).set(1);
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
        register_build_info(&mut registry);
        let metrics = Metrics {
            http_requests: register!("airlift_http_requests", "HTTP requests answered"),
            http_request_duration: register!(
                "airlift_http_request_duration_seconds",
                "Time until an HTTP request's answer began",
                Histograms::new_with_constructor(request_durations)
            ),
            http_connections_cut: register!(
                "airlift_http_connections_cut",
                "HTTP connections ended because of what the client did or did not do"
            ),
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
            broker_connected: register!("airlift_broker_connected", "1 with an MQTT session"),
            event_streams: register!("airlift_event_streams", "Listeners to events"),
            webhook_deliveries: register!(
                "airlift_webhook_deliveries",
                "Attempts to deliver events to webhooks"
            ),
            uploads: register!("airlift_uploads", "Firmwares and packages taken in"),
            download_sent_bytes: register!(
                "airlift_download_sent_bytes",
                "Bytes of files given to the connections of downloads"
            ),
            downloads_refused: register!(
                "airlift_downloads_refused",
                "Downloads put off because the budget was used up"
            ),
            upload_bytes: register!("airlift_upload_bytes", "Bytes of files taken in"),
            bundles_refused: register!(
                "airlift_bundles_refused",
                "Uploads refused by the rules of signed bundles"
            ),
            download_bytes: register!(
                "airlift_download_bytes",
                "Bytes of files promised to gateways"
            ),
            history_deleted: register!(
                "airlift_history_deleted",
                "Old tasks, events and rollouts deleted"
            ),
            announcements: AnnouncementMetrics::new(&mut registry),
            access: AccessMetrics::new(&mut registry),
            tasks: register!("airlift_tasks", "Upgrades under way or not proven yet"),
            rollouts: register!("airlift_rollouts", "Rollouts, by state"),
            database_connected: register!(
                "airlift_database_connected",
                "1 if the database answered when the metrics were asked for"
            ),
            database_connections: register!(
                "airlift_database_connections",
                "Connections of this server to its database"
            ),
            database_connections_max: register!(
                "airlift_database_connections_max",
                "Connections that this server may have to its database"
            ),
            upgrade_duration: register!(
                "airlift_upgrade_duration_seconds",
                "Time from the start of an upgrade to its end, of those that a heartbeat proved",
                Histogram::new(UPGRADE_SECONDS)
            ),
            ota_success: register!("ota_success", "Upgrades proven by a heartbeat"),
            ota_rollback: register!(
                "ota_rollback",
                "Upgrades that came back with another version"
            ),
            ota_failure: register!("ota_failure", "Upgrades that failed, by error code"),
            registry,
        };
        metrics.begin_at_zero();
        metrics
    }

    /// The series of what is worth an alarm: to Prometheus a series that appears as 1 has not
    /// increased.
    fn begin_at_zero(&self) {
        self.announcements.begin_at_zero();
        let codes = FAILURE_REASONS.into_iter().chain(REFUSALS);
        for reason in codes.chain(["OTHER"]) {
            drop(self.ota_failure.get_or_create(&ReasonLabel { reason }));
        }
        for outcome in ["delivered", "failed", "dead"] {
            let label = OutcomeLabel { outcome };
            drop(self.webhook_deliveries.get_or_create(&label));
        }
    }

    /// Counts a failed task under its error code.
    pub fn count_failure(&self, error_code: Option<&str>) {
        let reason = FAILURE_REASONS
            .into_iter()
            .chain(REFUSALS)
            .find(|known| Some(*known) == error_code)
            .unwrap_or("OTHER");
        self.ota_failure
            .get_or_create(&ReasonLabel { reason })
            .inc();
    }

    /// As OpenMetrics, which Prometheus asks for.
    pub fn render(&self) -> String {
        let mut text = String::new();
        match encode(&mut text, &self.registry) {
            Ok(()) => text,
            Err(std::fmt::Error) => String::new(),
        }
    }
}

/// What [`Metrics::render`] gives, in the text format of before OpenMetrics: a counter's description
/// names its series, and nothing marks the end.
pub fn without_openmetrics(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut help = None;
    for line in text.lines() {
        if let Some(described) = line.strip_prefix("# HELP ") {
            help = described.split_once(' ');
        } else if let Some((name, kind)) = line
            .strip_prefix("# TYPE ")
            .and_then(|described| described.split_once(' '))
        {
            let suffix = if kind == "counter" { "_total" } else { "" };
            if let Some((_, help)) = help.take() {
                out.extend(["# HELP ", name, suffix, " ", help, "\n"]);
            }
            out.extend(["# TYPE ", name, suffix, " ", kind, "\n"]);
        } else if !line.starts_with("# ") {
            out.extend([line, "\n"]);
        }
    }
    out
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_older_text_format_has_the_same_series() {
        let metrics = Metrics::new();
        metrics.ota_success.inc();
        metrics.upgrade_duration.observe(40.0);
        metrics.count_failure(Some("TIMEOUT"));
        let new = metrics.render();
        let old = without_openmetrics(&new);
        let series = |text: &str| -> Vec<String> {
            let lines = text.lines().filter(|line| !line.starts_with('#'));
            lines.map(str::to_owned).collect()
        };
        assert_eq!(series(&old), series(&new));
        assert!(series(&old).len() > 20);
        for line in [
            "# HELP ota_success_total Upgrades proven by a heartbeat.",
            "# TYPE ota_success_total counter",
            "# TYPE airlift_gateways gauge",
            "# TYPE airlift_upgrade_duration_seconds histogram",
        ] {
            assert!(old.lines().any(|it| it == line), "{line}\n{old}");
        }
        assert!(!old.contains("# EOF") && !old.contains("# TYPE ota_success counter"));
    }
}
