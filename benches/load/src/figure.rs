//! What was measured, beside what.

use std::fmt;

use serde_json::{Map, Value, json};

use crate::memory::Memory;

/// What a figure is held against.
#[derive(Clone, Copy, Debug)]
pub enum Aim {
    /// Value over limit is at least this.
    RatioMin(f64),
    /// The value is at most this.
    Max(f64),
    /// It is only printed.
    None,
}

/// One figure of several rounds.
pub struct Figure {
    pub name: String,
    pub unit: &'static str,
    pub aim: Aim,
    /// What the limit is.
    pub limit: &'static str,
    pub rounds: Vec<Round>,
    /// What else is to be known, like memory.
    pub details: Map<String, Value>,
}

/// A value and its limit, measured one after the other. Both are rates, or both are not there.
#[derive(Clone, Copy, Debug)]
pub struct Round {
    pub value: f64,
    pub limit: Option<f64>,
}

impl Figure {
    pub fn detail(mut self, name: &str, value: impl Into<Value>) -> Figure {
        self.details.insert(name.to_owned(), value.into());
        self
    }

    /// What the server held before and after, and at the most in between.
    pub fn memory(self, before: Memory, after: Memory) -> Figure {
        self.detail("memoryBeforeMib", before.resident.round())
            .detail("memoryPeakMib", after.peak.round())
            .detail("memoryAfterMib", after.resident.round())
    }

    pub fn value(&self) -> f64 {
        median(self.rounds.iter().map(|round| round.value))
    }

    /// What it takes, whatever the unit: what a limit of the same run takes is 1, as machines have
    /// their moods.
    pub fn cost(&self) -> f64 {
        match self.ratios() {
            ratios if !ratios.is_empty() => 1.0 / median(ratios),
            _ if self.unit.ends_with("/s") => 1.0 / self.value(),
            _ => self.value(),
        }
    }

    /// Of each round, lowest first.
    fn ratios(&self) -> Vec<f64> {
        let mut ratios: Vec<f64> = self
            .rounds
            .iter()
            .filter_map(|round| Some(round.value / round.limit?))
            .collect();
        ratios.sort_by(f64::total_cmp);
        ratios
    }

    fn met(&self) -> Option<bool> {
        match self.aim {
            Aim::RatioMin(aim) => Some(median(self.ratios()) >= aim),
            Aim::Max(aim) => Some(self.value() <= aim),
            Aim::None => None,
        }
    }
}

/// One line of JSON.
impl fmt::Display for Figure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut line = json!({
            "figure": self.name,
            "value": round(self.value()),
            "unit": self.unit,
        });
        if !self.ratios().is_empty() {
            let limits = self.rounds.iter().filter_map(|round| round.limit);
            line["limit"] = round(median(limits));
            line["limitIs"] = self.limit.into();
            line["ratio"] = round(median(self.ratios()));
            line["ratios"] = self.ratios().into_iter().map(round).collect();
        }
        match self.aim {
            Aim::RatioMin(aim) => line["ratioMin"] = aim.into(),
            Aim::Max(aim) => line["max"] = aim.into(),
            Aim::None => {}
        }
        line["met"] = self.met().into();
        for (name, value) in &self.details {
            line[name] = value.clone();
        }
        write!(f, "{line}")
    }
}

/// The middle one; NaN of nothing.
pub fn median(values: impl IntoIterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.into_iter().collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// Four digits that count: more would pretend.
fn round(value: f64) -> Value {
    if value == 0.0 || !value.is_finite() {
        return Value::from(value);
    }
    let scale = 10f64.powf(3.0 - value.abs().log10().floor());
    Value::from((value * scale).round() / scale)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_of_the_rounds_ratios_is_held_against_the_aim() {
        let figure = |aim| Figure {
            name: "f".into(),
            unit: "1/s",
            aim,
            limit: "a peer",
            rounds: [(50.0, 100.0), (90.0, 100.0), (60.0, 100.0)]
                .map(|(value, limit)| Round {
                    value,
                    limit: Some(limit),
                })
                .to_vec(),
            details: Map::new(),
        };
        let line = figure(Aim::RatioMin(0.6)).detail("x", 1).to_string();
        let line: Value = serde_json::from_str(&line).unwrap();
        assert_eq!(line["ratio"], 0.6);
        assert_eq!(line["met"], true);
        assert_eq!(line["x"], 1);
        assert_eq!(figure(Aim::RatioMin(0.61)).met(), Some(false));
        assert_eq!(figure(Aim::Max(59.0)).met(), Some(false));
        assert_eq!(round(0.123_456), 0.1235);
        assert_eq!(round(123_456.0), 123_500.0);
    }
}
