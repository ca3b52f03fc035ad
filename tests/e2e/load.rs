//! `airlift-load` with a hundredth of its work: each figure can still be measured. What it says of speed
//! is for `just bench`.

use std::process::{Command, Output, Stdio};

use airlift_testkit::binary;
use serde_json::Value;

/// A test for each beginning of figures' names.
macro_rules! measured {
    ($($name:ident),+ $(,)?) => {
        const MEASURED: &[&str] = &[$(stringify!($name)),+];
        $(
            #[test]
            fn $name() {
                for figure in figures(&[stringify!($name)]) {
                    assert!(is_measured(&figure), "{figure}");
                }
            }
        )+
    };
}

measured!(
    access, contact, download, idle, ingest, poll, rollout, storm, trigger, upload
);

#[test]
fn each_figure_is_measured_here() {
    let list = text(load(&["--list"]));
    let names: Vec<&str> = list
        .lines()
        .filter_map(|line| line.split(' ').next())
        .collect();
    assert!(!names.is_empty());
    for name in names {
        let is_measured = MEASURED.iter().any(|it| name.starts_with(it));
        assert!(is_measured, "{name} is missing in this file");
    }
}

#[test]
fn a_figure_at_two_amounts_of_data_ends_with_its_growth_and_all_lines_make_a_table() {
    let output = text(load(&[
        "poll.sqlite",
        "--data",
        "1,10",
        "--rounds",
        "1",
        "--scale",
        "0.01",
    ]));
    let figures = lines(&output);
    let names: Vec<&str> = figures
        .iter()
        .filter_map(|it| it["figure"].as_str())
        .collect();
    assert_eq!(names, ["poll.sqlite", "poll.sqlite", "growth.poll.sqlite"]);
    assert_eq!(figures[1]["gateways"], 100);
    assert!(figures[2]["value"].is_f64(), "{output}");
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), &output).unwrap();
    let table = text(load(&["table", file.path().to_str().unwrap()]));
    assert_eq!(table.lines().count(), 2 + figures.len(), "{table}");
    assert!(table.contains("| `poll.sqlite`, 10 × data | "), "{table}");
}

fn is_measured(figure: &Value) -> bool {
    let positive = |key: &str| figure[key].as_f64().is_some_and(|value| value > 0.0);
    let name = figure["figure"]
        .as_str()
        .is_some_and(|name| !name.is_empty());
    name && positive("value") && (figure.get("limit").is_none() || positive("limit"))
}

fn figures(names: &[&str]) -> Vec<Value> {
    let figures = lines(&text(load(
        &[names, &["--rounds", "1", "--scale", "0.01"]].concat(),
    )));
    assert!(!figures.is_empty());
    figures
}

fn lines(output: &str) -> Vec<Value> {
    let line =
        |line: &str| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
    output.lines().map(line).collect()
}

fn text(output: Output) -> String {
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{complaint}");
    String::from_utf8(output.stdout).unwrap()
}

fn load(args: &[&str]) -> Output {
    Command::new(binary("airlift-load").unwrap())
        .args(args)
        .stdin(Stdio::null())
        .output()
        .unwrap()
}
