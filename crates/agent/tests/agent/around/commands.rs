use std::fs;

use serde_json::{Value, json};

use super::{
    device::{Device, content, with},
    server::Server,
};

/// A device that only does what it is commanded, with `app` 1.0.0 installed.
fn ready() -> (Server, Device) {
    let server = Server::start();
    let mut device = Device::new(&server, &["app"]);
    server.push(content("app", "1.0.0"), b"one");
    device.poll();
    device.set("/updates", json!("command"));
    server.push(content("app", "2.0.0"), b"two");
    server.push(content("app", "3.0.0"), b"three");
    server.inner().reports.clear();
    (server, device)
}

fn send(server: &Server, version: &str, change: impl FnOnce(&mut Value)) {
    let mut command = server.command("app", version, "ota_9");
    change(&mut command["data"]);
    server.inner().command = Some(command);
}

fn last_failure(server: &Server) -> (String, String) {
    let report = server.last_progress();
    assert_eq!(report["data"]["state"], "failed", "{report}");
    assert_eq!(report["msgId"], "ota_9");
    let text = |name: &str| report["data"][name].as_str().unwrap().to_owned();
    (text("errorCode"), text("errorMessage"))
}

#[test]
fn only_what_is_commanded_is_done_and_told() {
    let (server, device) = ready();
    assert!(!device.poll().has_changed_something());
    send(&server, "2.0.0", |_| ());
    assert_eq!(device.poll().updated, ["app 1.0.0 → 2.0.0"]);
    let completed = server.last_progress();
    assert_eq!(
        (&completed["msgId"], &completed["data"]["state"]),
        (&json!("ota_9"), &json!("completed"))
    );
    assert_eq!(fs::read(device.local("app")).unwrap(), b"two");
    // The server sends a command until it hears of it: that does no harm.
    assert!(!device.poll().has_changed_something());
    assert_eq!(server.last_progress()["data"]["state"], "completed");
    // Older is newer if it is commanded.
    send(&server, "1.0.0", |_| ());
    assert_eq!(device.poll().updated, ["app 2.0.0 → 1.0.0"]);
}

#[test]
fn what_a_command_says_must_be_so() {
    let (server, device) = ready();
    server.push(content("other", "2.0.0"), b"other");
    let other = server.command("other", "2.0.0", "ota_9")["data"].clone();
    type Change = Box<dyn FnOnce(&mut Value)>;
    let cases: [(&str, Change, &str); 5] = [
        (
            "a firmware",
            Box::new(|data| {
                data.as_object_mut().unwrap().remove("kind");
            }),
            "WRONG_TARGET",
        ),
        (
            "no manifest",
            Box::new(|data| data["manifestUrl"] = Value::Null),
            "WRONG_TARGET",
        ),
        (
            "another package",
            Box::new(move |data| *data = other),
            "WRONG_TARGET",
        ),
        (
            "another file",
            Box::new(|data| data["sha256"] = json!("ab".repeat(32))),
            "DIGEST_MISMATCH",
        ),
        (
            "a version that is gone",
            Box::new(|data| {
                let url = data["manifestUrl"]
                    .as_str()
                    .unwrap()
                    .replace("2.0.0", "2.0.1");
                data["manifestUrl"] = json!(url);
            }),
            "DOWNLOAD_FAILED",
        ),
    ];
    for (what, change, code) in cases {
        server.inner().reports.clear();
        send(&server, "2.0.0", change);
        let summary = device.poll();
        assert_eq!(summary.refused.len(), 1, "{what}: {summary:?}");
        // Told at the next poll at the latest.
        device.poll();
        assert_eq!(last_failure(&server).0, code, "{what}");
        server.inner().command = None;
    }
    assert!(
        server.requests_for("otafiles").len() == 1,
        "only the first version's"
    );
}

#[test]
fn needs_of_a_commanded_version_come_along_or_refuse_it() {
    let (server, device) = ready();
    let local = json!(device.local("db"));
    server.push(with(content("db", "1.5.0"), "local", local), b"db");
    server.push(
        with(content("app", "2.0.0"), "dependencies", json!({"db": "^1"})),
        b"two",
    );
    server.push(
        with(content("app", "3.0.0"), "dependencies", json!({"db": "^2"})),
        b"three",
    );
    send(&server, "3.0.0", |_| ());
    device.poll();
    device.poll();
    let (code, message) = last_failure(&server);
    assert_eq!(code, "DEPENDENCY_UNMET");
    assert_eq!(
        message,
        "app 3.0.0 needs db ^2, newest on branch main is 1.5.0"
    );
    send(&server, "2.0.0", |_| ());
    assert_eq!(
        device.poll().updated,
        ["db none → 1.5.0", "app 1.0.0 → 2.0.0"]
    );
}

#[test]
fn a_command_for_later_waits() {
    let (server, device) = ready();
    send(&server, "2.0.0", |data| {
        data["notBefore"] = json!(4_000_000_000_u64)
    });
    let summary = device.poll();
    assert_eq!(summary.waiting.len(), 1, "{summary:?}");
    assert!(server.progress().is_empty());
    send(&server, "2.0.0", |data| data["notBefore"] = json!(1));
    assert_eq!(device.poll().updated.len(), 1);
}

#[test]
fn what_failed_is_done_again_by_force_alone() {
    let (server, device) = ready();
    let marker = device.path().join("fine");
    let script = format!("test -e {}", marker.display());
    server.push(
        with(content("app", "2.0.0"), "AfterUpdate", json!(script)),
        b"two",
    );
    send(&server, "2.0.0", |_| ());
    assert!(device.poll().failed[0].contains("SCRIPT_FAILED"));
    fs::write(&marker, "").unwrap();
    send(&server, "2.0.0", |_| ());
    assert_eq!(device.poll().refused.len(), 1);
    device.poll();
    let (code, message) = last_failure(&server);
    assert_eq!(code, "SCRIPT_FAILED");
    assert!(message.contains("forceUpgrade"), "{message}");
    send(&server, "2.0.0", |data| data["forceUpgrade"] = json!(true));
    assert_eq!(device.poll().updated, ["app 1.0.0 → 2.0.0"]);
}

fn cancel() -> Value {
    json!({"msgType": "ota_cancel", "msgId": "ota_9", "data": {"msgId": "ota_9"}})
}

#[test]
fn a_cancelled_download_ends() {
    let (server, device) = ready();
    server.push(content("app", "4.0.0"), &vec![1; 2_000_000]);
    send(&server, "4.0.0", |_| ());
    server.inner().command_after = Some((20, cancel()));
    let summary = device.poll();
    assert_eq!(summary.failed, ["app 4.0.0: the server cancelled it"]);
    assert_eq!(last_failure(&server).0, "CANCELLED");
    assert!(
        server.progress().iter().all(|it| it.1 <= 30),
        "{:?}",
        server.progress()
    );
    assert_eq!(device.installed("app").as_deref(), Some("1.0.0"));
    server.inner().command = None;
    assert!(!device.poll().has_changed_something());
}

#[test]
fn a_command_is_gone_on_with_after_a_restart_though_the_server_sends_it_no_more() {
    let (server, device) = ready();
    server.inner().rate = Some(200_000);
    server.push(content("app", "4.0.0"), &vec![1; 1_000_000]);
    send(&server, "4.0.0", |_| ());
    let mut agent = device.agent(&[]).spawn().unwrap();
    server.wait_until("half a download", |it| {
        it.reports
            .iter()
            .any(|it| it["data"]["progress"] == json!(40))
    });
    agent.kill().unwrap();
    agent.wait().unwrap();
    server.inner().command = None;
    server.inner().rate = None;
    assert_eq!(device.poll().updated, ["app 1.0.0 → 4.0.0"]);
    let again = server.requests_for("otafiles").pop().unwrap();
    assert!(again.contains(" from "), "{again}");
    assert_eq!(server.last_progress()["msgId"], "ota_9");
    assert_eq!(server.last_progress()["data"]["state"], "completed");
}
