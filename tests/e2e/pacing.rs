//! A fleet that wants more bytes than the server may send.

use airlift::domain::DOWNLOAD_BURST_SECONDS;
use airlift_testkit::free_port;
use futures_util::future::join_all;

use super::{
    gateway::{NEW, assert_slot_holds, image, time},
    server::{Api, PATIENCE, Server, eventually},
    simulator::Simulator,
};

const GATEWAYS: usize = 30;
const IMAGE_BYTES: u64 = 100_000;
/// Fifteen seconds' worth for the whole fleet, much longer than it takes unpaced.
const BYTES_PER_SECOND: u64 = 200_000;

#[tokio::test(flavor = "multi_thread")]
async fn a_fleet_that_is_put_off_again_and_again_is_updated_within_the_budget() {
    let folder = tempfile::tempdir().unwrap();
    let mqtt_port = free_port().unwrap();
    let args = [
        format!("--mqtt-listen=127.0.0.1:{mqtt_port}"),
        format!("--download-bytes-per-second={BYTES_PER_SECOND}"),
    ];
    let server = Server::start(folder.path(), &args, &[]);
    let api = Api::new(&[&server.url]);
    let simulator = Simulator::start(GATEWAYS, mqtt_port, &[]);
    simulator.registered(&api).await;
    let image = image(IMAGE_BYTES as usize);
    api.release(NEW, &image).await;
    join_all(simulator.ids.iter().map(|id| api.trigger(id, NEW))).await;

    eventually("every upgrade is proven", 2 * PATIENCE, async || {
        let tasks = api.tasks("").await.unwrap();
        tasks.iter().all(|task| !task["confirmedAt"].is_null())
    })
    .await;
    for id in &simulator.ids {
        assert_slot_holds(&simulator.process, id, &image);
    }
    let refused = server.metric("airlift_downloads_refused_total", "").await;
    assert!(refused > 0, "nobody was put off");
    let put_off = server
        .metric("airlift_http_requests_total{", "status=\"503\"")
        .await;
    assert_eq!(put_off, refused);
    let sent = server.metric("airlift_download_sent_bytes_total", "").await;
    assert_eq!(sent, GATEWAYS as u64 * IMAGE_BYTES);

    // All that was sent left between these two moments of the server's clock.
    let tasks = api.tasks("").await.unwrap();
    let begun = tasks.iter().map(|task| time(&task["createdAt"])).min();
    let ended = tasks.iter().map(|task| time(&task["confirmedAt"])).max();
    let passed_ms = (ended.unwrap() - begun.unwrap()).num_milliseconds() as u64;
    println!("{refused} times put off, {sent} bytes in {passed_ms} ms");
    let all_but_the_last = sent - IMAGE_BYTES;
    let granted_thousandths = BYTES_PER_SECOND * (passed_ms + DOWNLOAD_BURST_SECONDS * 1_000);
    assert!(all_but_the_last * 1_000 < granted_thousandths);
}
