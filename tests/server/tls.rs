//! TLS of HTTP and the built-in broker, by curl, mosquitto's clients and certificates of openssl.

use std::{
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::Stdio,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use airlift::config::Options;
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    process::Command,
    task::JoinSet,
    time::timeout,
};

use crate::{
    app::{SOON, Setup, TestApp, eventually},
    embedded_broker::access::add_credentials,
    mqtt_client::Hello,
};

/// What a program did: whether it ended well, and all it said.
struct Done {
    is_well: bool,
    output: String,
}

async fn run(program: &str, words: &[&str]) -> Done {
    let child = Command::new(program)
        .args(words)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let ended = timeout(SOON, child.wait_with_output()).await;
    let ended = ended.expect("it ends in time").unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Done {
        is_well: ended.status.success(),
        output: text(&ended.stdout) + &text(&ended.stderr),
    }
}

/// Certificates in a folder of their own.
struct Authority(TempDir);

impl Authority {
    async fn new() -> Authority {
        let authority = Authority(tempfile::tempdir().unwrap());
        let (key, pem) = (authority.path("ca.key"), authority.path("ca.pem"));
        let words = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 30 \
                     -subj /CN=authority -keyout";
        let mut words: Vec<&str> = words.split(' ').filter(|word| !word.is_empty()).collect();
        words.extend([key.as_str(), "-out", &pem]);
        let done = run("openssl", &words).await;
        assert!(done.is_well, "{}", done.output);
        authority
    }

    fn path(&self, name: &str) -> String {
        self.0.path().join(name).display().to_string()
    }

    /// Makes `<file>.pem` and `<file>.key`.
    async fn sign(&self, file: &str, common_name: &str) {
        let path = |ending: &str| self.path(&format!("{file}.{ending}"));
        let (key, csr, pem, ext) = (path("key"), path("csr"), path("pem"), path("ext"));
        fs::write(
            &ext,
            "basicConstraints=CA:FALSE\nsubjectAltName=DNS:localhost,IP:127.0.0.1\n",
        )
        .unwrap();
        let subject = format!("/CN={common_name}");
        let request = [
            "req",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:prime256v1",
            "-nodes",
            "-subj",
            &subject,
            "-keyout",
            &key,
            "-out",
            &csr,
        ];
        let done = run("openssl", &request).await;
        assert!(done.is_well, "{}", done.output);
        let (ca, ca_key) = (self.path("ca.pem"), self.path("ca.key"));
        let sign = [
            "x509",
            "-req",
            "-in",
            &csr,
            "-CA",
            &ca,
            "-CAkey",
            &ca_key,
            "-CAcreateserial",
            "-days",
            "30",
            "-extfile",
            &ext,
            "-out",
            &pem,
        ];
        let done = run("openssl", &sign).await;
        assert!(done.is_well, "{}", done.output);
    }
}

/// A server with the certificate of `folder`, `server.pem` and `server.key`.
async fn serve(folder: &Path, device_ca: Option<PathBuf>) -> TestApp {
    let mut app = Setup {
        options: Options {
            tls_cert: Some(folder.join("server.pem")),
            tls_key: Some(folder.join("server.key")),
            device_ca,
            ..Options::default()
        },
        ..Setup::default()
    }
    .prepare();
    app.run().await;
    app
}

/// What `curl` gets, its status last.
async fn curl(app: &TestApp, authority: &Authority, words: &[&str], path: &str) -> Done {
    let url = format!("https://localhost:{}{path}", app.http_addr.port());
    let ca = authority.path("ca.pem");
    let mut all = vec!["-sS", "-w", "%{http_code}", "--cacert", &ca, &url];
    all.extend(words);
    run("curl", &all).await
}

#[tokio::test(flavor = "multi_thread")]
async fn http_and_mqtt_are_spoken_over_tls_and_not_without() {
    let authority = Authority::new().await;
    authority.sign("server", "server").await;
    let app = serve(authority.0.path(), None).await;
    eventually("readiness", async || {
        let ready = curl(&app, &authority, &[], "/readyz").await;
        ready.output.ends_with("200").then_some(())
    })
    .await;
    let ca = authority.path("ca.pem");
    let port = app.mqtt_port.to_string();
    for version in ["311", "5"] {
        let to = [
            "-h",
            "localhost",
            "-p",
            &port,
            "--cafile",
            &ca,
            "-V",
            version,
            "-q",
            "1",
        ];
        let listen = [
            &to[..],
            &["-t", "hanqi/gateway/G1/note", "-C", "1", "-W", "20"],
        ]
        .concat();
        let listen = listen
            .iter()
            .map(|word| (*word).to_owned())
            .collect::<Vec<_>>();
        let heard = tokio::spawn(async move {
            let words: Vec<&str> = listen.iter().map(String::as_str).collect();
            run("mosquitto_sub", &words).await
        });
        // Retained, so that it is heard whenever the listener comes.
        let say = [
            &to[..],
            &["-t", "hanqi/gateway/G1/note", "-r", "-m", version],
        ]
        .concat();
        let said = run("mosquitto_pub", &say).await;
        assert!(said.is_well, "{}", said.output);
        let heard = heard.await.unwrap();
        assert!(heard.is_well, "{}", heard.output);
    }
    let plain = [
        "-h",
        "localhost",
        "-p",
        &port,
        "-t",
        "hanqi/gateway/G1/note",
        "-m",
        "x",
    ];
    assert!(!run("mosquitto_pub", &plain).await.is_well);
    let url = app.url("/healthz");
    assert!(!run("curl", &["-sS", &url]).await.is_well);
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateways_certificate_is_as_good_as_its_token_and_another_authoritys_is_none() {
    let (authority, devices) = (Authority::new().await, Authority::new().await);
    authority.sign("server", "server").await;
    authority.sign("foreign", "G1").await;
    devices.sign("G1", "G1").await;
    let device_ca = devices.path("ca.pem").into();
    let app = serve(authority.0.path(), Some(device_ca)).await;
    add_credentials(&app).await;
    let (cert, key) = (devices.path("G1.pem"), devices.path("G1.key"));
    let shown = ["--cert", cert.as_str(), "--key", &key];
    let (foreign, foreign_key) = (authority.path("foreign.pem"), authority.path("foreign.key"));
    let foreign = ["--cert", foreign.as_str(), "--key", &foreign_key];

    let body = r#"{"msgType":"heartbeat","uuid":"G1","data":{"firmwareVersion":"1.0.0"}}"#;
    let json = ["-d", body, "-H", "content-type: application/json"];
    let report = |gateway: &str| format!("/api/ota/gateways/{gateway}/report");
    for (certificate, gateway, status) in [
        (&shown[..], "G1", Some("200")),
        (&shown, "G2", Some("403")),
        (&[], "G1", Some("401")),
        (&foreign, "G1", None),
    ] {
        let words = [certificate, &json].concat();
        let done = curl(&app, &authority, &words, &report(gateway)).await;
        match status {
            Some(status) => assert!(done.output.ends_with(status), "{}", done.output),
            None => assert!(!done.is_well, "{}", done.output),
        }
    }

    let ca = authority.path("ca.pem");
    let port = app.mqtt_port.to_string();
    let to = [
        "-h",
        "localhost",
        "-p",
        &port,
        "--cafile",
        &ca,
        "-V",
        "5",
        "-q",
        "1",
    ];
    let publish = async |more: &[&str], topic: &str| {
        let words = [&to[..], more, &["-t", topic, "-r", "-m", "m"]].concat();
        run("mosquitto_pub", &words).await
    };
    let own = publish(&shown, "hanqi/gateway/G1/note").await;
    assert!(own.is_well, "{}", own.output);
    for (more, topic) in [
        (&shown[..], "hanqi/gateway/G2/note"),
        (
            &[&shown[..], &["-u", "G2"]].concat(),
            "hanqi/gateway/G2/note",
        ),
        (&foreign, "hanqi/gateway/G1/other"),
        (&[], "hanqi/gateway/G1/other"),
        (&["-u", "G1"], "hanqi/gateway/G1/other"),
    ] {
        publish(more, topic).await;
    }
    let reader = [
        "-u",
        "ci",
        "-P",
        "alt_of_a_machine",
        "-t",
        "hanqi/#",
        "-v",
        "-W",
        "2",
    ];
    let heard = run("mosquitto_sub", &[&to[..], &reader].concat()).await;
    assert!(
        heard.output.contains("hanqi/gateway/G1/note m"),
        "{}",
        heard.output
    );
    assert!(
        !heard.output.contains("G2") && !heard.output.contains("other"),
        "{}",
        heard.output
    );
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_renewed_certificate_is_taken_while_requests_run_and_a_broken_one_is_not() {
    let authority = Authority::new().await;
    for name in ["first", "second", "third"] {
        authority.sign("server", name).await;
        let folder = authority.0.path().join(name);
        fs::create_dir(&folder).unwrap();
        for file in ["server.pem", "server.key"] {
            fs::copy(authority.path(file), folder.join(file)).unwrap();
        }
    }
    // As certbot and Kubernetes do it: the files are links, and what they lead to is exchanged.
    let live = authority.0.path().join("live");
    symlink("first", &live).unwrap();
    let app = Arc::new(serve(&live, None).await);
    let authority = Arc::new(authority);
    let ended = Arc::new(AtomicBool::new(false));
    let mut load = JoinSet::new();
    for _ in 0..4 {
        let (app, authority, ended) = (app.clone(), authority.clone(), ended.clone());
        load.spawn(async move {
            let mut answered = 0;
            while !ended.load(Ordering::Relaxed) {
                let done = curl(&app, &authority, &[], "/healthz").await;
                assert!(done.output.ends_with("200"), "{}", done.output);
                answered += 1;
            }
            answered
        });
    }
    let shows = async |name: &str| {
        let subject = format!("CN={name}");
        eventually(&subject, async || {
            let said = curl(&app, &authority, &["-v"], "/healthz").await;
            said.output.contains(&subject).then_some(())
        })
        .await;
    };
    let switch = |name: &str| {
        let new = authority.0.path().join("new");
        symlink(name, &new).unwrap();
        fs::rename(&new, &live).unwrap();
    };
    shows("first").await;
    switch("second");
    shows("second").await;
    // In place, and broken at first: the certificate without its key.
    let folder = authority.0.path();
    fs::write(folder.join("second/server.pem"), "no certificate").unwrap();
    tokio::time::sleep(std::time::Duration::from_secs(3)).await;
    shows("second").await;
    fs::copy(
        folder.join("third/server.pem"),
        folder.join("second/server.pem"),
    )
    .unwrap();
    fs::copy(
        folder.join("third/server.key"),
        folder.join("second/server.key"),
    )
    .unwrap();
    shows("third").await;
    ended.store(true, Ordering::Relaxed);
    let mut answered = 0;
    while let Some(one) = load.join_next().await {
        answered += one.expect("every request is answered");
    }
    println!("{answered} requests answered while the certificate changed");
    assert!(answered > 10);
    Arc::into_inner(app).unwrap().stop().await;
}

/// The ports on which this process listens.
fn own_ports() -> Vec<u16> {
    let files = fs::read_dir("/proc/self/fd").unwrap().flatten();
    let links = files.filter_map(|file| fs::read_link(file.path()).ok());
    let sockets: Vec<String> = links.map(|link| link.display().to_string()).collect();
    let table = fs::read_to_string("/proc/self/net/tcp").unwrap();
    let listening = table.lines().filter_map(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let is_own = sockets.contains(&format!("socket:[{}]", fields.get(9)?));
        let port = fields[1].split(':').nth(1)?;
        let is_listening = is_own && fields[3] == "0A";
        is_listening.then(|| u16::from_str_radix(port, 16).unwrap())
    });
    listening.collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_comes_in_behind_the_tls_front() {
    let authority = Authority::new().await;
    authority.sign("server", "server").await;
    let app = serve(authority.0.path(), None).await;
    let outer = [app.http_addr.port(), app.mqtt_port];
    let hello = Hello {
        id: "thief",
        ..Hello::default()
    };
    let mut inner = 0;
    for port in own_ports().into_iter().filter(|port| !outer.contains(port)) {
        inner += 1;
        for header in [
            "",
            "PROXY TCP4 127.0.0.1 127.0.0.1 1024 1883\r\n",
            "PROXY TCP6 ::1 ::1 1024 1883\r\n",
            "PROXY UNKNOWN\r\n",
        ] {
            let mut stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
            let bytes = [header.as_bytes(), &hello.packet()].concat();
            stream.write_all(&bytes).await.unwrap();
            let mut answer = Vec::new();
            let ended = timeout(SOON, stream.read_to_end(&mut answer)).await;
            ended.expect("a close").ok();
            assert!(answer.get(3) != Some(&0), "{port} {header:?}: {answer:?}");
        }
    }
    // One for what comes through the front, one for the server's own session.
    assert_eq!(inner, 2);
    app.stop().await;
}

#[tokio::test]
async fn tls_files_that_cannot_be_used_are_named_at_the_start() {
    let authority = Authority::new().await;
    authority.sign("server", "server").await;
    authority.sign("other", "other").await;
    let broken = authority.path("broken.pem");
    fs::write(&broken, "no certificate").unwrap();
    let missing = authority.path("missing.pem");
    let (pem, key) = (authority.path("server.pem"), authority.path("server.key"));
    let other = authority.path("other.key");
    for (cert, key, device_ca, named) in [
        (&missing, &key, None, &missing),
        (&pem, &missing, None, &missing),
        (&broken, &key, None, &broken),
        (&pem, &broken, None, &broken),
        (&pem, &other, None, &other),
        (&pem, &key, Some(&missing), &missing),
        (&pem, &key, Some(&broken), &broken),
    ] {
        let options = Options {
            tls_cert: Some(cert.into()),
            tls_key: Some(key.into()),
            device_ca: device_ca.map(PathBuf::from),
            ..Options::default()
        };
        let app = Setup {
            options,
            ..Setup::default()
        };
        let error = app.prepare().refuses_to_start().await;
        assert!(error.contains(named.as_str()), "{error}");
    }
}
