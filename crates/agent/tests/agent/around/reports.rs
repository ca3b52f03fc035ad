use std::fs;

use airlift_testkit::Gpg;
use serde_json::json;

use super::{
    device::{Device, content, with},
    server::Server,
};

#[test]
fn an_outcome_waits_until_the_server_takes_it() {
    let server = Server::start();
    let device = Device::new(&server, &["app"]);
    server.push(content("app", "1.0.0"), b"one");
    server.inner().report_status = Some(503);
    let summary = device.poll();
    assert_eq!(summary.updated.len(), 1, "{summary:?}");
    assert!(!summary.is_good());
    assert_eq!(device.names("outbox").len(), 1);
    server.push(
        with(content("app", "2.0.0"), "BeforeUpdate", json!("exit 1")),
        b"two",
    );
    device.poll();
    assert_eq!(device.names("outbox").len(), 2);
    server.inner().report_status = Some(401);
    device.poll();
    assert_eq!(
        device.names("outbox").len(),
        2,
        "a missing token is no reason to forget"
    );
    server.inner().report_status = None;
    device.poll();
    assert!(device.names("outbox").is_empty());
    let states: Vec<String> = server.progress().into_iter().map(|it| it.0).collect();
    assert_eq!(states, ["completed", "failed"]);
    assert_eq!(server.last_progress()["msgId"], "ota_2");
}

#[test]
fn what_the_server_never_takes_is_dropped() {
    let server = Server::start();
    let device = Device::new(&server, &["app"]);
    server.push(content("app", "1.0.0"), b"one");
    server.inner().report_status = Some(409);
    device.poll();
    assert!(device.names("outbox").is_empty());
}

#[test]
fn a_long_output_is_told_by_its_end() {
    let server = Server::start();
    let device = Device::new(&server, &["app"]);
    let script = "i=0; while [ $i -lt 3000 ]; do echo line $i; i=$((i + 1)); done; exit 9";
    server.push(
        with(content("app", "1.0.0"), "BeforeUpdate", json!(script)),
        b"one",
    );
    device.poll();
    let report = server.last_progress();
    let message = report["data"]["errorMessage"].as_str().unwrap();
    assert!(message.chars().count() <= 1024);
    assert!(
        message.starts_with("app 1.0.0: BeforeUpdate exited with 9"),
        "{message}"
    );
    assert!(message.trim_end().ends_with("line 2999"), "{message}");
}

#[test]
fn nobody_is_told_if_no_server_is_named() {
    let server = Server::start();
    let mut device = Device::new(&server, &["app"]);
    device.set("/server", json!(""));
    server.push(content("app", "1.0.0"), b"one");
    let summary = device.poll();
    assert!(
        summary.is_good() && summary.updated.len() == 1,
        "{summary:?}"
    );
    assert!(server.requests_for("/api/").is_empty());
}

#[test]
fn another_task_of_the_server_is_waited_for() {
    let server = Server::start();
    let device = Device::new(&server, &["app"]);
    server.push(content("app", "1.0.0"), b"one");
    server.inner().task_status = Some(409);
    let summary = device.poll();
    assert_eq!(summary.waiting.len(), 1, "{summary:?}");
    assert!(server.requests_for("otafiles").is_empty());
    server.inner().task_status = Some(500);
    assert_eq!(device.poll().unreachable.len(), 1);
    server.inner().task_status = None;
    assert_eq!(device.poll().updated.len(), 1);
}

#[test]
fn a_task_that_a_newer_version_overtook_is_ended() {
    let server = Server::start();
    let device = Device::new(&server, &["app"]);
    server.push(content("app", "1.0.0"), b"one");
    server.inner().rate = Some(1);
    let mut agent = device.agent(&[]).spawn().unwrap();
    server.wait_until("request for the file", |it| {
        it.requests.iter().any(|it| it.contains("otafiles"))
    });
    agent.kill().unwrap();
    agent.wait().unwrap();
    server.inner().rate = None;
    server.withdraw("app", "1.0.0");
    device.poll();
    device.poll();
    let report = server.last_progress();
    assert_eq!(
        (&report["msgId"], &report["data"]["errorCode"]),
        (&json!("ota_1"), &json!("CANCELLED"))
    );
}

#[test]
fn only_what_a_trusted_key_signed_is_downloaded() {
    let gpg = Gpg::new().unwrap();
    for key in ["release", "stranger"] {
        gpg.generate(key, "ed25519", "never").unwrap();
    }
    let server = Server::start();
    let mut device = Device::new(&server, &["app"]);
    fs::create_dir(device.path().join("keys")).unwrap();
    let key = gpg.export("release").unwrap();
    fs::write(device.path().join("keys/release.asc"), key).unwrap();
    device.set("/trustedKeys", json!("keys"));
    let signed = |version: &str, key: &str, altered: bool| {
        let mut bytes = server.push(content("app", version), version.as_bytes());
        if altered {
            bytes.push(b' ');
        }
        server.sign("app", version, &gpg.sign(&[key], &bytes).unwrap());
    };
    server.push(content("app", "1.0.0"), b"1.0.0");
    for code in ["UNSIGNED", "UNTRUSTED_KEY", "BAD_SIGNATURE"] {
        match code {
            "UNTRUSTED_KEY" => signed("1.1.0", "stranger", false),
            "BAD_SIGNATURE" => signed("1.2.0", "release", true),
            _ => {}
        }
        let summary = device.poll();
        assert!(summary.failed[0].starts_with(code), "{summary:?}");
        assert_eq!(server.last_progress()["data"]["errorCode"], code);
    }
    assert!(server.requests_for("otafiles").is_empty());
    signed("1.3.0", "release", false);
    assert_eq!(device.poll().updated, ["app none → 1.3.0"]);
    // Who demands signatures is not led back to an older version that was signed too.
    server.withdraw("app", "1.3.0");
    assert_eq!(device.poll(), Default::default());
}
