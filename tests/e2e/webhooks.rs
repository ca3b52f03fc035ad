//! Webhooks to a receiver behind TLS.

use std::fs;

use airlift_testkit::{Process, Scratch, free_port, program};
use serde_json::{Value, json};

use super::{
    production::{Certificate, text, wait_for_port},
    server::{PATIENCE, Server},
};

/// Makes a webhook and says what comes of a ping.
async fn ping(server: &Server, url: &str) -> Value {
    let client = reqwest::Client::new();
    let post = async |path: &str, body: Value| {
        let request = client.post(format!("{}{path}", server.url)).json(&body);
        let answer: Value = request.send().await.unwrap().json().await.unwrap();
        assert_eq!(answer["status"], true, "{answer}");
        answer["data"].clone()
    };
    let new = json!({ "url": url, "kinds": ["firmware"] });
    let webhook = post("/api/ota/webhooks", new).await;
    let id = webhook["webhookId"].as_str().unwrap();
    post(&format!("/api/ota/webhooks/{id}/ping"), json!({})).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_webhook_goes_over_tls_to_a_receiver_whose_certificate_is_trusted_and_to_no_other() {
    let files = Scratch::new("webhooks").unwrap();
    let certificate = Certificate::make(files.path());
    let port = free_port().unwrap();
    let caddyfile = files.path().join("Caddyfile");
    let config = format!(
        "{{\n admin off\n auto_https off\n}}\nhttps://localhost:{port} {{\n tls {} {}\n log\n \
         respond 200\n}}\n",
        text(&certificate.chain),
        text(&certificate.key)
    );
    fs::write(&caddyfile, config).unwrap();
    let args = ["run", "--adapter=caddyfile", "--config", text(&caddyfile)].map(str::to_owned);
    let env = [("HOME", text(files.path()).to_owned())];
    let caddy = program("caddy", "caddy").unwrap();
    let mut receiver = Process::spawn(caddy, &args, &env, "caddy").unwrap();
    wait_for_port(&mut receiver, port);
    let url = format!("https://localhost:{port}/hook");
    let own_broker = [format!("--mqtt-listen=127.0.0.1:{}", free_port().unwrap())];

    let trusts = [("SSL_CERT_FILE", text(&certificate.authority).to_owned())];
    let server = Server::start(&files.path().join("trusts"), &own_broker, &trusts);
    let answer = ping(&server, &url).await;
    assert_eq!(answer["delivered"], true, "{answer}");
    let line = receiver.wait_for_line("handled request", PATIENCE).unwrap();
    assert!(line.contains("X-Airlift-Signature"), "{line}");
    drop(server);

    let server = Server::start(&files.path().join("does not"), &own_broker, &[]);
    let answer = ping(&server, &url).await;
    assert_eq!(answer["delivered"], false, "{answer}");
    let error = answer["error"].as_str().unwrap();
    assert!(error.contains("certificate"), "{error}");
}
