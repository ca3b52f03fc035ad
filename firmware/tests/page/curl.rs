//! The real `curl` against the page behind a real TCP listener.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use airlift_firmware::page::{Connection, LINGER_MS, Page, Progress};

use crate::support::{PASSWORD, Session, at, settings};

/// Serves one connection as a shell does; gives the session and all that was received.
fn serve_one(password: Option<&str>) -> (String, JoinHandle<(Session, Vec<u8>, Progress)>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let mut page = Page::new(settings(password));
    let server = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        stream
            .set_read_timeout(Some(Duration::from_secs(20)))
            .unwrap();
        let (mut session, mut connection, mut received) =
            (Session::default(), Connection::new(), Vec::new());
        let mut buffer = [0; 1460];
        let progress = loop {
            let mut answer = Vec::new();
            let length = stream.read(&mut buffer).unwrap();
            received.extend_from_slice(&buffer[..length]);
            let mut out = |bytes: &[u8]| answer.extend_from_slice(bytes);
            let progress = match &buffer[..length] {
                [] => connection.ended(&mut session, &mut out),
                bytes => connection.receive(bytes, at(0), &mut page, &mut session, &mut out),
            };
            stream.write_all(&answer).unwrap();
            if progress != Progress::NeedMore {
                break progress;
            }
        };
        linger(&mut stream);
        (session, received, progress)
    });
    (address, server)
}

fn linger(stream: &mut TcpStream) {
    let _ = stream.shutdown(std::net::Shutdown::Write);
    stream
        .set_read_timeout(Some(Duration::from_millis(LINGER_MS)))
        .unwrap();
    while stream.read(&mut [0; 4096]).is_ok_and(|length| length > 0) {}
}

/// 300 KB that begin like an image and hold every byte value.
fn image() -> Vec<u8> {
    (0..300_000u32)
        .map(|index| {
            if index == 0 {
                0xE9
            } else {
                (index.wrapping_mul(2_654_435_761) >> 13) as u8
            }
        })
        .collect()
}

fn file(name: &str) -> PathBuf {
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
    std::fs::write(&path, image()).unwrap();
    path
}

/// Runs `curl` for an upload to `address`: (exit is fine, what it printed).
fn curl(address: &str, arguments: &[&str], input: &[u8]) -> (bool, String) {
    let mut child = Command::new("curl")
        .args([
            "--silent",
            "--show-error",
            "--max-time",
            "30",
            "--write-out",
            "%{http_code}",
            "-X",
            "POST",
        ])
        .args(arguments)
        .arg(format!("http://{address}/api/ota/upload"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("this test needs the program curl");
    child.stdin.take().unwrap().write_all(input).unwrap();
    let output = child.wait_with_output().unwrap();
    (
        output.status.success(),
        String::from_utf8(output.stdout).unwrap(),
    )
}

const INSTALLED: &str = "{\"status\":\"ok\",\"message\":\"Update installed; rebooting\"}\n200";

#[test]
fn curl_uploads_with_the_password_and_waits_for_100_continue() {
    let form = format!("firmware=@{}", file("expect.bin").display());
    let user = format!(":{PASSWORD}");
    let (address, server) = serve_one(Some(PASSWORD));
    let curled = curl(
        &address,
        &["-u", &user, "-H", "Expect: 100-continue", "-F", &form],
        b"",
    );
    assert_eq!(curled, (true, INSTALLED.to_owned()));
    let (session, received, progress) = server.join().unwrap();
    assert_eq!(progress, Progress::Installed);
    assert!(session.written == image());
    assert!(
        received
            .windows(20)
            .any(|bytes| bytes.eq_ignore_ascii_case(b"expect: 100-continue"))
    );
}

#[test]
fn curl_uploads_without_expecting_and_in_chunks() {
    let form = format!("firmware=@{}", file("plain.bin").display());
    let user = format!("admin:{PASSWORD}");
    for arguments in [
        &["-u", &user, "-H", "Expect:", "-F", &form][..],
        &["-u", &user, "-H", "Transfer-Encoding: chunked", "-F", &form],
    ] {
        let (address, server) = serve_one(Some(PASSWORD));
        assert_eq!(curl(&address, arguments, b""), (true, INSTALLED.to_owned()));
        let (session, received, _) = server.join().unwrap();
        assert!(session.written == image());
        let head = String::from_utf8_lossy(&received[..600]).to_ascii_lowercase();
        assert_eq!(
            head.contains("transfer-encoding: chunked"),
            arguments[3].contains("chunked"),
            "{head}"
        );
    }
}

#[test]
fn curl_from_a_pipe_uploads_the_same() {
    let user = format!(":{PASSWORD}");
    let (address, server) = serve_one(Some(PASSWORD));
    let curled = curl(
        &address,
        &["-u", &user, "-F", "firmware=@-;filename=firmware.bin"],
        &image(),
    );
    assert_eq!(curled, (true, INSTALLED.to_owned()));
    assert!(server.join().unwrap().0.written == image());
}

#[test]
fn curl_shows_why_it_is_refused() {
    let form = format!("firmware=@{}", file("refused.bin").display());
    let wrong = ["-u", ":wrong", "-F", &form];
    let none = ["-F", &form];
    let not_expecting = ["-H", "Expect:", "-F", &form];
    let expecting = ["-H", "Expect: 100-continue", "-F", &form];
    for (password, arguments, status, error) in [
        (Some(PASSWORD), &wrong[..], "401", "Login required"),
        (Some(PASSWORD), &none, "401", "Login required"),
        (Some(PASSWORD), &not_expecting, "401", "Login required"),
        (Some(PASSWORD), &expecting, "401", "Login required"),
        (None, &none, "403", "No password set"),
    ] {
        let (address, server) = serve_one(password);
        let (_, printed) = curl(&address, arguments, b"");
        assert!(
            printed.contains(error) && printed.ends_with(status),
            "{arguments:?}: {printed}"
        );
        let (session, received, progress) = server.join().unwrap();
        assert_eq!((session.admitted, progress), (0, Progress::Close));
        if arguments == expecting {
            assert!(
                received.len() < 1000,
                "the body was never sent: {}",
                received.len()
            );
        }
    }
}
