//! All gateways: how they stand, and each of them in a table of any length.

use std::{env, fmt::Write as _, time::Instant};

use airlift_testkit::free_port;
use reqwest::{Client, header::CONTENT_TYPE};
use serde_json::{Value, json};

use super::{
    super::{
        gateway::{NEW, OLD, image},
        server::{Api, Server},
        simulator::Simulator,
    },
    nothing, run,
};

/// A server with its built-in broker.
fn start(folder: &tempfile::TempDir) -> (Server, u16) {
    let mqtt_port = free_port().unwrap();
    let args = [format!("--mqtt-listen=127.0.0.1:{mqtt_port}")];
    (Server::start(folder.path(), &args, &[]), mqtt_port)
}

/// Registers gateways from GW-000000 on.
async fn announce(server: &Server, count: usize) {
    let mut list = "gatewayId,deviceType,site,rack\n".to_owned();
    for number in 0..count {
        let site = if number == 7 { "north lab" } else { "lab" };
        writeln!(list, "GW-{number:06},esp32,{site},{}", number % 40).unwrap();
    }
    let request = Client::new()
        .post(format!("{}/api/ota/gateways/tags", server.url))
        .header(CONTENT_TYPE, "text/csv")
        .body(list);
    let answer = request.send().await.unwrap();
    assert_eq!(answer.status(), 200, "{}", answer.text().await.unwrap());
}

/// `AIRLIFT_GATEWAYS` sets how many; `just bench-page` does so with an optimised server.
#[tokio::test(flavor = "multi_thread")]
async fn scrolling_through_the_whole_fleet_keeps_few_rows_and_asks_for_few_pages() {
    let gateways = match env::var("AIRLIFT_GATEWAYS") {
        Ok(count) => count.parse().expect("AIRLIFT_GATEWAYS is a number"),
        Err(_) => 20_000,
    };
    let folder = tempfile::tempdir().unwrap();
    let (server, _) = start(&folder);
    let begun = Instant::now();
    announce(&server, gateways).await;
    println!("{gateways} gateways registered in {:.1?}", begun.elapsed());
    run(
        "scroll",
        &server.url,
        json!({ "gateways": gateways }),
        nothing,
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_table_of_gateways_is_walked_filtered_kept_current_and_tagged() {
    let folder = tempfile::tempdir().unwrap();
    let (server, mqtt_port) = start(&folder);
    let api = Api::new(&[&server.url]);
    announce(&server, 500).await;
    api.release(NEW, &image(1000)).await;
    let mut simulator = Simulator::start(3, mqtt_port, &["--heartbeat-seconds=1"]);
    simulator.registered(&api).await;
    let input = json!({ "announced": 500, "connected": 3 });
    run("gateways", &server.url, input, async |what| match what {
        "disconnect" => {
            simulator.process.kill9().unwrap();
            Value::Null
        }
        _ => nothing(what).await,
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_overview_follows_the_fleet_from_the_first_minute_on() {
    let folder = tempfile::tempdir().unwrap();
    let (server, mqtt_port) = start(&folder);
    let api = Api::new(&[&server.url]);
    let mut simulator = None;
    let input = json!({ "gateways": 8, "failing": 2, "version": NEW, "old": OLD });
    run("overview", &server.url, input, async |what| {
        match what {
            "release" => api.release(NEW, &image(400_000)).await,
            "connect" => {
                let args = [
                    "--heartbeat-seconds=1",
                    "--wrong-digest=25",
                    "--download-bytes-per-second=100000",
                ];
                let started = simulator.insert(Simulator::start(8, mqtt_port, &args));
                started.registered(&api).await;
                assert_eq!(started.flawed("wrong_digest").len(), 2);
            }
            "upgrade" => {
                for number in 1..=8 {
                    api.trigger(&format!("SIM-{number:04}"), NEW).await;
                }
            }
            "disconnect" => simulator.as_mut().unwrap().process.kill9().unwrap(),
            _ => return nothing(what).await,
        }
        Value::Null
    })
    .await;
}
