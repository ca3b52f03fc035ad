use std::{fmt, time::Duration};

use chrono::{DateTime, TimeDelta, Utc};
use url::Url;
use uuid::Uuid;

use super::event::EventKind;

/// Wait before a delivery is attempted the second time.
pub const RETRY_DELAY_MIN: Duration = Duration::from_secs(5);
/// Longest wait between two attempts, also when the receiver asks for more.
pub const RETRY_DELAY_MAX: Duration = Duration::from_secs(3600);
/// Attempts after which a delivery is dead.
pub const ATTEMPTS_MAX: i32 = 12;

/// Whom to tell of which events.
#[derive(Clone, PartialEq)]
pub struct Webhook {
    pub webhook_id: Uuid,
    /// May contain a user name and a password: show [`Webhook::masked_url`].
    pub url: String,
    /// What deliveries are signed with; shown once, when it is made.
    pub secret: String,
    pub kinds: Vec<EventKind>,
    /// Only events of this gateway.
    pub gateway_id: Option<String>,
    /// Only events of this rollout.
    pub rollout_id: Option<Uuid>,
    /// Events up to this number have their deliveries.
    pub cursor: i64,
    pub created_at: DateTime<Utc>,
}

impl Webhook {
    /// The address as it may be shown.
    pub fn masked_url(&self) -> String {
        let Ok(mut url) = Url::parse(&self.url) else {
            return "***".to_owned();
        };
        if url.username().is_empty() && url.password().is_none() {
            return url.into();
        }
        let masked = url
            .set_password(None)
            .and_then(|()| url.set_username("***"));
        match masked {
            Ok(()) => url.into(),
            Err(()) => "***".to_owned(),
        }
    }
}

impl fmt::Debug for Webhook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Webhook")
            .field("webhook_id", &self.webhook_id)
            .field("url", &self.masked_url())
            .field("kinds", &self.kinds)
            .finish_non_exhaustive()
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeliveryStatus {
    /// It is attempted when it is due.
    Waiting,
    /// The receiver has answered with 2xx.
    Delivered,
    /// [`ATTEMPTS_MAX`] attempts failed.
    Dead,
}

impl DeliveryStatus {
    pub fn as_str(self) -> &'static str {
        match self {
            DeliveryStatus::Waiting => "waiting",
            DeliveryStatus::Delivered => "delivered",
            DeliveryStatus::Dead => "dead",
        }
    }

    pub fn parse(word: &str) -> Option<Self> {
        [
            DeliveryStatus::Waiting,
            DeliveryStatus::Delivered,
            DeliveryStatus::Dead,
        ]
        .into_iter()
        .find(|status| status.as_str() == word)
    }
}

/// One event on its way to one receiver.
#[derive(Clone, Debug, PartialEq)]
pub struct Delivery {
    /// The same at each attempt.
    pub delivery_id: Uuid,
    pub webhook_id: Uuid,
    pub event_id: i64,
    pub kind: EventKind,
    /// The JSON to POST.
    pub body: String,
    pub status: DeliveryStatus,
    /// How often it was claimed for an attempt.
    pub attempts: i32,
    pub next_attempt_at: DateTime<Utc>,
    /// HTTP status of the last answer; none if the last attempt had no answer.
    pub last_status: Option<i32>,
    /// Why the last attempt failed.
    pub last_error: Option<String>,
    pub created_at: DateTime<Utc>,
    /// When it was delivered or given up.
    pub ended_at: Option<DateTime<Utc>>,
}

/// What came of one POST.
#[derive(Clone, Debug, PartialEq)]
pub enum Attempt {
    Answered {
        status: u16,
        /// The header `Retry-After`, seconds or a date.
        retry_after: Option<String>,
    },
    /// No answer, and why.
    Failed(String),
}

impl Attempt {
    /// Why it failed; none if the receiver has taken it.
    pub fn error(&self) -> Option<String> {
        match self {
            Attempt::Answered {
                status: 200..=299, ..
            } => None,
            Attempt::Answered {
                status: status @ 300..=399,
                ..
            } => Some(format!(
                "answered {status}, and redirects are not followed: name the final address"
            )),
            Attempt::Answered { status, .. } => Some(format!("answered {status}")),
            Attempt::Failed(error) => Some(error.clone()),
        }
    }

    /// HTTP status of the answer, if there was one.
    pub fn status(&self) -> Option<u16> {
        match self {
            Attempt::Answered { status, .. } => Some(*status),
            Attempt::Failed(_) => None,
        }
    }

    fn retry_after(&self, now: DateTime<Utc>) -> Option<Duration> {
        let Attempt::Answered {
            retry_after: Some(text),
            ..
        } = self
        else {
            return None;
        };
        match text.trim().parse() {
            Ok(seconds) => Some(Duration::from_secs(seconds)),
            Err(_) => {
                let date = DateTime::parse_from_rfc2822(text.trim()).ok()?;
                (date.to_utc() - now).to_std().ok()
            }
        }
    }
}

impl Delivery {
    /// Claims it for an attempt. If nothing is heard of that one, it is due again after `lease`.
    pub fn claim(&mut self, now: DateTime<Utc>, lease: TimeDelta) {
        self.attempts = self.attempts.saturating_add(1);
        self.next_attempt_at = now + lease;
    }

    /// Applies what came of the attempt that it was claimed for.
    pub fn settle(&mut self, attempt: &Attempt, now: DateTime<Utc>, jitter: f64) {
        self.last_status = attempt.status().map(i32::from);
        self.last_error = attempt.error();
        if self.last_error.is_none() {
            self.status = DeliveryStatus::Delivered;
            self.ended_at = Some(now);
        } else if self.attempts >= ATTEMPTS_MAX {
            self.status = DeliveryStatus::Dead;
            self.ended_at = Some(now);
        } else {
            let asked = attempt.retry_after(now).unwrap_or_default();
            let delay = retry_delay(self.attempts, jitter).max(asked.min(RETRY_DELAY_MAX));
            self.next_attempt_at = now + delay;
        }
    }

    /// A dead one begins again.
    pub fn revive(&mut self, now: DateTime<Utc>) {
        self.status = DeliveryStatus::Waiting;
        self.attempts = 0;
        self.next_attempt_at = now;
        self.ended_at = None;
    }
}

/// How long to wait after failed attempt number `attempts` (1 = the first): doubling from
/// [`RETRY_DELAY_MIN`] to [`RETRY_DELAY_MAX`], less up to a quarter by `jitter` (0 to 1), so that
/// what failed together does not come back together.
pub fn retry_delay(attempts: i32, jitter: f64) -> Duration {
    let doublings = u32::try_from(attempts.saturating_sub(1))
        .unwrap_or(0)
        .min(16);
    let delay = RETRY_DELAY_MIN
        .saturating_mul(1 << doublings)
        .min(RETRY_DELAY_MAX);
    delay.mul_f64(1.0 - 0.25 * jitter.clamp(0.0, 1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now() -> DateTime<Utc> {
        "2026-03-01T08:00:00Z".parse().unwrap()
    }

    fn delivery(attempts: i32) -> Delivery {
        Delivery {
            delivery_id: Uuid::nil(),
            webhook_id: Uuid::nil(),
            event_id: 1,
            kind: EventKind::Task,
            body: "{}".into(),
            status: DeliveryStatus::Waiting,
            attempts,
            next_attempt_at: now(),
            last_status: None,
            last_error: None,
            created_at: now(),
            ended_at: None,
        }
    }

    fn answered(status: u16, retry_after: Option<&str>) -> Attempt {
        Attempt::Answered {
            status,
            retry_after: retry_after.map(str::to_owned),
        }
    }

    /// Seconds that a delivery whose first attempt got this answer waits.
    fn wait_after(attempt: &Attempt) -> i64 {
        let mut delivery = delivery(1);
        delivery.settle(attempt, now(), 0.0);
        assert_eq!(delivery.status, DeliveryStatus::Waiting);
        (delivery.next_attempt_at - now()).num_seconds()
    }

    #[test]
    fn the_wait_doubles_up_to_an_hour() {
        let waits: Vec<u64> = (1..=12).map(|n| retry_delay(n, 0.0).as_secs()).collect();
        assert_eq!(
            waits,
            [5, 10, 20, 40, 80, 160, 320, 640, 1280, 2560, 3600, 3600]
        );
        assert_eq!(retry_delay(i32::MAX, 0.0), RETRY_DELAY_MAX);
        assert_eq!(retry_delay(1, 1.0), RETRY_DELAY_MIN.mul_f64(0.75));
    }

    #[test]
    fn any_2xx_is_a_delivery_and_nothing_else_is() {
        for status in [200, 202, 204, 299] {
            let mut delivery = delivery(3);
            delivery.settle(&answered(status, None), now(), 0.0);
            assert_eq!(delivery.status, DeliveryStatus::Delivered);
            assert_eq!(delivery.ended_at, Some(now()));
        }
        for status in [199, 302, 404, 500] {
            assert_eq!(wait_after(&answered(status, None)), 5, "{status}");
        }
        assert_eq!(wait_after(&Attempt::Failed("refused".into())), 5);
    }

    #[test]
    fn the_receivers_retry_after_is_obeyed_up_to_an_hour_and_never_hastens() {
        for (header, seconds) in [
            ("120", 120),
            ("1", 5),
            ("999999", 3600),
            ("Sun, 01 Mar 2026 08:02:00 GMT", 120),
            ("Sun, 01 Mar 2026 07:00:00 GMT", 5),
            ("-3", 5),
            ("soon", 5),
        ] {
            assert_eq!(
                wait_after(&answered(503, Some(header))),
                seconds,
                "{header}"
            );
        }
    }

    #[test]
    fn the_last_failed_attempt_makes_it_dead_and_a_retry_begins_anew() {
        let mut delivery = delivery(ATTEMPTS_MAX - 1);
        delivery.claim(now(), TimeDelta::seconds(30));
        delivery.settle(&answered(500, None), now(), 0.0);
        assert_eq!(delivery.status, DeliveryStatus::Dead);
        assert_eq!(delivery.last_error.as_deref(), Some("answered 500"));
        delivery.revive(now());
        assert_eq!(
            (delivery.status, delivery.attempts, delivery.ended_at),
            (DeliveryStatus::Waiting, 0, None)
        );
    }

    #[test]
    fn credentials_in_the_address_are_not_shown() {
        let masked = |url: &str| {
            let webhook = Webhook {
                webhook_id: Uuid::nil(),
                url: url.into(),
                secret: "hush".into(),
                kinds: vec![EventKind::Task],
                gateway_id: None,
                rollout_id: None,
                cursor: 0,
                created_at: now(),
            };
            let debug = format!("{webhook:?}");
            assert!(!debug.contains("hush"), "{debug}");
            assert!(!debug.contains("pass"), "{debug}");
            webhook.masked_url()
        };
        assert_eq!(
            masked("https://user:pass@a.example/x?y=1"),
            "https://***@a.example/x?y=1"
        );
        assert_eq!(masked("https://:pass@a.example/"), "https://***@a.example/");
        assert_eq!(masked("http://a.example:81/x"), "http://a.example:81/x");
    }
}
