//! Gateways of a fleet that always misbehave in the same way: exactly as many as asked for, the same
//! ones at each start, spread over the fleet.

use anyhow::{Result, ensure};
use clap::Args;

/// How a gateway misbehaves, at each upgrade.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flaw {
    NeverAnswer,
    RollBack,
    WrongDigest,
}

impl Flaw {
    pub const ALL: [Flaw; 3] = [Flaw::NeverAnswer, Flaw::RollBack, Flaw::WrongDigest];

    /// Its name in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Flaw::NeverAnswer => "never_answer",
            Flaw::RollBack => "roll_back",
            Flaw::WrongDigest => "wrong_digest",
        }
    }

    /// What gateways with it do.
    pub fn words(self) -> &'static str {
        match self {
            Flaw::NeverAnswer => "never answer a command",
            Flaw::RollBack => "roll back each new image",
            Flaw::WrongDigest => "corrupt each download",
        }
    }
}

/// How many of the gateways have which flaw, percent.
#[derive(Args, Clone, Copy, Debug, Default)]
pub struct Shares {
    /// So many of the gateways hear commands and never answer nor begin (the server sees TIMEOUT)
    #[arg(long, value_name = "PERCENT", default_value_t = 0, hide_default_value = true,
          value_parser = clap::value_parser!(u8).range(0..=100))]
    pub never_answer: u8,

    /// So many fail all boots of a new image and come back with the old one (ROLLED_BACK)
    #[arg(long, value_name = "PERCENT", default_value_t = 0, hide_default_value = true,
          value_parser = clap::value_parser!(u8).range(0..=100))]
    pub roll_back: u8,

    /// So many turn a bit of each download over (DIGEST_MISMATCH)
    #[arg(long, value_name = "PERCENT", default_value_t = 0, hide_default_value = true,
          value_parser = clap::value_parser!(u8).range(0..=100))]
    pub wrong_digest: u8,
}

impl Shares {
    fn percent(self, flaw: Flaw) -> u8 {
        match flaw {
            Flaw::NeverAnswer => self.never_answer,
            Flaw::RollBack => self.roll_back,
            Flaw::WrongDigest => self.wrong_digest,
        }
    }

    /// The flaw of each of `fleet` gateways, in the order of their numbers.
    pub fn choose(self, fleet: u32) -> Result<Vec<Option<Flaw>>> {
        let counts = Flaw::ALL.map(|flaw| rounded_share(fleet, self.percent(flaw)));
        let flawed: u32 = counts.iter().sum();
        ensure!(
            flawed <= fleet,
            "--never-answer, --roll-back and --wrong-digest would need {flawed} gateways of \
             {fleet}: together they must not pass 100 percent"
        );
        let mut flaws = vec![None; fleet as usize];
        let mut places = spread(fleet);
        for (flaw, count) in Flaw::ALL.into_iter().zip(counts) {
            for place in places.by_ref().take(count as usize) {
                flaws[place] = Some(flaw);
            }
        }
        Ok(flaws)
    }
}

fn rounded_share(fleet: u32, percent: u8) -> u32 {
    ((u64::from(fleet) * u64::from(percent) + 50) / 100) as u32
}

/// Each place below `length` once. Steps of the golden section, made to reach all places: any
/// stretch of the sequence lies evenly over the whole.
fn spread(length: u32) -> impl Iterator<Item = usize> {
    let length = length as usize;
    let golden = length - length * 382 / 1_000;
    let step = (golden..).find(|step| are_coprime(*step, length));
    let step = step.unwrap_or(1);
    (1..=length).map(move |count| count * step % length)
}

fn are_coprime(mut a: usize, mut b: usize) -> bool {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a == 1
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shares([never_answer, roll_back, wrong_digest]: [u8; 3]) -> Shares {
        Shares {
            never_answer,
            roll_back,
            wrong_digest,
        }
    }

    /// How many gateways have each flaw.
    fn counts(percents: [u8; 3], fleet: u32) -> [usize; 3] {
        let flaws = shares(percents).choose(fleet).unwrap();
        assert_eq!(flaws.len(), fleet as usize);
        Flaw::ALL.map(|flaw| flaws.iter().filter(|one| **one == Some(flaw)).count())
    }

    #[test]
    fn each_flaw_has_exactly_its_rounded_share_of_the_fleet() {
        assert_eq!(counts([5, 5, 2], 500), [25, 25, 10]);
        assert_eq!(counts([5, 5, 2], 30), [2, 2, 1]);
        assert_eq!(counts([0, 0, 0], 7), [0, 0, 0]);
        assert_eq!(counts([0, 100, 0], 1), [0, 1, 0]);
        assert_eq!(counts([30, 30, 40], 10), [3, 3, 4]);
        assert_eq!(counts([1, 2, 3], 100_000), [1_000, 2_000, 3_000]);
    }

    #[test]
    fn every_place_is_met_once_whatever_the_length() {
        for length in 1..=600 {
            let mut places: Vec<usize> = spread(length).collect();
            places.sort_unstable();
            assert_eq!(places, Vec::from_iter(0..length as usize));
        }
    }

    #[test]
    fn the_flawed_are_spread_over_the_fleet() {
        let flaws = shares([5, 5, 2]).choose(500).unwrap();
        for flaw in Flaw::ALL {
            for fifth in flaws.chunks(100) {
                let count = fifth.iter().filter(|one| **one == Some(flaw)).count();
                let fair = [5, 5, 2][flaw as usize];
                assert!(count.abs_diff(fair) <= 1, "{flaw:?}: {count} of a hundred");
            }
        }
    }

    #[test]
    fn a_second_choice_is_the_same() {
        let choose = || shares([10, 20, 30]).choose(250).unwrap();
        assert_eq!(choose(), choose());
    }

    #[test]
    fn more_than_the_whole_fleet_is_refused() {
        let refusal = shares([50, 50, 1]).choose(100).unwrap_err().to_string();
        assert!(refusal.contains("101 gateways of 100"), "{refusal}");
        // Halves are rounded up.
        assert!(shares([50, 50, 0]).choose(1).is_err());
    }
}
