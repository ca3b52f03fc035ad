//! What a server does with a machine that is not as it should be.

use airlift_testkit::{Process, binary, free_port};

use super::server::{PATIENCE, Server};

#[test]
fn a_second_server_on_the_same_folder_is_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let mqtt = |port| vec![format!("--mqtt-listen=127.0.0.1:{port}")];
    let _first = Server::start(folder.path(), &mqtt(free_port().unwrap()), &[]);
    let args = [
        "serve".to_owned(),
        format!("--listen=127.0.0.1:{}", free_port().unwrap()),
        format!("--mqtt-listen=127.0.0.1:{}", free_port().unwrap()),
        format!("--data-dir={}", folder.path().display()),
    ];
    let mut second = Process::spawn(binary("airlift").unwrap(), &args, &[], "second").unwrap();
    assert!(!second.wait(PATIENCE).unwrap().success());
    assert!(
        second.log().contains("another airlift serves"),
        "{}",
        second.log()
    );
}

#[test]
fn an_address_in_use_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    for flag in ["--listen", "--mqtt-listen"] {
        let other = match flag {
            "--listen" => "--mqtt-listen",
            _ => "--listen",
        };
        let args = [
            "serve".to_owned(),
            format!("{flag}={address}"),
            format!("{other}=127.0.0.1:{}", free_port().unwrap()),
            format!("--data-dir={}", folder.path().display()),
        ];
        let mut server = Process::spawn(binary("airlift").unwrap(), &args, &[], "server").unwrap();
        assert!(!server.wait(PATIENCE).unwrap().success());
        let log = server.log();
        assert!(log.contains(&address) && log.contains(flag), "{log}");
    }
}
