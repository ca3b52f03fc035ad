//! The dashboard as a file.

use std::collections::BTreeSet;

use serde_json::Value;

use super::read;

const WIDTH: u64 = 24;

pub fn panels() -> Vec<Value> {
    let text = read("deploy/grafana/dashboards/airlift.json");
    let mut dashboard: Value = serde_json::from_str(&text).unwrap();
    let Value::Array(panels) = dashboard["panels"].take() else {
        panic!("no panels");
    };
    panels
}

/// Each query with the title of its panel.
pub fn queries() -> Vec<(String, String)> {
    let mut queries = Vec::new();
    for panel in panels() {
        for target in panel["targets"].as_array().into_iter().flatten() {
            let title = panel["title"].as_str().unwrap().to_owned();
            queries.push((title, target["expr"].as_str().unwrap().to_owned()));
        }
    }
    queries
}

#[test]
fn panels_have_ids_titles_and_queries_and_do_not_overlap() {
    let datasources = read("deploy/grafana/provisioning/datasources/prometheus.yml");
    let (mut ids, mut cells) = (BTreeSet::new(), BTreeSet::new());
    for panel in panels() {
        let title = panel["title"].as_str().unwrap();
        assert!(!title.is_empty() && ids.insert(panel["id"].as_u64().unwrap()));
        let [x, y, width, height] =
            ["x", "y", "w", "h"].map(|name| panel["gridPos"][name].as_u64().unwrap());
        assert!(x + width <= WIDTH && width > 0 && height > 0, "{title}");
        for column in x..x + width {
            for line in y..y + height {
                assert!(cells.insert((column, line)), "{title} covers another panel");
            }
        }
        if panel["type"] == "row" {
            continue;
        }
        let targets = panel["targets"].as_array().unwrap();
        assert!(!targets.is_empty(), "{title}");
        let names: BTreeSet<_> = targets.iter().map(|it| it["refId"].as_str()).collect();
        assert_eq!(names.len(), targets.len(), "{title}");
        for source in targets.iter().chain([&panel]) {
            let source = source["datasource"]["uid"].as_str().unwrap();
            assert!(datasources.contains(&format!("uid: {source}")), "{title}");
        }
    }
    assert!(queries().len() > 20);
}

#[test]
fn what_compose_mounts_is_where_grafana_is_told_to_look() {
    let compose = read("docker-compose.yml");
    for mount in [
        "./deploy/grafana/provisioning:/etc/grafana/provisioning:ro",
        "./deploy/grafana/dashboards:/etc/grafana/dashboards:ro",
        "./deploy/prometheus.yml:/etc/prometheus/prometheus.yml:ro",
        "./deploy/prometheus-rules.yml:/etc/prometheus/prometheus-rules.yml:ro",
    ] {
        assert!(compose.contains(mount), "{mount}");
        let file = mount.trim_start_matches("./").split(':').next().unwrap();
        assert!(super::repository(file).exists(), "{file}");
    }
    let provider = read("deploy/grafana/provisioning/dashboards/airlift.yml");
    assert!(provider.contains("path: /etc/grafana/dashboards"));
    let source = read("deploy/grafana/provisioning/datasources/prometheus.yml");
    assert!(source.contains("url: http://prometheus:9090"));
}
