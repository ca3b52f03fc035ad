//! What `deploy/` has for Prometheus and Grafana, tried with the real `promtool` and a real Prometheus.
//! Grafana itself is not run: its dashboard is checked against the rules of its format that matter here,
//! and each of its queries is put to Prometheus.

mod dashboard;
mod prometheus;

use std::{
    collections::BTreeSet,
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use airlift_testkit::program;

use crate::app::TestApp;

/// A file of this repository.
fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn read(path: &str) -> String {
    fs::read_to_string(repository(path)).unwrap()
}

/// Runs `promtool` in `deploy/`; what it printed.
fn promtool(args: &[&str], input: Stdio) -> String {
    let output = Command::new(program("promtool", "prometheus").unwrap())
        .args(args)
        .current_dir(repository("deploy"))
        .stdin(input)
        .output()
        .unwrap();
    let said = [output.stdout, output.stderr].map(|it| String::from_utf8_lossy(&it).into_owned());
    assert!(output.status.success(), "promtool {args:?}: {said:?}");
    said.concat()
}

/// The alerting rules: name and expression, in the order of the file.
fn rules() -> Vec<(String, String)> {
    let text = read("deploy/prometheus-rules.yml");
    let mut rules: Vec<(String, String)> = Vec::new();
    let mut in_expression = false;
    for line in text.lines().map(str::trim) {
        if let Some(name) = line.strip_prefix("- alert: ") {
            rules.push((name.to_owned(), String::new()));
        } else if let Some(expression) = line.strip_prefix("expr: ") {
            in_expression = true;
            let expression = expression.trim_start_matches('>');
            rules.last_mut().unwrap().1.push_str(expression);
        } else if line.starts_with("for: ") || line.starts_with("labels: ") {
            in_expression = false;
        } else if in_expression {
            let expression = &mut rules.last_mut().unwrap().1;
            expression.push(' ');
            expression.push_str(line);
        }
    }
    rules
}

/// The metrics of a server in the older text format.
async fn older_text(app: &TestApp) -> String {
    let answer = app.get_with("/metrics", &[("accept", "text/plain")]).await;
    assert_eq!(
        answer.header("content-type"),
        Some("text/plain; version=0.0.4; charset=utf-8")
    );
    answer.text()
}

/// The names of all series that a server has or can have.
fn series_names(older_text: &str) -> BTreeSet<String> {
    let mut names = BTreeSet::from(["up".to_owned()]);
    for line in older_text.lines() {
        let Some((name, kind)) = line
            .strip_prefix("# TYPE ")
            .and_then(|it| it.split_once(' '))
        else {
            continue;
        };
        match kind {
            "histogram" => {
                names.extend(["bucket", "sum", "count"].map(|part| format!("{name}_{part}")));
            }
            _ => drop(names.insert(name.to_owned())),
        }
    }
    names
}

/// The names of our metrics in a query.
fn named_in(expression: &str) -> BTreeSet<String> {
    expression
        .split(|c: char| !c.is_ascii_alphanumeric() && c != '_')
        .filter(|word| word.starts_with("airlift_") || word.starts_with("ota_"))
        .map(str::to_owned)
        .collect()
}

#[test]
fn promtool_takes_the_configuration_and_the_rules() {
    // Beside the token that it asks for.
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("metrics-token"), "token").unwrap();
    for name in ["prometheus.yml", "prometheus-rules.yml"] {
        fs::write(folder.path().join(name), read(&format!("deploy/{name}"))).unwrap();
    }
    let config = folder.path().join("prometheus.yml");
    promtool(
        &["check", "config", config.to_str().unwrap()],
        Stdio::null(),
    );
    let said = promtool(&["check", "rules", "prometheus-rules.yml"], Stdio::null());
    let rules = rules();
    assert!(
        said.contains(&format!("{} rules found", rules.len())),
        "{said}"
    );
    assert!(rules.iter().all(|(_, expression)| !expression.is_empty()));
}

#[test]
fn each_rule_has_a_case_that_sets_it_off_and_one_that_must_not() {
    promtool(
        &["test", "rules", "prometheus-rules-test.yml"],
        Stdio::null(),
    );
    let text = read("deploy/prometheus-rules-test.yml");
    let (mut loud, mut calm) = (BTreeSet::new(), BTreeSet::new());
    for case in text.split("alertname: ").skip(1) {
        let name = case.lines().next().unwrap().to_owned();
        if case.contains("exp_alerts: []") {
            calm.insert(name);
        } else {
            loud.insert(name);
        }
    }
    let names: BTreeSet<String> = rules().into_iter().map(|(name, _)| name).collect();
    assert_eq!((&loud, &calm), (&names, &names));
}

#[tokio::test]
async fn promtool_finds_nothing_wrong_with_the_metrics_of_a_live_server() {
    let app = TestApp::start().await;
    app.released("1.0.2").await;
    app.get("/no/such/address").await;
    let text = older_text(&app).await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("metrics");
    fs::write(&file, &text).unwrap();
    let input = Stdio::from(File::open(&file).unwrap());
    let said = promtool(&["check", "metrics"], input);
    assert_eq!(said, "");
    app.stop().await;
}

#[tokio::test]
async fn openmetrics_is_what_prometheus_gets_and_whoever_does_not_say() {
    let app = TestApp::start().await;
    // As Prometheus 2.42 asks.
    let accept = "application/openmetrics-text;version=1.0.0,\
                  application/openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,\
                  */*;q=0.1";
    for headers in [&[("accept", accept)][..], &[("accept", "*/*")], &[]] {
        let answer = app.get_with("/metrics", headers).await;
        let content_type = answer.header("content-type").unwrap();
        assert!(content_type.starts_with("application/openmetrics-text"));
        assert!(answer.text().ends_with("# EOF\n"));
    }
    assert!(!older_text(&app).await.contains("# EOF"));
    app.stop().await;
}

#[tokio::test]
async fn every_metric_is_in_the_documentation() {
    let app = TestApp::start().await;
    prometheus::live(&app).await;
    let documentation = read("docs/operations.md");
    let text = older_text(&app).await;
    let described = text.lines().filter_map(|line| {
        let (name, _) = line.strip_prefix("# TYPE ")?.split_once(' ')?;
        Some(name)
    });
    let missing: Vec<&str> = described
        .filter(|name| !documentation.contains(&format!("`{name}`")))
        .collect();
    assert_eq!(missing, [""; 0]);
    app.stop().await;
}
