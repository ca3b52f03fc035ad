//! Figures as a table in Markdown.

use std::fmt::Write;

use anyhow::{Context, Result};
use serde_json::Value;

const HEAD: &str = "\
| figure | value | limit | ratio | aim | met | memory, MiB |
|---|---|---|---|---|---|---|
";

/// Of lines as `airlift-load` prints them.
pub fn table(lines: &str) -> Result<String> {
    let mut table = HEAD.to_owned();
    for line in lines.lines() {
        let figure: Value = serde_json::from_str(line)
            .with_context(|| format!("a line that is no figure: {line}"))?;
        let unit = figure["unit"].as_str().unwrap_or_default();
        writeln!(
            table,
            "| {} | {} {unit} | {} | {} | {} | {} | {} |",
            name(&figure),
            number(&figure["value"]),
            number(&figure["limit"]),
            number(&figure["ratio"]),
            aim(&figure),
            met(&figure),
            memory(&figure),
        )?;
    }
    Ok(table)
}

fn name(figure: &Value) -> String {
    let name = figure["figure"].as_str().unwrap_or_default();
    match figure["data"].as_u64() {
        None | Some(1) => format!("`{name}`"),
        Some(data) => format!("`{name}`, {data} × data"),
    }
}

/// Large ones in thousands that can be read.
fn number(value: &Value) -> String {
    let Some(value) = value.as_f64() else {
        return "–".to_owned();
    };
    if value.abs() < 100.0 {
        return format!("{}", (value * 100.0).round() / 100.0);
    }
    let digits = format!("{}", value.round());
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at) % 3 == 0 && !text.ends_with('-') {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

fn aim(figure: &Value) -> String {
    match (figure["ratioMin"].as_f64(), figure["max"].as_f64()) {
        (Some(ratio), _) => format!("≥ {ratio}"),
        (_, Some(max)) => format!("≤ {max}"),
        _ => "–".to_owned(),
    }
}

fn met(figure: &Value) -> &'static str {
    match figure["met"].as_bool() {
        Some(true) => "yes",
        Some(false) => "**no**",
        None => "–",
    }
}

/// `memoryPeakMib` is read as "peak".
fn memory(figure: &Value) -> String {
    let details = figure.as_object().into_iter().flatten();
    let memory: Vec<String> = details
        .filter_map(|(name, value)| {
            let when = name.strip_prefix("memory")?.strip_suffix("Mib")?;
            Some(format!("{} {}", when.to_lowercase(), number(value)))
        })
        .collect();
    memory.join(", ")
}

#[cfg(test)]
mod tests {
    use serde_json::{Map, json};

    use super::*;
    use crate::figure::{Aim, Figure, Round};

    #[test]
    fn a_row_for_each_line_that_a_figure_prints() {
        let figure = |aim, limit| {
            Figure {
                name: "poll.sqlite".into(),
                unit: "requests/s",
                aim,
                limit: "a peer",
                rounds: vec![Round {
                    value: 12_345.0,
                    limit,
                }],
                details: Map::new(),
            }
            .detail("data", 10)
            .detail("memoryPeakMib", 31.5)
            .to_string()
        };
        let lines = [
            figure(Aim::RatioMin(0.5), Some(20_000.0)),
            figure(Aim::Max(100.0), None),
            figure(Aim::None, None),
        ];
        assert_eq!(
            table(&lines.join("\n")).unwrap(),
            format!(
                "{HEAD}\
                 | `poll.sqlite`, 10 × data | 12,350 requests/s | 20,000 | 0.62 | ≥ 0.5 | yes | peak 31.5 |\n\
                 | `poll.sqlite`, 10 × data | 12,350 requests/s | – | – | ≤ 100 | **no** | peak 31.5 |\n\
                 | `poll.sqlite`, 10 × data | 12,350 requests/s | – | – | – | – | peak 31.5 |\n"
            )
        );
        assert_eq!(number(&json!(-1234567)), "-1,234,567");
        assert_eq!(number(&json!(0.2345)), "0.23");
        assert!(table("nonsense").is_err());
    }
}
