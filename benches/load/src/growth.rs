//! What more data costs.

use serde_json::Map;

use crate::figure::{Aim, Figure, Round};

/// A hundred times the data then cost 1.6 times as much.
const FLAT_MAX: f64 = 0.1;

/// Of each figure that was measured at several amounts of data: the exponent of its cost.
pub fn growth(measured: &[(usize, Figure)]) -> Vec<Figure> {
    let mut names: Vec<&str> = Vec::new();
    for (_, figure) in measured {
        if !names.contains(&figure.name.as_str()) {
            names.push(&figure.name);
        }
    }
    let of_name = |name: &str| {
        let points = measured.iter().filter(|(_, figure)| figure.name == name);
        let points: Vec<(f64, f64)> = points
            .map(|(data, figure)| (*data as f64, figure.cost()))
            .collect();
        let exponent = exponent(&points)?;
        let figure = Figure {
            name: format!("growth.{name}"),
            unit: "exponent",
            aim: Aim::Max(FLAT_MAX),
            limit: "",
            rounds: vec![Round {
                value: exponent,
                limit: None,
            }],
            details: Map::new(),
        };
        let data: Vec<f64> = points.iter().map(|(data, _)| *data).collect();
        Some(figure.detail("data", data))
    };
    names.into_iter().filter_map(of_name).collect()
}

/// Slope of log cost over log data, by least squares; `None` if there is but one amount of data.
fn exponent(points: &[(f64, f64)]) -> Option<f64> {
    let logs: Vec<(f64, f64)> = points.iter().map(|(x, y)| (x.ln(), y.ln())).collect();
    let count = logs.len() as f64;
    let mean_x = logs.iter().map(|(x, _)| x).sum::<f64>() / count;
    let mean_y = logs.iter().map(|(_, y)| y).sum::<f64>() / count;
    let spread: f64 = logs.iter().map(|(x, _)| (x - mean_x).powi(2)).sum();
    let together: f64 = logs.iter().map(|(x, y)| (x - mean_x) * (y - mean_y)).sum();
    (spread > 0.0).then(|| together / spread)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_exponent_is_that_of_the_cost() {
        let points =
            |power: f64| [1.0, 10.0, 100.0].map(|data: f64| (data, 3.0 * data.powf(power)));
        for power in [0.0, 0.5, 1.0, 2.0] {
            let found = exponent(&points(power)).unwrap();
            assert!((found - power).abs() < 1e-9, "{power} {found}");
        }
        assert_eq!(exponent(&points(1.0)[..1]), None);
    }

    #[test]
    fn only_figures_measured_at_several_amounts_of_data_grow() {
        let figure = |name: &str, value, limit| Figure {
            name: name.into(),
            unit: "1/s",
            aim: Aim::RatioMin(0.5),
            limit: "a peer",
            rounds: vec![Round { value, limit }],
            details: Map::new(),
        };
        let grown = growth(&[
            (1, figure("slower", 100.0, Some(100.0))),
            (1, figure("once", 100.0, None)),
            // The machine is twice as quick by now.
            (10, figure("slower", 20.0, Some(200.0))),
        ]);
        assert_eq!(grown.len(), 1);
        assert_eq!(grown[0].name, "growth.slower");
        assert!((grown[0].value() - 1.0).abs() < 1e-9);
    }
}
