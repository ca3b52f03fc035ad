//! The production set of `docker-compose.yml`, run natively: two servers on one PostgreSQL and one S3
//! bucket, Mosquitto as `deploy/mosquitto.conf` sets it up, Caddy with `deploy/Caddyfile` in front, and
//! a real gateway that comes in through TLS on both sides.

use std::{
    fs,
    net::{Ipv4Addr, SocketAddr, TcpStream},
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    sync::Arc,
};

use airlift_testkit::{Process, S3Server, Scratch, TestDatabase, binary, free_port, program};
use serde_json::{Value, json};

use super::server::{PATIENCE, Server, eventually};

const MQTT_PASSWORD: &str = "server-password";
const GATEWAY: &str = "HQ2026TEST001";
const STRANGER: &str = "HQ2026TEST002";
const AVAILABLE: &str = "/jxct/ota/available";
const ALERTS: &str = "hanqi/alerts";
/// A request through the proxy, the proxy's own attempts at a dead server among them; seconds.
const REQUEST_SECONDS_MAX: &str = "20";
/// Caddy up to 2.11.1 fails a request with a body whose first server is dead: ask again, as an operator
/// would, until the proxy has noticed.
const ASK_AGAIN: &str = "--retry 5 --retry-delay 1 --retry-all-errors";

/// A file of this repository.
pub fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// Runs a program to its end.
fn run(program: &Path, args: &[&str]) -> Output {
    Command::new(program)
        .args(args)
        .stdin(Stdio::null())
        .output()
        .unwrap_or_else(|error| panic!("running {}: {error}", program.display()))
}

/// The same for one that must succeed; what it printed.
fn run_ok(program: &Path, args: &[&str]) -> String {
    let output = run(program, args);
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program:?} {args:?}: {complaint}");
    String::from_utf8(output.stdout).unwrap()
}

pub fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

pub fn wait_for_port(process: &mut Process, port: u16) {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    process
        .wait_until("accepting connections", PATIENCE, || {
            TcpStream::connect(address).is_ok()
        })
        .unwrap();
}

/// A certificate for `localhost`, and who signed it.
pub struct Certificate {
    pub authority: PathBuf,
    pub chain: PathBuf,
    pub key: PathBuf,
}

impl Certificate {
    pub fn make(folder: &Path) -> Certificate {
        let openssl = program("openssl", "openssl").unwrap();
        let [authority, authority_key, chain, key] =
            ["ca.pem", "ca.key", "fullchain.pem", "privkey.pem"].map(|name| folder.join(name));
        let common =
            "req -x509 -batch -nodes -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -days 2";
        let new = |key: &Path, certificate: &Path, more: &[&str]| {
            let mut args: Vec<&str> = common.split(' ').collect();
            args.extend(["-keyout", text(key), "-out", text(certificate)]);
            args.extend(more);
            run_ok(&openssl, &args);
        };
        new(
            &authority_key,
            &authority,
            &["-subj", "/CN=airlift test authority"],
        );
        let signed = [
            "-CA",
            text(&authority),
            "-CAkey",
            text(&authority_key),
            "-subj",
            "/CN=localhost",
            "-addext",
            "subjectAltName=DNS:localhost",
            "-addext",
            "basicConstraints=critical,CA:FALSE",
        ];
        new(&key, &chain, &signed);
        Certificate {
            authority,
            chain,
            key,
        }
    }
}

/// Mosquitto as `deploy/` has it, but for paths, ports and the user.
struct Broker {
    process: Process,
    /// Where its password file is.
    auth: PathBuf,
    plain_port: u16,
    tls_port: u16,
}

impl Broker {
    fn start(certificate: &Certificate) -> Broker {
        let scratch = Arc::new(Scratch::new("mosquitto").unwrap());
        let folder = scratch.path().to_owned();
        for name in ["config", "auth", "data"] {
            fs::create_dir(folder.join(name)).unwrap();
        }
        let acl = folder.join("config/mosquitto.acl");
        fs::copy(repository("deploy/mosquitto.acl"), acl).unwrap();
        fs::copy(&certificate.chain, folder.join("auth/fullchain.pem")).unwrap();
        fs::copy(&certificate.key, folder.join("auth/privkey.pem")).unwrap();
        let passwords = folder.join("auth/passwords");
        fs::write(&passwords, "").unwrap();
        let mosquitto_passwd = program("mosquitto_passwd", "mosquitto").unwrap();
        let server = ["-b", text(&passwords), "airlift", MQTT_PASSWORD];
        run_ok(&mosquitto_passwd, &server);

        let (plain_port, tls_port) = (free_port().unwrap(), free_port().unwrap());
        let production = fs::read_to_string(repository("deploy/mosquitto.conf")).unwrap();
        let mut config: String = production
            .lines()
            .map(|line| match line {
                "listener 1883" => format!("listener {plain_port} 127.0.0.1\n"),
                "listener 8883" => format!("listener {tls_port} 127.0.0.1\n"),
                line => format!(
                    "{}\n",
                    line.replace("/mosquitto/", &format!("{}/", text(&folder)))
                ),
            })
            .collect();
        // Started as root it would else become a user who may not read our folder.
        config.push_str("user root\n");
        let config_path = folder.join("config/mosquitto.conf");
        fs::write(&config_path, config).unwrap();

        let program = program("mosquitto", "mosquitto").unwrap();
        let args = ["-c", text(&config_path)];
        let mut process = Process::spawn_in(scratch, program, &args, &[], "mosquitto").unwrap();
        wait_for_port(&mut process, plain_port);
        wait_for_port(&mut process, tls_port);
        Broker {
            process,
            auth: folder.join("auth"),
            plain_port,
            tls_port,
        }
    }

    /// Lets in the gateways that have a token, as docs/access.md says.
    fn take_gateways(&self, proxy: &Proxy) {
        let output = Command::new(binary("airlift").unwrap())
            .args(["broker", "mosquitto", "--out", text(&self.auth)])
            .args(["--server", &proxy.url])
            .env("AIRLIFT_TOKEN", &proxy.token)
            .env("SSL_CERT_FILE", &proxy.authority)
            .env("NO_PROXY", "*")
            .output()
            .unwrap();
        let complaint = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{complaint}");
        let pid = self.process.pid().to_string();
        run_ok(Path::new("kill"), &["-HUP", &pid]);
    }
}

/// Caddy with the configuration of `deploy/`, asked by `curl` as an operator would.
struct Proxy {
    _process: Process,
    url: String,
    /// An administrator's.
    token: String,
    authority: PathBuf,
    curl: PathBuf,
}

impl Proxy {
    fn start(port: u16, servers: [&Server; 2], certificate: &Certificate, token: String) -> Proxy {
        let caddy = program("caddy", "caddy").unwrap();
        let scratch = Arc::new(Scratch::new("caddy").unwrap());
        let home = text(scratch.path()).to_owned();
        let addresses = servers.map(|server| server.url.replace("http://", ""));
        let url = format!("https://localhost:{port}");
        let env = [
            ("AIRLIFT_SITE", url.clone()),
            ("AIRLIFT_BIND", "127.0.0.1".to_owned()),
            ("AIRLIFT_UPSTREAM", format!("to {}", addresses.join(" "))),
            (
                "AIRLIFT_TLS",
                format!("{} {}", text(&certificate.chain), text(&certificate.key)),
            ),
            ("HOME", home.clone()),
            ("XDG_DATA_HOME", home.clone()),
            ("XDG_CONFIG_HOME", home),
        ];
        let caddyfile = repository("deploy/Caddyfile");
        let args = [
            "run",
            "--config",
            text(&caddyfile),
            "--adapter",
            "caddyfile",
        ];
        let mut process = Process::spawn_in(scratch, caddy, &args, &env, "caddy").unwrap();
        wait_for_port(&mut process, port);
        Proxy {
            _process: process,
            url,
            token,
            authority: certificate.authority.clone(),
            curl: program("curl", "curl").unwrap(),
        }
    }

    /// Status and body.
    fn ask(&self, path: &str, args: &[&str]) -> (u16, String) {
        let url = format!("{}{path}", self.url);
        let mut all = vec!["--silent", "--show-error", "--noproxy", "*"];
        all.extend(["--max-time", REQUEST_SECONDS_MAX]);
        all.extend(ASK_AGAIN.split(' '));
        all.extend([
            "--cacert",
            text(&self.authority),
            "--write-out",
            "\n%{http_code}",
        ]);
        all.extend(args);
        all.push(&url);
        let answer = run_ok(&self.curl, &all);
        let (body, status) = answer.rsplit_once('\n').unwrap();
        (status.parse().unwrap(), body.to_owned())
    }

    /// The same with a token, for what must succeed: the answer's `data`.
    fn operate(&self, path: &str, args: &[&str]) -> Value {
        let bearer = format!("Authorization: Bearer {}", self.token);
        let (status, body) = self.ask(path, &[&["--header", &bearer], args].concat());
        assert_eq!(status, 200, "{path}: {body}");
        serde_json::from_str::<Value>(&body).unwrap()["data"].take()
    }

    fn upload_and_release(&self, version: &str, image: &Path) {
        let version_part = format!("version={version}");
        let file_part = format!("file=@{}", image.display());
        self.operate(
            "/api/ota/firmware/upload",
            &["--form", &version_part, "--form", &file_part],
        );
        let release = format!("/api/ota/firmware/{version}/release");
        self.operate(&release, &["--request", "POST"]);
    }

    fn trigger(&self, gateway_id: &str, version: &str) -> Value {
        let body = json!({ "version": version }).to_string();
        let path = format!("/api/ota/upgrade/{gateway_id}");
        let json = "Content-Type: application/json";
        self.operate(&path, &["--header", json, "--data", &body])
    }

    /// Waits until the upgrade to `version` is proven by a heartbeat.
    async fn confirmed(&self, version: &str) {
        eventually(
            &format!("the upgrade to {version} is proven"),
            PATIENCE,
            async || {
                let task = self.operate(&format!("/api/ota/task/{GATEWAY}"), &[]);
                assert_eq!(task["toVersion"], version);
                assert_eq!(task["errorCode"], Value::Null, "{task}");
                task["status"] == "completed" && !task["confirmedAt"].is_null()
            },
        )
        .await;
    }
}

/// A token as `airlift token create` prints it.
fn administrator(database_url: &str) -> String {
    let args = ["token", "create", "--role", "admin", "--name", "me"];
    let output = Command::new(binary("airlift").unwrap())
        .args(args)
        .env("AIRLIFT_DATABASE_URL", database_url)
        .output()
        .unwrap();
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{complaint}");
    let printed = String::from_utf8(output.stdout).unwrap();
    printed.lines().last().unwrap().to_owned()
}

fn command_topic(gateway_id: &str) -> String {
    format!("hanqi/gateway/{gateway_id}/command")
}

/// Another gateway's credentials, used to look at and to speak for ours.
struct Stranger {
    listener: Process,
    login: Vec<String>,
}

impl Stranger {
    /// Listens to the commands of both gateways and to what goes to everyone and to operators;
    /// subscribed when this returns.
    fn listen(broker: &Broker, certificate: &Certificate, token: &str) -> Stranger {
        let port = broker.tls_port.to_string();
        let login = |more: &[&str]| -> Vec<String> {
            let user = ["-u", STRANGER, "-P", token, "-q", "1"];
            [more, &user]
                .concat()
                .into_iter()
                .map(str::to_owned)
                .collect()
        };
        let authority = text(&certificate.authority);
        let listens = login(&["-h", "localhost", "-p", &port, "--cafile", authority]);
        // Where gateways connect, a second session of the same user would end the first.
        let plain_port = broker.plain_port.to_string();
        let login = login(&["-h", "127.0.0.1", "-p", &plain_port]);
        let program = program("mosquitto_sub", "mosquitto-clients").unwrap();
        // `stdbuf`: else it writes when its buffer is full.
        let mut args = vec!["-oL".to_owned(), text(&program).to_owned(), "-d".to_owned()];
        args.extend(listens);
        for id in [GATEWAY, STRANGER] {
            args.extend(["-t".to_owned(), command_topic(id)]);
        }
        for topic in [AVAILABLE, ALERTS] {
            args.extend(["-t".to_owned(), topic.to_owned()]);
        }
        let mut listener = Process::spawn("stdbuf", &args, &[], "stranger").unwrap();
        listener.wait_for_line("Subscribed", PATIENCE).unwrap();
        Stranger { listener, login }
    }

    /// What the broker says to a report in the name of the other gateway.
    fn report_as(&self, gateway_id: &str, report: &Value) -> String {
        let program = program("mosquitto_pub", "mosquitto-clients").unwrap();
        let (topic, report) = (
            format!("hanqi/gateway/{gateway_id}/report"),
            report.to_string(),
        );
        let mut args: Vec<&str> = self.login.iter().map(String::as_str).collect();
        args.extend(["-V", "5", "-t", &topic, "-m", &report]);
        String::from_utf8_lossy(&run(&program, &args).stderr).into_owned()
    }

    fn has_received(&self, topic: &str) -> bool {
        let log = self.listener.log();
        log.lines()
            .any(|line| line.contains("received PUBLISH") && line.contains(topic))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_production_set_upgrades_a_gateway_over_tls_and_survives_the_loss_of_a_server() {
    let files = Scratch::new("production").unwrap();
    let certificate = Certificate::make(files.path());
    let database = TestDatabase::create().unwrap();
    let s3 = S3Server::start().unwrap();
    let broker = Broker::start(&certificate);
    let proxy_port = free_port().unwrap();
    let args = [
        format!("--public-url=https://localhost:{proxy_port}"),
        format!("--database-url={}", database.url()),
        format!("--blob-url=s3://{}", s3.bucket),
    ];
    let mut env = s3.env();
    env.push((
        "AIRLIFT_MQTT_URL",
        format!(
            "mqtt://airlift:{MQTT_PASSWORD}@127.0.0.1:{}",
            broker.plain_port
        ),
    ));
    let mut first = Server::start(&files.path().join("first"), &args, &env);
    let second = Server::start(&files.path().join("second"), &args, &env);
    let token = administrator(database.url());
    let proxy = Proxy::start(proxy_port, [&first, &second], &certificate, token);

    let image = files.path().join("gateway.bin");
    fs::write(&image, vec![7; 300_000]).unwrap();
    for path in ["/api/ota/firmware", "/metrics", "/docs/"] {
        assert_eq!(proxy.ask(path, &[]).0, 401, "{path} without a token");
    }
    let wrong = ["--header", "Authorization: Bearer wrong"];
    assert_eq!(proxy.ask("/api/ota/firmware", &wrong).0, 401);
    assert_eq!(proxy.ask("/healthz", &[]).0, 200);
    proxy.upload_and_release("1.0.2", &image);
    let file = "/firmware/gateway_v1.0.2.bin";
    assert_eq!(proxy.ask(file, &["--output", "/dev/null"]).0, 401);
    let [gateway_token, stranger_token] = [GATEWAY, STRANGER].map(|id| {
        let path = format!("/api/ota/gateways/{id}/token");
        let issued = proxy.operate(&path, &["--request", "POST"]);
        issued["token"].as_str().unwrap().to_owned()
    });
    broker.take_gateways(&proxy);

    // The upgrade waits for its gateway. Another one can neither hear of it nor end it.
    let stranger = Stranger::listen(&broker, &certificate, &stranger_token);
    let task = proxy.trigger(GATEWAY, "1.0.2");
    let report = json!({ "msgType": "ota_progress", "msgId": task["msgId"],
        "data": { "state": "failed", "progress": 0, "errorCode": "FORGED" } });
    let answer = stranger.report_as(GATEWAY, &report);
    assert!(answer.contains("Not authorized"), "{answer}");

    let gateway_args = [
        format!("--id={GATEWAY}"),
        format!("--mqtt=mqtts://localhost:{}", broker.tls_port),
    ];
    let gateway_env = [
        ("AIRLIFT_GATEWAY_TOKEN", gateway_token),
        ("SSL_CERT_FILE", text(&certificate.authority).to_owned()),
    ];
    let gateway = binary("airlift-gateway").unwrap();
    let _gateway = Process::spawn(gateway, &gateway_args, &gateway_env, "gateway").unwrap();
    proxy.confirmed("1.0.2").await;

    first.process.kill9().unwrap();
    proxy.upload_and_release("1.0.3", &image);
    proxy.trigger(GATEWAY, "1.0.3");
    proxy.confirmed("1.0.3").await;

    // Its own command reaches the stranger: that it heard no other is not for want of a connection.
    proxy.trigger(STRANGER, "1.0.3");
    eventually("the stranger's own command", PATIENCE, async || {
        stranger.has_received(&command_topic(STRANGER))
    })
    .await;

    // Its refusal raises an alert, which is for operators.
    let refusal = json!({ "msgType": "ota_progress",
        "data": { "state": "failed", "progress": 0, "errorCode": "UNSIGNED" } });
    stranger.report_as(STRANGER, &refusal);
    eventually("the alert has left", PATIENCE, async || {
        let sent = "airlift_announcements_sent_total";
        second.metric_as(&proxy.token, sent, "kind=\"alert\"").await == 1
    })
    .await;
    proxy.upload_and_release("1.0.4", &image);
    eventually("everyone hears of the release", PATIENCE, async || {
        stranger.has_received(AVAILABLE)
    })
    .await;
    for topic in [&command_topic(GATEWAY), ALERTS] {
        let log = stranger.listener.log();
        assert!(!stranger.has_received(topic), "{topic}: {log}");
    }
}
