//! Who may do what, as the page shows it.

use airlift_testkit::{Process, binary, free_port};
use serde_json::json;

use super::{
    super::server::{PATIENCE, Server},
    nothing, run,
};

#[tokio::test(flavor = "multi_thread")]
async fn a_closed_server_s_link_makes_the_first_administrator_who_logs_in() {
    let folder = tempfile::tempdir().unwrap();
    let port = free_port().unwrap();
    let url = format!("http://127.0.0.1:{port}");
    // An address that others can reach.
    let args = [
        "serve".to_owned(),
        format!("--data-dir={}", folder.path().display()),
        format!("--listen=0.0.0.0:{port}"),
        format!("--public-url={url}"),
        format!("--mqtt-listen=127.0.0.1:{}", free_port().unwrap()),
    ];
    let mut process = Process::spawn(binary("airlift").unwrap(), &args, &[], "airlift").unwrap();
    let link = process.wait_for_line("/setup#", PATIENCE).unwrap();
    assert!(!process.wait(PATIENCE).unwrap().success());
    process.start_again().unwrap();
    let mut server = Server { process, url };
    server.wait_until_serving();
    let input = json!({ "link": link.trim() });
    run("first_start", &server.url, input, nothing).await;
}
