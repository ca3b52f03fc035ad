//! How often who may ask, and how many may upload at once.

use std::{
    collections::HashMap,
    hash::{BuildHasher, RandomState},
    net::{IpAddr, Ipv6Addr},
    num::NonZeroU32,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};

use axum::{
    extract::{Request, State},
    http::StatusCode,
    middleware::Next,
    response::{IntoResponse, Response},
};
use governor::{
    DefaultKeyedRateLimiter, Quota, RateLimiter,
    clock::{Clock as _, DefaultClock},
};
use tokio::sync::Semaphore;

use super::{error::ApiError, form};
use crate::{domain::Actor, service::Settings};

/// What may come at once after a rest: the requests of so many seconds.
const BURST_SECONDS: u32 = 2;
/// A credential that is not good counts as so many requests.
const FAILURE_WEIGHT: u32 = 10;
/// After so many requests what is known of those who rest is forgotten.
const REQUESTS_BETWEEN_SWEEPS: u32 = 4096;
/// When to try again while all places for uploads are taken, in seconds.
const UPLOAD_RETRY_SECONDS: u64 = 5;

/// What the doors of one server take on.
pub struct Limits {
    /// None where there is no limit.
    requests: Option<Requests>,
    uploads: Arc<Semaphore>,
}

impl Limits {
    pub fn new(settings: &Settings) -> Limits {
        Limits {
            requests: NonZeroU32::new(settings.requests_per_second).map(Requests::new),
            uploads: Arc::new(Semaphore::new(settings.uploads_max as usize)),
        }
    }

    /// To be asked before anything else is.
    pub fn check_address(&self, address: Option<IpAddr>) -> Result<(), ApiError> {
        match self.limited(address) {
            Some((requests, address)) => requests.check_address(address),
            None => Ok(()),
        }
    }

    /// To be asked once it is known who comes.
    pub fn check_actor(&self, address: Option<IpAddr>, actor: &Actor) -> Result<(), ApiError> {
        match self.limited(address) {
            Some((requests, _)) => requests.check_actor(actor),
            None => Ok(()),
        }
    }

    /// A credential from this address was not good.
    pub fn count_failure(&self, address: Option<IpAddr>) {
        if let Some((requests, address)) = self.limited(address) {
            requests.failures.count(address);
        }
    }

    /// Who is on this machine has no limit.
    fn limited(&self, address: Option<IpAddr>) -> Option<(&Requests, IpAddr)> {
        let address = address.filter(|address| !address.is_loopback())?;
        Some((self.requests.as_ref()?, network(address)))
    }
}

struct Requests {
    addresses: DefaultKeyedRateLimiter<IpAddr>,
    /// By a hash of who it is.
    actors: DefaultKeyedRateLimiter<u64>,
    hasher: RandomState,
    failures: Failures,
    since_sweep: AtomicU32,
}

impl Requests {
    fn new(per_second: NonZeroU32) -> Requests {
        let burst = per_second.saturating_mul(NonZeroU32::MIN.saturating_add(BURST_SECONDS - 1));
        let quota = Quota::per_second(per_second).allow_burst(burst);
        Requests {
            addresses: RateLimiter::keyed(quota),
            actors: RateLimiter::keyed(quota),
            hasher: RandomState::new(),
            failures: Failures {
                cost: Duration::from_secs(FAILURE_WEIGHT.into()) / per_second.get(),
                debts: Mutex::default(),
            },
            since_sweep: AtomicU32::new(0),
        }
    }

    fn check_address(&self, address: IpAddr) -> Result<(), ApiError> {
        if self.since_sweep.fetch_add(1, Ordering::Relaxed) >= REQUESTS_BETWEEN_SWEEPS {
            self.since_sweep.store(0, Ordering::Relaxed);
            self.sweep();
        }
        if let Some(wait) = self.failures.wait(address) {
            return Err(too_many("credentials that are not good", wait));
        }
        let checked = self.addresses.check_key(&address);
        checked.map_err(|not_until| {
            let wait = not_until.wait_time_from(DefaultClock::default().now());
            too_many("requests from this address", wait)
        })
    }

    fn check_actor(&self, actor: &Actor) -> Result<(), ApiError> {
        let key = match actor {
            Actor::Anyone | Actor::Nobody | Actor::CommandLine { .. } => return Ok(()),
            Actor::Token { token_id, .. } => self.hasher.hash_one(token_id),
            Actor::User { user_id, .. } => self.hasher.hash_one(user_id),
            Actor::Gateway { gateway_id } => self.hasher.hash_one(gateway_id),
        };
        let checked = self.actors.check_key(&key);
        checked.map_err(|not_until| {
            let wait = not_until.wait_time_from(DefaultClock::default().now());
            too_many("requests with this credential", wait)
        })
    }

    /// Forgets who has rested: it may do again what a stranger may.
    fn sweep(&self) {
        self.addresses.retain_recent();
        self.addresses.shrink_to_fit();
        self.actors.retain_recent();
        self.actors.shrink_to_fit();
        self.failures.sweep();
    }
}

/// Credentials that were not good, by address.
struct Failures {
    /// For how long one counts.
    cost: Duration,
    /// Until when all of an address count.
    debts: Mutex<HashMap<IpAddr, Instant>>,
}

impl Failures {
    fn count(&self, address: IpAddr) {
        let mut debts = self.debts.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let debt = debts.entry(address).or_insert(now);
        *debt = (*debt).max(now) + self.cost;
    }

    /// How long this address is to wait, if it is.
    fn wait(&self, address: IpAddr) -> Option<Duration> {
        let debts = self.debts.lock().unwrap_or_else(PoisonError::into_inner);
        let debt = debts
            .get(&address)?
            .checked_duration_since(Instant::now())?;
        debt.checked_sub(Duration::from_secs(BURST_SECONDS.into()))
            .filter(|wait| !wait.is_zero())
    }

    fn sweep(&self) {
        let mut debts = self.debts.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        debts.retain(|_, debt| *debt > now);
        debts.shrink_to_fit();
    }
}

/// What counts as one address: a client of IPv6 has a network of them.
fn network(address: IpAddr) -> IpAddr {
    const NETWORK_BITS: u32 = 64;
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(address) => {
            let bits = address.to_bits() >> NETWORK_BITS << NETWORK_BITS;
            IpAddr::V6(Ipv6Addr::from_bits(bits))
        }
    }
}

fn too_many(what: &str, wait: Duration) -> ApiError {
    let seconds = whole_seconds(wait);
    ApiError {
        retry_after_seconds: Some(seconds),
        ..ApiError::new(
            StatusCode::TOO_MANY_REQUESTS,
            "too_many_requests",
            format!("there are too many {what}: try again in {seconds} s"),
        )
    }
}

/// Not earlier, and not at once.
fn whole_seconds(wait: Duration) -> u64 {
    (wait.as_secs() + u64::from(wait.subsec_nanos() > 0)).max(1)
}

/// Lets an upload in while there is a place for it; it has the place until it is answered.
pub async fn upload_place(
    State(limits): State<Arc<Limits>>,
    request: Request,
    next: Next,
) -> Response {
    let Ok(_place) = limits.uploads.try_acquire() else {
        let refusal = ApiError {
            retry_after_seconds: Some(UPLOAD_RETRY_SECONDS),
            ..ApiError::new(
                StatusCode::TOO_MANY_REQUESTS,
                "too_many_uploads",
                format!(
                    "this server takes no more uploads at once: try again in {UPLOAD_RETRY_SECONDS} s"
                ),
            )
        };
        form::discard(request.into_body()).await;
        return refusal.into_response();
    };
    next.run(request).await
}

#[cfg(test)]
mod tests {
    use super::*;

    /// So few that a test does not wait for the next to be due.
    fn requests(per_second: u32) -> Requests {
        Requests::new(NonZeroU32::new(per_second).unwrap())
    }

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn addresses_that_rest_are_forgotten() {
        let requests = requests(u32::MAX);
        for host in 0..100_000_u32 {
            let address = IpAddr::V4(host.into());
            requests.check_address(address).unwrap();
            requests.failures.count(address);
        }
        // One is due again after a nanosecond, so few are left between two sweeps.
        let most = 2 * REQUESTS_BETWEEN_SWEEPS as usize;
        assert!(
            requests.addresses.len() <= most,
            "{}",
            requests.addresses.len()
        );
        let debts = requests.failures.debts.lock().unwrap().len();
        assert!(debts <= most, "{debts}");
    }

    #[test]
    fn credentials_that_are_not_good_count_tenfold() {
        // One counts for ten requests, 10 s, of which a burst forgives 2 s.
        let requests = requests(1);
        let (bad, good) = (address("192.0.2.1"), address("192.0.2.2"));
        requests.failures.count(bad);
        let refusal = requests.check_address(bad).unwrap_err();
        assert_eq!(refusal.status, StatusCode::TOO_MANY_REQUESTS);
        assert_eq!(refusal.retry_after_seconds, Some(8));
        requests.check_address(good).unwrap();
    }

    #[test]
    fn a_client_of_ipv6_is_known_by_its_network() {
        let of = |text| network(address(text));
        assert_eq!(of("2001:db8:1:2:3::4"), of("2001:db8:1:2::"));
        assert_ne!(of("2001:db8:1:3:3::4"), of("2001:db8:1:2::"));
        assert_ne!(of("192.0.2.1"), of("192.0.2.2"));
    }

    #[test]
    fn to_wait_is_never_to_wait_nothing() {
        assert_eq!(whole_seconds(Duration::ZERO), 1);
        assert_eq!(whole_seconds(Duration::from_millis(1)), 1);
        assert_eq!(whole_seconds(Duration::from_millis(1001)), 2);
    }
}
