//! Simulated gateways that misbehave by plan, as the server sees them.

use airlift_testkit::free_port;
use futures_util::future::join_all;

use super::{
    gateway::{NEW, OLD, image},
    server::{Api, PATIENCE, Server, eventually},
    simulator::{Simulator, by_gateway, gateways},
};

#[tokio::test(flavor = "multi_thread")]
async fn planned_misbehaviour_is_seen_by_the_server_as_what_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let mqtt_port = free_port().unwrap();
    let args = [
        format!("--mqtt-listen=127.0.0.1:{mqtt_port}"),
        "--pending-timeout-seconds=15".to_owned(),
    ];
    let server = Server::start(folder.path(), &args, &[]);
    let api = Api::new(&[&server.url]);
    let flaws = [
        "--never-answer=10",
        "--roll-back=15",
        "--wrong-digest=20",
        "--heartbeat-seconds=1",
    ];
    let simulator = Simulator::start(20, mqtt_port, &flaws);
    assert_eq!(simulator.flawed("never_answer").len(), 2);
    assert_eq!(simulator.flawed("roll_back").len(), 3);
    assert_eq!(simulator.flawed("wrong_digest").len(), 4);
    assert_eq!(simulator.healthy().len(), 11);
    simulator.registered(&api).await;
    api.release(NEW, &image(100_000)).await;
    join_all(simulator.ids.iter().map(|id| api.trigger(id, NEW))).await;

    eventually("every upgrade ends", PATIENCE, async || {
        let tasks = api.tasks("").await.unwrap();
        tasks
            .iter()
            .all(|task| task["status"] == "failed" || !task["confirmedAt"].is_null())
    })
    .await;
    let tasks = by_gateway(api.tasks("").await.unwrap());
    assert_eq!(tasks.len(), simulator.ids.len());
    let known = gateways(&api).await.unwrap();
    for (flaw, error_code) in [
        ("never_answer", "TIMEOUT"),
        ("roll_back", "ROLLED_BACK"),
        ("wrong_digest", "DIGEST_MISMATCH"),
    ] {
        for id in simulator.flawed(flaw) {
            assert_eq!(tasks[&id]["errorCode"], error_code, "{}", tasks[&id]);
            // It heartbeats all the while.
            assert_eq!(known[&id]["online"], true, "{}", known[&id]);
            assert_eq!(known[&id]["currentVersion"], OLD, "{}", known[&id]);
        }
    }
    for id in simulator.flawed("never_answer") {
        assert_eq!(tasks[&id]["progress"], 0, "{}", tasks[&id]);
    }
    for id in simulator.flawed("roll_back") {
        let attributes = &known[&id]["attributes"];
        assert_eq!(attributes["rollback"], true, "{attributes}");
    }
    for id in simulator.healthy() {
        assert_eq!(tasks[&id]["status"], "completed", "{}", tasks[&id]);
        assert_eq!(known[&id]["currentVersion"], NEW, "{}", known[&id]);
    }
}
