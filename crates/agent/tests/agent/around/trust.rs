use std::{fs, path::Path, process::Command};

use serde_json::json;

use super::{
    device::{Device, content, text},
    server::Server,
};

fn openssl(folder: &Path, arguments: &str) {
    let mut command = Command::new("openssl");
    command.args(arguments.split(' ')).current_dir(folder);
    let output = command.output().expect("openssl, of the package openssl");
    assert!(output.status.success(), "{}", text(&output));
}

/// An authority and a server's certificate by it, for 127.0.0.1.
fn certificates(folder: &Path) {
    let key = "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes";
    openssl(
        folder,
        &format!("req -x509 {key} -keyout ca.key -out ca.pem -subj /CN=ca -days 2"),
    );
    openssl(
        folder,
        &format!("req {key} -keyout key.pem -out request -subj /CN=server"),
    );
    let extensions = "subjectAltName=IP:127.0.0.1\nbasicConstraints=CA:FALSE\n";
    fs::write(folder.join("extensions"), extensions).unwrap();
    let sign = "x509 -req -in request -CA ca.pem -CAkey ca.key -CAcreateserial -days 2";
    openssl(
        folder,
        &format!("{sign} -extfile extensions -out server.pem"),
    );
}

#[test]
fn a_server_is_believed_by_the_authority_that_the_device_names_and_by_no_other() {
    let folder = tempfile::tempdir().unwrap();
    certificates(folder.path());
    let path = |name: &str| folder.path().join(name);
    let server = Server::start_tls(&path("server.pem"), &path("key.pem"));
    server.push(content("app", "1.0.0"), &vec![1; 200_000]);
    let mut device = Device::new(&server, &["app"]);
    let output = device.run(&["--once"]);
    assert!(text(&output).contains("UnknownIssuer"), "{}", text(&output));
    assert!(server.inner().requests.is_empty() && !device.local("app").exists());

    device.set("/caFile", json!(path("key.pem")));
    let output = device.run(&["--once"]);
    assert!(
        text(&output).contains("holds no certificate"),
        "{}",
        text(&output)
    );

    device.set("/caFile", json!(path("ca.pem")));
    let output = device.run(&["--once"]);
    assert!(
        text(&output).contains("updated: app none → 1.0.0"),
        "{}",
        text(&output)
    );
    assert!(output.status.success());

    // The system's certificates: there, the authority may be one of them.
    server.push(content("app", "1.1.0"), b"new");
    device.set("/caFile", json!(null));
    let mut agent = device.agent(&["--once"]);
    let output = agent.env("SSL_CERT_FILE", path("ca.pem")).output().unwrap();
    assert!(
        text(&output).contains("updated: app 1.0.0 → 1.1.0"),
        "{}",
        text(&output)
    );
}
