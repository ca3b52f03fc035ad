use std::{
    fs,
    os::unix::{fs::PermissionsExt, net::UnixDatagram},
    process::{Child, Command, Stdio},
    thread,
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use super::{
    device::{Device, content, text, with},
    server::Server,
};

fn signal(child: &Child, signal: Signal) {
    kill_process(Pid::from_child(child), signal).unwrap();
}

/// What systemd would hear until `what` comes, all of it.
fn hear(socket: &UnixDatagram, what: &str) -> Vec<String> {
    let mut heard = Vec::new();
    let mut bytes = [0; 4096];
    socket
        .set_read_timeout(Some(Duration::from_secs(20)))
        .unwrap();
    loop {
        let length = socket
            .recv(&mut bytes)
            .unwrap_or_else(|_| panic!("no {what}: {heard:?}"));
        let text = String::from_utf8_lossy(&bytes[..length]).trim().to_owned();
        heard.push(text.clone());
        if text.contains(what) {
            return heard;
        }
    }
}

fn is_silent(socket: &UnixDatagram, time: Duration) -> bool {
    let mut bytes = [0; 4096];
    socket.set_nonblocking(true).unwrap();
    // What was sent before.
    while socket.recv(&mut bytes).is_ok() {}
    socket.set_nonblocking(false).unwrap();
    socket.set_read_timeout(Some(time)).unwrap();
    socket.recv(&mut bytes).is_err()
}

/// Returns when it has come to a stop.
fn stop(child: &Child) {
    signal(child, Signal::STOP);
    let stat = format!("/proc/{}/stat", child.id());
    while !fs::read_to_string(&stat).unwrap().contains(") T ") {
        thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn systemd_hears_that_it_is_ready_lives_and_stops_and_no_pulse_when_it_hangs() {
    let server = Server::start();
    server.push(content("app", "1.0.0"), b"one");
    let device = Device::new(&server, &["app"]);
    let path = device.path().join("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    let mut command = device.agent(&[]);
    command
        .env("NOTIFY_SOCKET", &path)
        .env("WATCHDOG_USEC", "900000");
    let agent = command.stderr(Stdio::null()).spawn().unwrap();
    hear(&socket, "READY=1");
    hear(&socket, "STATUS=updates app 1.0.0");
    for _ in 0..4 {
        hear(&socket, "WATCHDOG=1");
    }
    // Hangs: nobody gives the agent a turn.
    stop(&agent);
    assert!(is_silent(&socket, Duration::from_millis(1200)));
    signal(&agent, Signal::CONT);
    hear(&socket, "WATCHDOG=1");
    signal(&agent, Signal::TERM);
    hear(&socket, "STOPPING=1");
    assert!(agent.wait_with_output().unwrap().status.success());
}

#[test]
fn a_server_that_does_not_answer_is_waited_for_without_a_pulse() {
    // A listener that takes connections and says nothing: the agent is stuck in one request.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let server = Server::start();
    let mut device = Device::new(&server, &["app"]);
    device.set(
        "/server",
        json!(format!("http://{}", listener.local_addr().unwrap())),
    );
    let path = device.path().join("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    let mut command = device.agent(&[]);
    command
        .env("NOTIFY_SOCKET", &path)
        .env("WATCHDOG_USEC", "900000");
    let mut agent = command.stderr(Stdio::null()).spawn().unwrap();
    hear(&socket, "READY=1");
    let (_held, _) = listener.accept().unwrap();
    assert!(is_silent(&socket, Duration::from_millis(1500)));
    agent.kill().unwrap();
    agent.wait().unwrap();
}

#[test]
fn sigterm_ends_a_download_that_the_next_start_goes_on_with() {
    let server = Server::start();
    server.push(content("app", "1.0.0"), &vec![5; 1_000_000]);
    server.inner().rate = Some(200_000);
    let device = Device::new(&server, &["app"]);
    let agent = device.agent(&[]).spawn().unwrap();
    server.wait_until("progress", |it| {
        it.reports
            .iter()
            .any(|it| it["data"]["progress"] == json!(20))
    });
    signal(&agent, Signal::TERM);
    let output = agent.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", text(&output));
    assert_eq!(device.names("downloads").len(), 1);
    assert!(
        server.progress().iter().all(|it| it.0 == "downloading"),
        "no outcome yet"
    );
    server.inner().rate = None;
    assert_eq!(device.poll().updated.len(), 1);
    assert!(
        server
            .requests_for("otafiles")
            .pop()
            .unwrap()
            .contains(" from ")
    );
}

#[test]
fn sigterm_lets_an_update_that_has_begun_end() {
    let server = Server::start();
    let device = Device::new(&server, &["app"]);
    let begun = device.path().join("begun");
    let script = format!("touch {}; sleep 1", begun.display());
    server.push(
        with(content("app", "1.0.0"), "BeforeUpdate", json!(script)),
        b"one",
    );
    let agent = device.agent(&[]).spawn().unwrap();
    while !begun.exists() {
        thread::sleep(Duration::from_millis(10));
    }
    signal(&agent, Signal::TERM);
    let output = agent.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", text(&output));
    assert_eq!(device.installed("app").as_deref(), Some("1.0.0"));
    assert_eq!(server.last_progress()["data"]["state"], "completed");
}

#[test]
fn a_second_agent_is_refused() {
    let server = Server::start();
    let device = Device::new(&server, &["app"]);
    let mut agent = device.agent(&[]).spawn().unwrap();
    server.wait_until("poll", |it| !it.requests.is_empty());
    let output = device.run(&["--once"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        text(&output).contains("another agent works in"),
        "{}",
        text(&output)
    );
    // Looking is allowed.
    assert!(device.run(&["status"]).status.success());
    agent.kill().unwrap();
    agent.wait().unwrap();
    assert!(device.run(&["--once"]).status.success());
}

#[test]
fn an_agent_that_waits_takes_a_retry_at_once() {
    let server = Server::start();
    let mut device = Device::new(&server, &["app"]);
    device.set("/pollSeconds", json!(3600));
    let fine = device.path().join("fine");
    let script = format!("test -e {}", fine.display());
    server.push(
        with(content("app", "1.0.0"), "BeforeUpdate", json!(script)),
        b"one",
    );
    let agent = device.agent(&[]).spawn().unwrap();
    server.wait_until("failure", |it| {
        it.reports
            .iter()
            .any(|it| it["data"]["errorCode"] == json!("SCRIPT_FAILED"))
    });
    while device.state().failed.is_empty() {
        thread::sleep(Duration::from_millis(10));
    }
    let status: Value = serde_json::from_slice(&device.run(&["status", "--json"]).stdout).unwrap();
    assert_eq!(status["packages"][0]["failed"]["code"], "SCRIPT_FAILED");
    assert_eq!(status["packages"][0]["head"], "1.0.0");
    fs::write(&fine, "").unwrap();
    let output = device.run(&["retry"]);
    assert!(text(&output).contains("tried again"), "{}", text(&output));
    server.wait_until("completion", |it| {
        it.reports
            .iter()
            .any(|it| it["data"]["state"] == json!("completed"))
    });
    signal(&agent, Signal::TERM);
    agent.wait_with_output().unwrap();
    assert!(text(&device.run(&["retry"])).contains("nothing failed"));
    let output = device.run(&["retry", "nothing-like-it"]);
    assert!(!output.status.success() && text(&output).contains("has no package"));
}

#[test]
fn a_server_that_is_away_is_an_error_of_one_poll_and_no_end_of_the_agent() {
    let server = Server::start();
    let device = Device::new(&server, &["app"]);
    server.inner().status = Some(502);
    let output = device.run(&["--once"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        text(&output).contains("could not ask: "),
        "{}",
        text(&output)
    );
    let agent = device.agent(&[]).spawn().unwrap();
    server.wait_until("two polls", |it| {
        it.requests
            .iter()
            .filter(|it| it.contains("maxVersion"))
            .count()
            >= 3
    });
    server.inner().status = None;
    server.push(content("app", "1.0.0"), b"one");
    server.wait_until("an update", |it| !it.tasks.is_empty());
    signal(&agent, Signal::TERM);
    agent.wait_with_output().unwrap();
}

#[test]
fn a_state_folder_that_cannot_be_written_says_so() {
    let server = Server::start();
    let mut device = Device::new(&server, &["app"]);
    let file = device.path().join("file");
    fs::write(&file, "").unwrap();
    fs::set_permissions(&file, PermissionsExt::from_mode(0o444)).unwrap();
    device.set("/stateDir", json!(file.join("state")));
    let output = device.run(&["--once"]);
    assert!(
        text(&output).contains("give the agent one it may write to by stateDir"),
        "{}",
        text(&output)
    );
}

#[test]
fn help_teaches() {
    let output = Command::new(env!("CARGO_BIN_EXE_airlift-agent"))
        .arg("--help")
        .output()
        .unwrap();
    for word in [
        "--once",
        "status",
        "retry",
        "\"local\": \"/opt/app\"",
        "STATE_DIRECTORY",
    ] {
        assert!(text(&output).contains(word), "{word}");
    }
}
