//! `airlift-gateway --fleet` as a process, and what it says of its gateways at start.

use std::collections::{BTreeMap, BTreeSet};

use airlift_testkit::{Process, binary};
use serde_json::Value;

use super::{
    gateway::OLD,
    server::{Api, PATIENCE, eventually},
};

pub struct Simulator {
    pub process: Process,
    pub ids: BTreeSet<String>,
    /// By the flaw's name.
    flaws: BTreeMap<String, BTreeSet<String>>,
}

impl Simulator {
    /// `count` gateways that reboot at once; `args` come on top. When this returns, the first ones
    /// are connected.
    pub fn start(count: usize, mqtt_port: u16, args: &[&str]) -> Simulator {
        let mut all = vec![
            "--id=SIM".to_owned(),
            format!("--fleet={count}"),
            format!("--mqtt=mqtt://127.0.0.1:{mqtt_port}"),
            format!("--firmware-version={OLD}"),
            "--reboot-seconds=0".to_owned(),
            "--log=json".to_owned(),
        ];
        all.extend(args.iter().map(|arg| (*arg).to_owned()));
        let gateway = binary("airlift-gateway").unwrap();
        let mut process = Process::spawn(gateway, &all, &[], "simulator").unwrap();
        process
            .wait_for_line("\"event\":\"connected\"", PATIENCE)
            .unwrap();
        let log = process.log();
        let events = log
            .lines()
            .filter_map(|line| serde_json::from_str(line).ok());
        let flaws = events
            .filter(|event: &Value| event["event"] == "flaw")
            .map(|event| {
                let ids = event["gatewayIds"].as_array().unwrap();
                let ids: BTreeSet<String> = ids.iter().map(text).collect();
                assert_eq!(event["count"], ids.len(), "{event}");
                (text(&event["flaw"]), ids)
            })
            .collect();
        Simulator {
            process,
            ids: (1..=count).map(|n| format!("SIM-{n:04}")).collect(),
            flaws,
        }
    }

    /// The gateways with this flaw.
    pub fn flawed(&self, flaw: &str) -> BTreeSet<String> {
        self.flaws.get(flaw).cloned().unwrap_or_default()
    }

    pub fn healthy(&self) -> BTreeSet<String> {
        let flawed: BTreeSet<String> = self.flaws.values().flatten().cloned().collect();
        self.ids.difference(&flawed).cloned().collect()
    }

    /// Waits until the server knows of every gateway what it runs.
    pub async fn registered(&self, api: &Api) {
        eventually("every gateway is known", PATIENCE, async || {
            let gateways = gateways(api).await.unwrap_or_default();
            let known = gateways
                .iter()
                .filter(|(id, gateway)| self.ids.contains(*id) && gateway["currentVersion"] == OLD);
            known.count() == self.ids.len()
        })
        .await;
    }
}

/// What the server knows of each gateway.
pub async fn gateways(api: &Api) -> Option<BTreeMap<String, Value>> {
    let gateways = api.list("/api/ota/gateways", "").await?;
    Some(by_gateway(gateways))
}

/// By gateway id; there must be one of each.
pub fn by_gateway(items: Vec<Value>) -> BTreeMap<String, Value> {
    let count = items.len();
    let by_id: BTreeMap<String, Value> = items
        .into_iter()
        .map(|item| (text(&item["gatewayId"]), item))
        .collect();
    assert_eq!(by_id.len(), count, "one per gateway");
    by_id
}

pub fn text(value: &Value) -> String {
    value.as_str().unwrap().to_owned()
}
