use std::{fs, time::Duration};

use airlift_agent::disk::Disk;
use serde_json::json;

use super::{
    device::{Device, content, text},
    server::{Fault, Server},
};

/// Bytes that differ everywhere.
fn noise(length: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[3]
    };
    std::iter::repeat_with(next).take(length).collect()
}

fn ready(file: &[u8]) -> (Server, Device) {
    let server = Server::start();
    server.push(content("app", "1.0.0"), file);
    let device = Device::new(&server, &["app"]);
    (server, device)
}

/// Where each request for a file began.
fn offsets(server: &Server) -> Vec<u64> {
    let requests = server.requests_for("otafiles");
    let offset = |it: &String| {
        it.split(" from ")
            .nth(1)
            .map_or(0, |at| at.parse().unwrap())
    };
    requests.iter().map(offset).collect()
}

#[test]
fn a_download_that_is_cut_goes_on_where_it_was() {
    let file = noise(500_000);
    let (server, device) = ready(&file);
    let faults = [
        Fault::Cut(100_000),
        Fault::Cut(150_000),
        Fault::Status(503),
        Fault::Lie(9),
    ];
    for fault in &faults {
        server.fault(fault.clone());
    }
    let summary = device.poll();
    assert_eq!(summary.updated, ["app none → 1.0.0"], "{summary:?}");
    assert_eq!(server.inner().fired, faults);
    assert_eq!(offsets(&server)[..4], [0, 100_000, 250_000, 250_000]);
    assert_eq!(fs::read(device.local("app")).unwrap(), file);
}

#[test]
fn a_server_without_ranges_is_asked_for_all_of_it_again() {
    let file = noise(200_000);
    let (server, device) = ready(&file);
    server.fault(Fault::Cut(100_000));
    server.fault(Fault::WholeFile);
    assert_eq!(device.poll().updated.len(), 1);
    assert_eq!(server.inner().fired.len(), 2);
    assert_eq!(offsets(&server), [0, 100_000]);
    assert_eq!(fs::read(device.local("app")).unwrap(), file);
}

#[test]
fn a_wrong_byte_is_refused_and_never_tried_again() {
    let (server, device) = ready(&noise(100_000));
    server.fault(Fault::Wrong(70_000));
    let summary = device.poll();
    assert!(
        summary.failed[0].starts_with("DIGEST_MISMATCH: app 1.0.0"),
        "{summary:?}"
    );
    assert_eq!(server.inner().fired, [Fault::Wrong(70_000)]);
    assert_eq!(
        server.last_progress()["data"]["errorCode"],
        "DIGEST_MISMATCH"
    );
    assert!(!device.local("app").exists());
    assert!(device.names("downloads").is_empty() && device.names("releases").is_empty());
    assert!(!device.poll().has_changed_something());
    let output = device.run(&["status"]);
    assert!(text(&output).contains("1.0.0 failed"), "{}", text(&output));
    let output = device.run(&["retry", "app"]);
    assert!(output.status.success(), "{}", text(&output));
    assert_eq!(device.poll().updated, ["app none → 1.0.0"]);
}

#[test]
fn what_a_power_cut_garbled_is_fetched_anew() {
    let file = noise(100_000);
    let (server, device) = ready(&file);
    device.poll_by(Disk::default(), |_| ());
    let digest = device.folders().download(&sha256(&file));
    fs::write(&digest, vec![0; 60_000]).unwrap();
    assert_eq!(device.poll().updated, ["app none → 1.0.0"]);
    assert_eq!(offsets(&server), [60_000, 0]);
    // And what is longer than the file.
    server.push(content("app", "1.1.0"), b"short");
    fs::write(
        device.folders().download(&sha256(b"short")),
        vec![0; 60_000],
    )
    .unwrap();
    assert_eq!(device.poll().updated, ["app 1.0.0 → 1.1.0"]);
}

fn sha256(bytes: &[u8]) -> String {
    use sha2::{Digest, Sha256};
    hex::encode(Sha256::digest(bytes))
}

#[test]
fn a_server_that_fails_on_and_on_is_left_for_later_and_the_version_is_not_to_blame() {
    let (server, device) = ready(&noise(10_000));
    for _ in 0..5 {
        server.fault(Fault::Status(500));
    }
    device.poll_by(Disk::default(), |cycle| {
        let summary = cycle.poll().unwrap();
        assert!(
            summary.failed[0].starts_with("DOWNLOAD_FAILED"),
            "{summary:?}"
        );
        assert_eq!(server.inner().fired.len(), 5);
        let summary = cycle.poll().unwrap();
        assert_eq!(summary.waiting, ["app 1.0.0: is tried again later"]);
    });
    assert!(device.state().failed.is_empty());
    assert_eq!(
        server.last_progress()["data"]["errorCode"],
        "DOWNLOAD_FAILED"
    );
    assert_eq!(device.poll().updated.len(), 1);
}

#[test]
fn a_file_that_is_gone_is_not_asked_for_five_times() {
    let (server, device) = ready(b"app");
    server.fault(Fault::Status(404));
    let summary = device.poll();
    assert!(
        summary.failed[0].contains("push the package again"),
        "{summary:?}"
    );
    assert_eq!(offsets(&server).len(), 1);
}

#[test]
fn silence_is_a_cut_too() {
    let file = noise(1000);
    let (server, device) = ready(&file);
    server.fault(Fault::Hang(Duration::from_millis(200)));
    assert_eq!(device.poll().updated.len(), 1);
    assert_eq!(server.inner().fired.len(), 1);
}

#[test]
fn more_than_fits_is_refused_before_it_is_fetched() {
    let (server, device) = ready(b"app");
    // The length that the server tells is all that is looked at.
    server.fault(Fault::Lie(1 << 60));
    let summary = device.poll();
    assert_eq!(server.inner().fired.len(), 1);
    assert!(
        summary.failed[0].starts_with("DISK_FULL: app 1.0.0: "),
        "{summary:?}"
    );
    assert!(
        summary.failed[0].contains("are free; make room in"),
        "{summary:?}"
    );
    assert!(device.names("downloads").is_empty());
    assert!(device.state().failed.is_empty());
    assert_eq!(server.last_progress()["data"]["errorCode"], "DISK_FULL");
}

#[test]
fn what_is_no_longer_wanted_is_removed() {
    let (server, device) = ready(&noise(50_000));
    device.poll_by(Disk::default(), |_| ());
    let old = device.folders().download(&sha256(b"old"));
    fs::write(&old, b"o").unwrap();
    fs::create_dir(device.folders().release(&sha256(b"x"))).unwrap();
    fs::create_dir(device.folders().releases().join("y.new")).unwrap();
    server.inner().task_status = Some(404);
    device.poll();
    assert!(!old.exists());
    assert_eq!(device.names("releases").len(), 1);
}

#[test]
fn a_token_goes_to_its_server_alone() {
    let (server, mut device) = ready(b"app");
    fs::write(device.path().join("token"), "secret\n").unwrap();
    device.set("/tokenFile", json!("token"));
    assert_eq!(device.poll().updated.len(), 1);
    let inner = server.inner();
    assert!(inner.requests.len() > 3 && inner.authorized == inner.requests.len());
}
