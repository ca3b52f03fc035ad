//! Trouble by plan: the same seed plans the same trouble for each gateway, life by life and download
//! by download, so that a run that fails can be tried again.

use std::{
    fmt,
    str::FromStr,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use airlift_firmware::{ATTEMPTS_MAX, BootReason};
use airlift_simflash::Random;

use crate::chip::PowerCut;

/// Of a hundred lives, those in which the power is cut.
const POWER_CUT_PERCENT: usize = 30;
/// Of a hundred lives, those that lose the broker once more.
const MQTT_DROP_PERCENT: usize = 30;
/// Of a hundred lives, those with a low battery at some time.
const LOW_BATTERY_PERCENT: usize = 5;
/// Of a hundred downloads, those whose connection drops.
const HTTP_DROP_PERCENT: usize = 25;
/// Of a hundred downloads, those with a wrong byte.
const CORRUPT_PERCENT: usize = 5;
/// Of a hundred new images, those that fail their self-test.
const BAD_IMAGE_PERCENT: usize = 25;

// The sizes are drawn from a range of powers of two, so that small ones come as often as large ones.
/// Flash operations before a power cut: below 2^14.
const OPERATIONS_BITS: usize = 14;
/// Bytes before a download's fault: below 2^22.
const BYTES_BITS: usize = 22;
/// Milliseconds before a timed fault: below 2^15, 33 s.
const DELAY_MS_BITS: usize = 15;
/// Milliseconds a battery stays low: below 2^12, 4 s.
const LOW_BATTERY_MS_BITS: usize = 12;
/// Milliseconds a bad image runs: below 2^12.
const BAD_BOOT_MS_BITS: usize = 12;
/// A low battery has less than this, percent; an upgrade needs as much.
const LOW_BATTERY_BELOW: usize = 20;
/// A bad image sits its self-test out in silence only if that takes no longer than this.
const SILENCE_MS_MAX: u64 = 60_000;

/// What `--faults` takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seed(pub u64);

impl FromStr for Seed {
    type Err = std::num::ParseIntError;

    /// A number, or `random`.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == "random" {
            // Short enough to be typed again.
            return Ok(Seed(u64::from(fastrand::u32(..))));
        }
        text.parse().map(Seed)
    }
}

/// The kinds of faults, as they are counted and told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    PowerCut,
    MqttDrop,
    HttpDrop,
    CorruptByte,
    LowBattery,
    BadBoot,
}

impl Kind {
    const ALL: [Kind; 6] = [
        Kind::PowerCut,
        Kind::MqttDrop,
        Kind::HttpDrop,
        Kind::CorruptByte,
        Kind::LowBattery,
        Kind::BadBoot,
    ];

    /// Its name in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Kind::PowerCut => "power_cut",
            Kind::MqttDrop => "mqtt_drop",
            Kind::HttpDrop => "http_drop",
            Kind::CorruptByte => "corrupt_byte",
            Kind::LowBattery => "low_battery",
            Kind::BadBoot => "bad_boot",
        }
    }
}

/// How many faults of each kind came true, over all gateways of the process.
#[derive(Debug, Default)]
pub struct Counts([AtomicU64; Kind::ALL.len()]);

impl Counts {
    pub fn count(&self, kind: Kind) {
        self.0[kind as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// Each kind's name and count.
    pub fn all(&self) -> impl Iterator<Item = (&'static str, u64)> {
        Kind::ALL
            .into_iter()
            .map(|kind| (kind.name(), self.0[kind as usize].load(Ordering::Relaxed)))
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, (name, count)) in self.all().enumerate() {
            let comma = if at == 0 { "" } else { ", " };
            write!(f, "{comma}{name} {count}")?;
        }
        Ok(())
    }
}

/// What goes wrong at a moment of a life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    MqttDrop,
    /// Percent.
    LowBattery(u8),
    BatteryBack,
    /// The image on trial ends in a way of its own.
    Dies(BootReason),
}

/// What goes wrong in one life, from boot to reboot.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    pub power_cut: Option<PowerCut>,
    /// From the boot on; the last is the first to come.
    pub troubles: Vec<(Duration, Trouble)>,
    /// The image on trial never looks for the broker.
    pub silent: bool,
}

impl Plan {
    fn add(&mut self, after_ms: u64, trouble: Trouble) {
        self.troubles
            .push((Duration::from_millis(after_ms), trouble));
        self.troubles
            .sort_by_key(|(after, _)| std::cmp::Reverse(*after));
    }

    /// The image on trial ends before it does anything.
    pub fn die_at_once(&mut self) {
        self.silent = true;
        self.add(0, Trouble::Dies(BootReason::Panic));
    }
}

/// What goes wrong in one download: after so many bytes of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FetchPlan {
    pub drop_after: Option<u64>,
    pub corrupt_at: Option<u64>,
}

/// The plans of one gateway.
#[derive(Debug)]
pub struct Faults {
    lives: Random,
    fetches: Random,
    trials: Random,
    /// Boots that the image on trial fails.
    bad_boots: Option<u8>,
}

impl Faults {
    /// Of the gateway with this number in the fleet.
    pub fn new(seed: Seed, number: u32) -> Self {
        let mut root = Random::new(seed.0 ^ (u64::from(number) << 32));
        Faults {
            lives: Random::new(root.bits()),
            fetches: Random::new(root.bits()),
            trials: Random::new(root.bits()),
            bad_boots: None,
        }
    }

    /// The next life.
    pub fn life(&mut self) -> Plan {
        let mut plan = Plan::default();
        let random = &mut self.lives;
        if happens(random, POWER_CUT_PERCENT) {
            plan.power_cut = Some(PowerCut {
                after_operations: below_power(random, OPERATIONS_BITS),
                random: Random::new(random.bits()),
            });
        }
        if happens(random, MQTT_DROP_PERCENT) {
            plan.add(below_power(random, DELAY_MS_BITS), Trouble::MqttDrop);
        }
        if happens(random, LOW_BATTERY_PERCENT) {
            let from = below_power(random, DELAY_MS_BITS);
            let percent = random.below(LOW_BATTERY_BELOW) as u8;
            plan.add(from, Trouble::LowBattery(percent));
            let until = from + 1 + below_power(random, LOW_BATTERY_MS_BITS);
            plan.add(until, Trouble::BatteryBack);
        }
        plan
    }

    /// The next download.
    pub fn fetch(&mut self) -> FetchPlan {
        let random = &mut self.fetches;
        let mut after = |percent| happens(random, percent).then(|| below_power(random, BYTES_BITS));
        FetchPlan {
            drop_after: after(HTTP_DROP_PERCENT),
            corrupt_at: after(CORRUPT_PERCENT),
        }
    }

    /// Adds to `plan` what an image on its `attempt`-th trial boot does; true if that fails it.
    pub fn trial(&mut self, attempt: u8, self_test_ms: u64, plan: &mut Plan) -> bool {
        let random = &mut self.trials;
        if attempt <= 1 {
            self.bad_boots = None;
        }
        let bad_boots = *self.bad_boots.get_or_insert_with(|| {
            if happens(random, BAD_IMAGE_PERCENT) {
                1 + random.below(ATTEMPTS_MAX.into()) as u8
            } else {
                0
            }
        });
        if attempt > bad_boots {
            return false;
        }
        let after_ms = below_power(random, BAD_BOOT_MS_BITS);
        // It must not prove itself before it fails.
        plan.silent = true;
        match random.below(3) {
            0 if self_test_ms <= SILENCE_MS_MAX => {}
            1 => plan.add(after_ms, Trouble::Dies(BootReason::Watchdog)),
            _ => plan.add(after_ms, Trouble::Dies(BootReason::Panic)),
        }
        true
    }
}

fn happens(random: &mut Random, percent: usize) -> bool {
    random.below(100) < percent
}

/// Below 2^`bits`, each power of two as likely as the others.
fn below_power(random: &mut Random, bits: usize) -> u64 {
    let limit = 1_usize << (1 + random.below(bits));
    random.below(limit) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Everything that is planned for some lives, downloads and trials, in words.
    fn plans(seed: u64, number: u32) -> Vec<String> {
        let mut faults = Faults::new(Seed(seed), number);
        let mut plans = Vec::new();
        for _ in 0..200 {
            let mut plan = faults.life();
            let bad = faults.trial(1, 1_000, &mut plan);
            plans.push(format!("{plan:?} {bad} {:?}", faults.fetch()));
        }
        plans
    }

    #[test]
    fn a_seed_plans_the_same_faults_again_and_others_for_another_gateway_or_seed() {
        assert_eq!(plans(7, 3), plans(7, 3));
        assert_ne!(plans(7, 3), plans(7, 4));
        assert_ne!(plans(7, 3), plans(8, 3));
    }

    #[test]
    fn every_kind_of_fault_is_planned_sooner_or_later() {
        let all = plans(1, 0).join("\n");
        for word in [
            "Some(PowerCut",
            "MqttDrop",
            "LowBattery",
            "BatteryBack",
            "Dies(Panic)",
            "Dies(Watchdog)",
            "drop_after: Some",
            "corrupt_at: Some",
            "silent: true",
        ] {
            assert!(all.contains(word), "no {word} by seed 1");
        }
    }

    #[test]
    fn troubles_are_taken_from_the_end_in_the_order_of_time() {
        let mut plan = Plan::default();
        plan.add(5, Trouble::BatteryBack);
        plan.add(9, Trouble::MqttDrop);
        plan.add(1, Trouble::LowBattery(3));
        let order: Vec<_> = plan.troubles.iter().map(|(at, _)| at.as_millis()).collect();
        assert_eq!(order, [9, 5, 1]);
    }

    #[test]
    fn a_bad_image_fails_its_first_boots_and_no_later_one() {
        for number in 0..100 {
            let mut faults = Faults::new(Seed(11), number);
            let mut fails = |attempt| faults.trial(attempt, 1_000, &mut Plan::default());
            let bad: Vec<bool> = (1..=ATTEMPTS_MAX + 1).map(&mut fails).collect();
            assert!(bad.is_sorted_by(|a, b| a >= b), "{bad:?}");
            assert!(!bad[usize::from(ATTEMPTS_MAX)], "at most three");
        }
    }

    #[test]
    fn a_seed_is_a_number_or_random() {
        assert_eq!("42".parse(), Ok(Seed(42)));
        assert!("random".parse::<Seed>().is_ok());
        assert!("x".parse::<Seed>().is_err());
    }

    #[test]
    fn what_came_true_is_counted_by_kind() {
        let counts = Counts::default();
        counts.count(Kind::PowerCut);
        counts.count(Kind::BadBoot);
        counts.count(Kind::BadBoot);
        let text = counts.to_string();
        assert!(text.starts_with("power_cut 1, mqtt_drop 0"), "{text}");
        assert!(text.ends_with("bad_boot 2"), "{text}");
    }
}
