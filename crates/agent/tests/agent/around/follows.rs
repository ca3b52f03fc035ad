use std::fs;

use serde_json::json;

use super::{
    device::{Device, content, tar, text, with},
    server::Server,
};

#[test]
fn a_new_device_gets_the_head_of_its_branch_and_then_what_is_newer() {
    let server = Server::start();
    server.push(content("app", "1.9.0"), &tar(&[("bin/run", b"one")]));
    let device = Device::new(&server, &["app"]);
    let output = device.run(&["--once"]);
    assert!(output.status.success(), "{}", text(&output));
    assert!(
        text(&output).contains("updated: app none → 1.9.0"),
        "{}",
        text(&output)
    );
    assert_eq!(
        fs::read(device.local("app").join("bin/run")).unwrap(),
        b"one"
    );

    let output = device.run(&["--once"]);
    assert!(output.status.success() && text(&output).contains("everything is current"));

    server.push(content("app", "1.10.0"), &tar(&[("bin/run", b"two")]));
    let output = device.run(&["--once"]);
    assert!(
        text(&output).contains("updated: app 1.9.0 → 1.10.0"),
        "{}",
        text(&output)
    );
    assert_eq!(
        fs::read(device.local("app").join("bin/run")).unwrap(),
        b"two"
    );
    assert!(device.names("downloads").is_empty());
}

#[test]
fn the_server_hears_all_of_an_update_and_then_the_new_version() {
    let server = Server::start();
    server.push(content("app", "1.0.0"), &vec![7; 300_000]);
    let device = Device::new(&server, &["app"]);
    device.poll();
    let progress = server.progress();
    let states: Vec<&str> = progress.iter().map(|it| it.0.as_str()).collect();
    assert_eq!(
        progress[progress.len() - 3..].to_vec(),
        [
            ("verifying".to_owned(), 95),
            ("installing".to_owned(), 98),
            ("completed".to_owned(), 100),
        ]
    );
    assert!(
        states.iter().filter(|it| **it == "downloading").count() >= 4,
        "{states:?}"
    );
    assert!(
        progress
            .iter()
            .all(|it| it.0 != "downloading" || (it.1 <= 90 && it.1 % 10 == 0))
    );
    let inner = server.inner();
    assert_eq!(
        inner.tasks,
        [json!({
            "name": "app", "branch": "main", "version": "1.0.0", "fromVersion": "0.0.0",
            "toVersion": "1.0.0",
            "packages": [{"name": "app", "fromVersion": null, "toVersion": "1.0.0"}],
        })]
    );
    assert!(
        inner
            .reports
            .iter()
            .all(|it| it["msgType"] != "ota_progress" || it["msgId"] == "ota_1")
    );
    let (first, last) = (&inner.reports[0], inner.reports.last().unwrap());
    assert_eq!(first["msgType"], "heartbeat");
    assert_eq!(last["msgType"], "heartbeat");
    assert_eq!(last["data"]["firmwareVersion"], "1.0.0");
    assert_eq!(last["data"]["packages"], json!({"app": "1.0.0"}));
    assert_eq!(last["data"]["deviceType"], "linux");
    let completed = &inner.reports[inner.reports.len() - 2];
    assert!(last["timestamp"].as_i64() > completed["timestamp"].as_i64());
}

#[test]
fn three_packages_that_need_each_other_go_together_and_back_together() {
    let server = Server::start();
    let device = Device::new(&server, &["app", "lib"]);
    let needs =
        |content, package: &str, what: &str| with(content, "dependencies", json!({package: what}));
    let db = |version: &str| with(content("db", version), "local", json!(device.local("db")));
    for version in ["1.0.0", "2.0.0"] {
        let what = format!("^{version}");
        let mut app = needs(content("app", version), "lib", &what);
        if version == "2.0.0" {
            app["AfterUpdate"] = json!("cat $OTA_LOCAL/../db/f $OTA_LOCAL/../lib/f; exit 3");
        }
        server.push(app, &tar(&[("f", version.as_bytes())]));
        server.push(
            needs(content("lib", version), "db", &what),
            &tar(&[("f", version.as_bytes())]),
        );
        server.push(db(version), &tar(&[("f", version.as_bytes())]));
        let summary = device.poll();
        match version {
            "1.0.0" => assert_eq!(
                summary.updated,
                ["db none → 1.0.0", "lib none → 1.0.0", "app none → 1.0.0"]
            ),
            _ => assert!(summary.failed[0].contains("SCRIPT_FAILED"), "{summary:?}"),
        }
    }
    for package in ["app", "lib", "db"] {
        assert_eq!(fs::read(device.local(package).join("f")).unwrap(), b"1.0.0");
        assert_eq!(device.installed(package).as_deref(), Some("1.0.0"));
    }
    let failed = server.last_progress();
    assert_eq!(failed["data"]["state"], "failed");
    assert_eq!(failed["data"]["errorCode"], "SCRIPT_FAILED");
    let message = failed["data"]["errorMessage"].as_str().unwrap();
    assert!(message.contains("2.0.02.0.0"), "{message}");
    let heartbeat = server.inner().reports.last().unwrap().clone();
    assert_eq!(heartbeat["data"]["rollback"], true);

    // It is not tried again until it changes, and the others wait for it.
    let again = device.poll();
    assert!(!again.has_changed_something(), "{again:?}");
}

#[test]
fn a_version_that_is_taken_back_is_left_for_the_one_before() {
    let server = Server::start();
    let device = Device::new(&server, &["app"]);
    for version in ["1.0.0", "2.0.0"] {
        server.push(content("app", version), version.as_bytes());
        device.poll();
    }
    assert_eq!(fs::read(device.local("app")).unwrap(), b"2.0.0");
    server.withdraw("app", "2.0.0");
    assert_eq!(device.poll().updated, ["app 2.0.0 → 1.0.0"]);
    assert_eq!(fs::read(device.local("app")).unwrap(), b"1.0.0");
}

#[test]
fn a_needs_that_nobody_meets_is_refused_before_any_download() {
    let server = Server::start();
    let device = Device::new(&server, &["app"]);
    server.push(
        with(
            content("app", "2.0.0"),
            "dependencies",
            json!({"db": ">=3"}),
        ),
        b"app",
    );
    server.push(
        with(content("db", "2.4.0"), "local", json!("/nowhere/db")),
        b"db",
    );
    let output = device.run(&["--once"]);
    assert_eq!(output.status.code(), Some(1));
    let why = "app 2.0.0 needs db >=3, newest on branch main is 2.4.0";
    assert!(
        text(&output).contains(&format!("refused: {why}")),
        "{}",
        text(&output)
    );
    assert!(server.requests_for("otafiles").is_empty());
    assert!(text(&device.run(&["status"])).contains(why));
}

#[test]
fn an_old_package_server_is_enough() {
    let server = Server::start();
    server.inner().is_old = true;
    server.push(content("app", "1.0.0"), b"app");
    let device = Device::new(&server, &["app"]);
    let output = device.run(&["--once"]);
    assert!(device.local("app").exists(), "{}", text(&output));
    assert!(output.status.success(), "{}", text(&output));
    assert!(device.names("outbox").is_empty());
}

#[test]
fn a_file_that_is_pushed_again_under_its_version_is_taken() {
    let server = Server::start();
    let device = Device::new(&server, &["app"]);
    server.push(content("app", "1.0.0"), b"one");
    device.poll();
    server.push(content("app", "1.0.0"), b"two");
    assert_eq!(device.poll().updated, ["app 1.0.0 → 1.0.0"]);
    assert_eq!(fs::read(device.local("app")).unwrap(), b"two");
}

#[test]
fn two_packages_in_one_place_are_refused() {
    let server = Server::start();
    let mut device = Device::new(&server, &["app", "lib"]);
    let inside = device.local("app").join("lib");
    device.set("/package/1/local", json!(inside));
    server.push(content("lib", "1.0.0"), b"lib");
    let summary = device.poll();
    assert!(
        summary.failed[0].contains("not apart from that of app"),
        "{summary:?}"
    );
    assert!(server.requests_for("otafiles").is_empty());
}
