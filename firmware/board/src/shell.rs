//! The core, and what drives it.

use core::cell::{Cell, RefCell};

use airlift_firmware::{
    Boot, BootError, Booted, Config, Effect, Event, Gateway, Images, MARK_STEP_BYTES, Now,
};
use embassy_futures::{
    join::join5,
    select::{Either, select},
    yield_now,
};
use embassy_net::Stack;
use embassy_sync::{blocking_mutex::raw::NoopRawMutex, signal::Signal};
use embassy_time::{Duration, Instant, Timer};
use embedded_storage::nor_flash::NorFlash;
use heapless::String;

use crate::{Memory, Platform, Settings, broker, fetch, outbox::Outbox, upload};

const HEARTBEAT_MS: u64 = 60_000;
/// How long a new image may take to reach the broker.
const SELF_TEST_MS: u64 = 180_000;
const VITALS_SECONDS: u64 = 30;
/// Longest wait before a restart for the broker to have all that was published.
const FLUSH_SECONDS_MAX: u64 = 3;
/// Without a battery.
const MAINS_PERCENT: u8 = 100;

/// Boots the gateway: the first thing to run after a reset. It restarts the board if the core wants
/// another image to run. What else the core wants, such as to go on with a download, is kept in
/// `memory` for [`run`]. The gateway comes to be in `place`: it is too large to be moved about on a small
/// stack.
pub fn boot<'p, F: NorFlash, P: Platform>(
    place: &'p mut Option<Gateway<F>>,
    flash: F,
    settings: &Settings,
    images: Images,
    boot: Boot,
    platform: &P,
    memory: &mut Memory,
) -> Result<&'p mut Gateway<F>, BootError> {
    let outbox = memory.outbox.get_mut();
    let config = Config {
        id: settings.id.clone(),
        heartbeat_ms: HEARTBEAT_MS,
        self_test_ms: SELF_TEST_MS,
        images,
        mark_step_bytes: MARK_STEP_BYTES,
        first_version: String::try_from("0.0.0").unwrap_or_default(),
        battery: platform.battery().unwrap_or(MAINS_PERCENT),
        trusted_keys: settings.trusted_keys.clone(),
        device_type: settings.device_type.clone(),
        target: String::try_from(platform.target()).unwrap_or_default(),
    };
    let booted = Gateway::boot(place, flash, config, boot, now(platform), &mut |effect| {
        outbox.take(&effect);
        if let Effect::Tell(notice) = effect {
            platform.noticed(&notice);
        }
    })?;
    match (booted, place) {
        (Booted::Run, Some(gateway)) => Ok(gateway),
        (Booted::Run, None) | (Booted::Reboot(_), _) => platform.reboot(),
    }
}

/// Runs the gateway until the board restarts. To be called at once after [`boot`], not only when the
/// network is up: a new image that does not get it up has to notice.
pub async fn run<F: NorFlash, P: Platform>(
    stack: Stack<'_>,
    gateway: &mut Gateway<F>,
    settings: &Settings,
    platform: &P,
    memory: &mut Memory,
) -> ! {
    let Memory {
        outbox,
        broker,
        fetch,
        upload,
    } = memory;
    let shell = Shell {
        gateway: RefCell::new(gateway),
        platform,
        settings,
        stack,
        outbox,
        connected: Cell::new(false),
        moved: Signal::new(),
        publishes: Signal::new(),
        fetches: Signal::new(),
        reboots: Signal::new(),
    };
    join5(
        shell.keep_time(),
        shell.keep_restarting(),
        broker::run(&shell, broker),
        fetch::run(&shell, fetch),
        upload::run(&shell, upload),
    )
    .await;
    platform.reboot()
}

/// What the parts share. All run in one task, so nothing is ever borrowed twice at a time as long as
/// no borrow is held over an `.await`.
pub(crate) struct Shell<'s, F, P> {
    pub(crate) gateway: RefCell<&'s mut Gateway<F>>,
    pub(crate) platform: &'s P,
    pub(crate) settings: &'s Settings,
    pub(crate) stack: Stack<'s>,
    pub(crate) outbox: &'s RefCell<Outbox>,
    /// The broker accepted the connection.
    pub(crate) connected: Cell<bool>,
    /// The core took an event: it may want to be woken at another time.
    moved: Signal<NoopRawMutex, ()>,
    /// There is something for the broker.
    pub(crate) publishes: Signal<NoopRawMutex, ()>,
    /// A fetch is to begin or to end.
    pub(crate) fetches: Signal<NoopRawMutex, ()>,
    reboots: Signal<NoopRawMutex, ()>,
}

impl<F: NorFlash, P: Platform> Shell<'_, F, P> {
    /// Gives the core one event.
    pub(crate) fn step(&self, event: Event<'_>) {
        let result = self
            .gateway
            .borrow_mut()
            .step(event, now(self.platform), &mut |effect| {
                self.perform(&effect);
            });
        if let Err(broken) = result {
            // What the core wanted to keep is not kept: only a restart makes what it thinks and what
            // the flash holds one again.
            self.platform.say(format_args!("{broken}; restarts"));
            self.platform.reboot();
        }
        self.moved.signal(());
    }

    fn perform(&self, effect: &Effect<'_>) {
        self.outbox.borrow_mut().take(effect);
        match effect {
            Effect::Subscribe | Effect::Publish { .. } => self.publishes.signal(()),
            Effect::Fetch { .. } | Effect::Stop(_) => self.fetches.signal(()),
            Effect::Reboot => {
                self.reboots.signal(());
                self.publishes.signal(());
            }
            Effect::Tell(notice) => self.platform.noticed(notice),
        }
    }

    /// Wakes the core when it wants to be.
    async fn keep_time(&self) {
        let mut vitals_at = Instant::now();
        loop {
            if Instant::now() >= vitals_at {
                self.platform.alive();
                self.tell_vitals();
                vitals_at = Instant::now() + Duration::from_secs(VITALS_SECONDS);
            }
            let wake = self.gateway.borrow().wake_ms().map(Instant::from_millis);
            let next = wake.map_or(vitals_at, |wake| wake.min(vitals_at));
            self.moved.reset();
            if let Either::Second(()) = select(self.moved.wait(), Timer::at(next)).await
                && wake.is_some_and(|wake| wake <= Instant::now())
            {
                self.step(Event::Tick);
                // It may want the next slice at once; the network comes first.
                yield_now().await;
            }
        }
    }

    fn tell_vitals(&self) {
        self.step(Event::Vitals {
            free_heap: self.platform.free_heap(),
            rssi: self.platform.rssi(),
        });
        let battery = self.platform.battery().unwrap_or(MAINS_PERCENT);
        self.step(Event::Battery(battery));
    }

    /// Restarts the board when the core wants it, at the latest some seconds later.
    async fn keep_restarting(&self) {
        // The boot itself may already have asked for it.
        if !self.outbox.borrow().reboot {
            self.reboots.wait().await;
        }
        if self.connected.get() {
            Timer::after_secs(FLUSH_SECONDS_MAX).await;
        }
        self.platform.reboot();
    }
}

/// Milliseconds on a clock that never goes back.
pub(crate) fn now_ms() -> u64 {
    Instant::now().as_millis()
}

pub(crate) fn now(platform: &impl Platform) -> Now {
    Now {
        ms: now_ms(),
        // These boards have no clock that tells the date.
        unix_seconds: 0,
        jitter: platform.random(),
    }
}
