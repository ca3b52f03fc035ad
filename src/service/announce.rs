use std::time::Duration;

use airlift_proto::AVAILABLE_TOPIC;
use chrono::{DateTime, TimeDelta, Utc};
use futures_util::future::join_all;

use super::{Result, Service};
use crate::{
    domain::{ALERT_LIFETIME, ALERTS_WAITING_MAX, Alert, Announcement, announcement_retry_delay},
    metrics::{
        ALERT_EXPIRED, ALERT_FULL, ALERT_LIMIT, ALERT_UNSTORED, AlertLabels, KindLabel, ReasonLabel,
    },
    mqtt::ACKNOWLEDGE_TIMEOUT,
    store::Tx,
};

/// Announcements published at once per server.
const ANNOUNCE_BATCH_MAX: i64 = 100;
/// How long a server has what it claimed for itself; longer than it waits for the broker's answer.
const LEASE: TimeDelta = TimeDelta::seconds(30);
/// How long the broker keeps an announcement for listeners that are away.
const KEPT_FOR_ABSENT: Duration = Duration::from_secs(24 * 3600);
const _: () = assert!(ACKNOWLEDGE_TIMEOUT.as_secs() < 20);

/// The word for an announcement in metrics.
fn kind(announcement: &Announcement) -> KindLabel {
    let kind = match announcement.topic.as_str() {
        AVAILABLE_TOPIC => "available",
        _ => "alert",
    };
    KindLabel { kind }
}

impl Service {
    /// Tells operators of a refused bundle, on the alerts' topic, once `tx` is committed. Of many at
    /// once it sends some and counts the others; see [`crate::domain::AlertLimit`].
    pub async fn alert(&self, tx: &mut Tx, alert: &Alert) -> Result<()> {
        let now = self.clock.now();
        self.metrics
            .announcements
            .alerts
            .get_or_create(&AlertLabels {
                code: alert.refusal.code(),
                source: alert.source().as_str(),
            })
            .inc();
        let Some(suppressed) = self.admit_alert(alert, now) else {
            self.count_dropped_alerts(ALERT_LIMIT, 1);
            return Ok(());
        };
        let topics = &self.settings.topics;
        let announcement = alert.announcement(self.clock.new_id(), topics, suppressed, now);
        let put = tx
            .put_alert(&announcement, AVAILABLE_TOPIC, ALERTS_WAITING_MAX)
            .await?;
        if !put {
            self.count_dropped_alerts(ALERT_FULL, 1);
        }
        Ok(())
    }

    /// Like [`Service::alert`], in a transaction of its own. An alert that can't be stored is logged:
    /// whoever was refused is to hear of that, not of the alert.
    pub async fn alert_alone(&self, alert: &Alert) {
        let stored = async {
            let mut tx = self.db.begin().await?;
            self.alert(&mut tx, alert).await?;
            Result::<()>::Ok(tx.commit().await?)
        };
        match stored.await {
            Ok(()) => self.announcements_queued.notify_one(),
            Err(error) => {
                let code = alert.refusal.code();
                tracing::warn!(%error, code, "an alert could not be stored");
                self.count_dropped_alerts(ALERT_UNSTORED, 1);
            }
        }
    }

    fn admit_alert(&self, alert: &Alert, now: DateTime<Utc>) -> Option<u64> {
        // What is in there is true also after a panic.
        let mut limit = match self.alert_limit.lock() {
            Ok(limit) => limit,
            Err(poisoned) => poisoned.into_inner(),
        };
        limit.admit(alert.refusal, alert.device_type.as_deref(), now)
    }

    fn count_dropped_alerts(&self, reason: &'static str, count: u64) {
        self.metrics
            .announcements
            .alerts_dropped
            .get_or_create(&ReasonLabel { reason })
            .inc_by(count);
    }

    /// Publishes the announcements that are due, and takes those out of the outbox that the broker
    /// has; how many it has. Claiming one puts it off: no second server publishes it meanwhile, and
    /// one that is lost with this process is published again when that time comes.
    pub async fn deliver_announcements(&self) -> Result<usize> {
        if !self.publisher.is_connected() {
            return Ok(0);
        }
        let claimed = self.claim_announcements().await?;
        if claimed.is_empty() {
            return Ok(0);
        }
        let answers = join_all(claimed.iter().map(|announcement| {
            let (topic, payload) = (&announcement.topic, &announcement.payload);
            self.publisher
                .publish_acknowledged(topic, payload, KEPT_FOR_ABSENT)
        }))
        .await;
        let now = self.clock.now();
        let mut tx = self.db.begin().await?;
        let mut first_failure = None;
        for (announcement, answer) in claimed.iter().zip(&answers) {
            match answer {
                Ok(()) => tx.delete_announcement(announcement).await?,
                Err(error) => {
                    let age = now - announcement.created_at;
                    let until = now + announcement_retry_delay(age, rand::random());
                    tx.postpone_announcement(announcement, until).await?;
                    first_failure.get_or_insert((error, &announcement.topic));
                }
            }
        }
        tx.commit().await?;
        if let Some((error, topic)) = first_failure {
            let failed = answers.iter().filter(|answer| answer.is_err()).count();
            tracing::warn!(%error, topic, failed, "announcements are tried again later");
        }
        let mut delivered = 0;
        for (announcement, _) in claimed.iter().zip(&answers).filter(|(_, it)| it.is_ok()) {
            let sent = &self.metrics.announcements.sent;
            sent.get_or_create(&kind(announcement)).inc();
            delivered += 1;
        }
        Ok(delivered)
    }

    /// Returns when this server has put something into the outbox.
    pub async fn announcement_queued(&self) {
        self.announcements_queued.notified().await;
    }

    async fn claim_announcements(&self) -> Result<Vec<Announcement>> {
        let now = self.clock.now();
        let mut tx = self.db.begin().await?;
        let claimed = tx.lock_due_announcements(now, ANNOUNCE_BATCH_MAX).await?;
        for announcement in &claimed {
            tx.postpone_announcement(announcement, now + LEASE).await?;
        }
        tx.commit().await?;
        Ok(claimed)
    }

    /// Drops alerts that wait for too long; how many.
    pub async fn drop_old_alerts(&self) -> Result<u64> {
        let before = self.clock.now() - ALERT_LIFETIME;
        let mut tx = self.db.begin().await?;
        let dropped = tx.delete_old_alerts(AVAILABLE_TOPIC, before).await?;
        tx.commit().await?;
        if dropped > 0 {
            self.count_dropped_alerts(ALERT_EXPIRED, dropped);
            tracing::warn!(
                dropped,
                "alerts that waited for the broker too long are dropped"
            );
        }
        Ok(dropped)
    }
}
