use std::time::Duration;

use tokio::time::{sleep, timeout};

use super::report;
use crate::service::Service;

/// Longest wait between two looks into the outbox: what other servers put there, second attempts.
const DELIVER_INTERVAL: Duration = Duration::from_millis(500);
/// Between two looks for releases that are to be announced again.
const RELEASES_INTERVAL: Duration = Duration::from_secs(5);
/// Between two looks for alerts that wait for too long.
const DROP_INTERVAL: Duration = Duration::from_secs(60);

/// Publishes what waits in the outbox.
pub async fn deliver(service: &Service) {
    loop {
        // Something was published: there may be more.
        let delivered = async || {
            report(
                "deliver announcements",
                service.deliver_announcements().await,
            )
        };
        while let Some(1..) = delivered().await {}
        let _ = timeout(DELIVER_INTERVAL, service.announcement_queued()).await;
    }
}

/// Puts releases whose time has come into the outbox.
pub async fn releases(service: &Service) {
    loop {
        while let Some(1..) = report("announce releases", service.announce_releases().await) {}
        sleep(RELEASES_INTERVAL).await;
    }
}

/// Drops what waits in the outbox for too long.
pub async fn drop_old(service: &Service) {
    loop {
        report("drop old alerts", service.drop_old_alerts().await);
        sleep(DROP_INTERVAL).await;
    }
}
