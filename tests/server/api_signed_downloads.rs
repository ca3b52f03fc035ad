//! Downloads from a server whose doors are closed: signed addresses, and tokens.

use airlift::config::Options;
use airlift_bundle::Kind;
use airlift_firmware::{LINKS_BYTES_MAX, URL_BYTES_MAX};
use airlift_proto::GATEWAY_ID_LENGTH_MAX;
use airlift_testkit::{Mosquitto, MosquittoOptions, TestDatabase};
use chrono::TimeDelta;
use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    app::{Answer, Setup, TestApp},
    bundles::{Keys, Sample, upload_bundle},
    gateway::Gateway,
    grants::{self, Ask},
    packages::{file_of, pushed, sha256},
};

const PATH: &str = "/firmware/gateway_v1.0.2.bin";
const FILE: &[u8] = b"image 1.0.2";
/// The longest that the release's address may be with the longest names there are.
const PUBLIC_URL_LENGTH: usize = 90;

/// A closed server with an upgrade of gateway `g` to 1.0.2 under way; the gateway's token.
async fn closed(setup: Setup) -> (TestApp, String) {
    let app = setup.start().await;
    app.released("1.0.2").await;
    app.trigger("g", "1.0.2").await.data();
    let token = grants::gateway_token(&app, "g").await;
    (app, token)
}

/// What a gateway that asks over HTTP is told.
async fn fetched(app: &TestApp, gateway_id: &str, token: &str) -> Value {
    let path = format!("/api/ota/gateways/{gateway_id}/command");
    grants::get(app, &path, Some(token)).await.data()["data"].clone()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("{value}"))
}

/// With another value of one of its parameters.
fn altered(url: &str, name: &str, value: &str) -> String {
    let (head, tail) = url.split_once(&format!("{name}=")).expect(name);
    let rest = tail.split_once('&').map(|(_, rest)| format!("&{rest}"));
    format!("{head}{name}={value}{}", rest.unwrap_or_default())
}

/// What somebody without a token gets.
async fn get(app: &TestApp, url: &str) -> Answer {
    grants::get(app, url, None).await
}

#[tokio::test]
async fn the_address_in_a_command_is_signed_and_opens_its_file_to_whoever_has_it() {
    let (app, token) = closed(Setup::default()).await;
    get(&app, PATH).await.refused(401, "download_unsigned");
    let command = fetched(&app, "g", &token).await;
    let url = text(&command["firmwareUrl"]);
    assert!(url.starts_with(&app.url(PATH)), "{url}");
    let whole = get(&app, url).await;
    assert_eq!((whole.status, whole.body.as_slice()), (200, FILE));
    assert_eq!(
        whole.header("cache-control"),
        Some("private, max-age=31536000, immutable")
    );
    let ask = |name: &'static str, value: String| {
        let (app, url) = (&app, url.to_owned());
        async move {
            let ask = Ask {
                headers: &[(name, &value)],
                ..Ask::default()
            };
            ask.send(app, Method::GET, &url).await
        }
    };
    let part = ask("range", "bytes=6-".to_owned()).await;
    assert_eq!((part.status, part.body.as_slice()), (206, &FILE[6..]));
    let known = ask("if-none-match", format!("\"{}\"", sha256(FILE))).await;
    assert_eq!((known.status, known.body.len()), (304, 0));
    let head = Ask::default().send(&app, Method::HEAD, url).await;
    assert_eq!((head.status, head.body.len()), (200, 0));
    assert_eq!(head.header("content-length"), Some("11"));
    app.stop().await;
}

#[tokio::test]
async fn a_signed_address_opens_nothing_else() {
    let (app, token) = closed(Setup::manual_clock()).await;
    let command = fetched(&app, "g", &token).await;
    let url = text(&command["firmwareUrl"]).to_owned();
    let (_, query) = url.split_once('?').unwrap();
    let expires = app.clock.now().timestamp() + 100_000_000;
    for other in [
        altered(&url, "gateway", "h"),
        altered(&url, "gateway", ""),
        altered(&url, "expires", &expires.to_string()),
        altered(&url, "expires", "x"),
        altered(&url, "signature", ""),
        altered(&url, "signature", &"A".repeat(43)),
        url.replace("1.0.2", "1.0.3"),
        url.replace(".bin", ".manifest.json"),
        url.replace(".bin", ".bin%0A"),
    ] {
        let refused = get(&app, &other).await;
        refused.refused(403, "invalid_signature");
    }
    let viewer = grants::token(&app, "viewer").await;
    let metrics = grants::get(&app, "/metrics", Some(&viewer)).await.text();
    let counted = "airlift_access_refused_total{reason=\"invalid_signature\"} 9";
    assert!(metrics.contains(counted), "{metrics}");

    for path in [
        format!("/otafiles/{}?{query}", sha256(FILE)),
        format!("/api/ota/firmware/1.0.2?{query}"),
        format!("/api/ota/gateways/g?{query}"),
        format!("/api/ota/gateways/g/command?{query}"),
        format!("/maxVersion?package=app&branch=main&{query}"),
    ] {
        assert_eq!(get(&app, &path).await.status, 401, "{path}");
    }
    for method in [Method::POST, Method::PUT, Method::DELETE] {
        let answer = Ask::default().send(&app, method.clone(), &url).await;
        assert_eq!(answer.status, 405, "{method}");
    }
    app.stop().await;
}

#[tokio::test]
async fn a_signed_address_ends_with_its_time_and_with_its_gateways_access() {
    let (app, token) = closed(Setup::manual_clock()).await;
    let command = fetched(&app, "g", &token).await;
    let url = text(&command["firmwareUrl"]).to_owned();
    app.clock
        .advance(TimeDelta::hours(24) - TimeDelta::seconds(1));
    assert_eq!(get(&app, &url).await.status, 200);
    app.clock.advance(TimeDelta::seconds(1));
    let message = get(&app, &url).await.refused(403, "url_expired");
    assert!(message.contains("trigger the upgrade again"), "{message}");
    // Its token opens the file all the same, whatever the address says.
    assert_eq!(grants::get(&app, &url, Some(&token)).await.status, 200);

    let task = app.service().trigger_upgrade(
        &airlift::domain::Caller {
            actor: airlift::domain::Actor::Anyone,
            address: None,
        },
        "g",
        Default::default(),
    );
    task.await.unwrap();
    let command = fetched(&app, "g", &token).await;
    let url = text(&command["firmwareUrl"]);
    assert_eq!(get(&app, url).await.status, 200, "a new one");
    grants::revoke_gateway(&app, "g").await;
    get(&app, url).await.refused(403, "gateway_revoked");
    grants::get(&app, url, Some(&token))
        .await
        .refused(401, "invalid_token");
    app.stop().await;
}

#[tokio::test]
async fn a_gateways_token_opens_the_files_of_its_own_upgrades() {
    let (app, own) = closed(Setup::default()).await;
    let other = grants::gateway_token(&app, "h").await;
    let viewer = grants::token(&app, "viewer").await;
    assert_eq!(grants::get(&app, PATH, Some(&own)).await.body, FILE);
    assert_eq!(grants::get(&app, PATH, Some(&viewer)).await.body, FILE);
    let refused = grants::get(&app, PATH, Some(&other)).await;
    refused.refused(403, "not_its_file");
    // Neither is it told what else there is, nor helped by somebody else's address.
    let absent = PATH.replace("1.0.2", "9.9.9");
    for token in [&own, &other] {
        grants::get(&app, &absent, Some(token))
            .await
            .refused(403, "not_its_file");
    }
    grants::get(&app, &absent, Some(&viewer))
        .await
        .refused(404, "file_not_found");
    let command = fetched(&app, "g", &own).await;
    let url = text(&command["firmwareUrl"]);
    grants::get(&app, url, Some(&other))
        .await
        .refused(403, "invalid_signature");
    grants::get(&app, url, Some("alg_made-up"))
        .await
        .refused(401, "invalid_token");
    app.stop().await;
}

#[tokio::test]
async fn a_packages_file_is_for_every_gateway_and_for_nobody_without_a_token() {
    let app = TestApp::start().await;
    pushed(&app, "1.0.0").await;
    let path = format!("/otafiles/{}", sha256(&file_of("1.0.0")));
    let public = get(&app, &path).await;
    assert_eq!((public.status, public.body), (200, file_of("1.0.0")));
    assert!(
        public.headers["cache-control"]
            .to_str()
            .unwrap()
            .contains("public")
    );
    let gateway = grants::gateway_token(&app, "edge-1").await;
    let viewer = grants::token(&app, "viewer").await;
    get(&app, &path).await.refused(401, "download_unsigned");
    let absent = format!("/otafiles/{}", sha256(b"absent"));
    get(&app, &absent).await.refused(401, "download_unsigned");
    for token in [&gateway, &viewer] {
        let answer = grants::get(&app, &path, Some(token)).await;
        assert_eq!((answer.status, &answer.body), (200, &file_of("1.0.0")));
        let cache = answer.header("cache-control").unwrap();
        assert!(cache.starts_with("private,"), "{cache}");
    }
    app.stop().await;
}

#[tokio::test]
async fn addresses_are_plain_while_the_server_is_open_or_downloads_are_public() {
    let app = TestApp::start().await;
    app.released("1.0.2").await;
    app.trigger("g", "1.0.2").await.data();
    let open = app.get("/api/ota/gateways/g/command").await.data();
    assert_eq!(open["data"]["firmwareUrl"], app.url(PATH));
    // A command that was stored before is signed once it leaves a closed server.
    let token = grants::gateway_token(&app, "g").await;
    let closed = fetched(&app, "g", &token).await;
    assert!(text(&closed["firmwareUrl"]).contains("?gateway=g&expires="));
    app.stop().await;

    let setup = Setup {
        options: Options {
            public_downloads: Some(true),
            ..Options::default()
        },
        ..Setup::default()
    };
    let (app, token) = self::closed(setup).await;
    let command = fetched(&app, "g", &token).await;
    assert_eq!(command["firmwareUrl"], app.url(PATH));
    for url in [PATH.to_owned(), format!("{PATH}?gateway=g&signature=x")] {
        let answer = get(&app, &url).await;
        assert_eq!((answer.status, answer.body.as_slice()), (200, FILE));
        let cache = answer.header("cache-control").unwrap();
        assert!(cache.starts_with("public,"), "{cache}");
    }
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_over_mqtt_is_signed_as_it_leaves_and_nowhere_kept() {
    let broker = Mosquitto::start(&MosquittoOptions::default()).unwrap();
    let app = Setup {
        mqtt_url: Some(broker.url()),
        ..Setup::default()
    };
    let app = app.start().await;
    app.released("1.0.2").await;
    let viewer = grants::token(&app, "viewer").await;
    let operator = grants::token(&app, "operator").await;
    let admin = grants::token(&app, "admin").await;
    let mut gateway = Gateway::connect(&app, "g").await;
    let upgrade = json!({ "version": "1.0.2" });
    let task = grants::post(&app, "/api/ota/upgrade/g", Some(&operator), upgrade).await;
    assert_eq!(task.data()["firmwareUrl"], app.url(PATH));
    let command = gateway.command().await;
    let url = text(&command["data"]["firmwareUrl"]);
    assert_eq!(get(&app, url).await.body, FILE);
    for (path, token) in [
        ("/api/ota/tasks", &viewer),
        ("/api/ota/tasks.csv", &viewer),
        ("/api/ota/task/g", &viewer),
        ("/api/ota/gateways/g", &viewer),
        ("/api/ota/audit", &admin),
    ] {
        let answer = grants::get(&app, path, Some(token)).await;
        assert_eq!(answer.status, 200, "{path}");
        assert!(!answer.text().contains("signature="), "{path}");
    }
    for data in ["SELECT payload FROM commands", "SELECT data FROM events"] {
        let rows = grants::texts(&app, data).await;
        assert!(!rows.is_empty(), "{data}");
        assert!(!rows.concat().contains("signature="), "{rows:?}");
    }
    app.stop().await;
}

#[tokio::test]
async fn signed_addresses_of_a_whole_bundle_fit_into_a_device() {
    let keys = Keys::new();
    let public_url = format!("http://{}", "h".repeat(PUBLIC_URL_LENGTH - "http://".len()));
    let mut setup = keys.setup();
    setup.options.public_url = Some(public_url.clone());
    let app = setup.start().await;
    let version = format!("1.0.2-{}", "v".repeat(58));
    let device_type = "d".repeat(64);
    let mut sample = Sample::of(Kind::FirmwareAndWeb, &version, 1);
    sample.manifest.device_type.clone_from(&device_type);
    upload_bundle(&app, &keys.seal(&sample)).await.data();
    app.post(&format!(
        "/api/ota/firmware/{version}/release?deviceType={device_type}"
    ))
    .await
    .data();
    let gateway_id = "G".repeat(GATEWAY_ID_LENGTH_MAX);
    let csv = format!("gatewayId,deviceType\n{gateway_id},{device_type}\n");
    app.post_as("/api/ota/gateways/tags", Some("text/csv"), &csv)
        .await
        .data();
    app.trigger(&gateway_id, &version).await.data();
    let token = grants::gateway_token(&app, &gateway_id).await;
    let command = fetched(&app, &gateway_id, &token).await;
    let parts = command["parts"].as_array().unwrap();
    assert_eq!(parts.len(), 2);
    let links = [
        &command["manifestUrl"],
        &command["signatureUrl"],
        &parts[1]["url"],
    ];
    let all = links
        .into_iter()
        .chain([&command["firmwareUrl"], &parts[0]["url"]]);
    for url in all {
        let url = text(url);
        assert!(url.len() <= URL_BYTES_MAX, "{}: {url}", url.len());
        let here = app.url(url.strip_prefix(&public_url).unwrap());
        let answer = get(&app, &here).await;
        assert_eq!(answer.status, 200, "{url}");
        get(&app, &altered(&here, "gateway", "G"))
            .await
            .refused(403, "invalid_signature");
    }
    let bytes: usize = links.map(|url| text(url).len()).iter().sum();
    assert!(bytes <= LINKS_BYTES_MAX, "{bytes}");
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_one_server_has_signed_is_good_at_another_over_the_same_database() {
    let database = TestDatabase::create().unwrap();
    let broker = Mosquitto::start(&MosquittoOptions::default()).unwrap();
    let blobs = tempfile::tempdir().unwrap();
    let setup = || Setup {
        database_url: Some(database.url().to_owned()),
        mqtt_url: Some(broker.url()),
        options: Options {
            blob_url: Some(format!("file:{}", blobs.path().display())),
            ..Options::default()
        },
        ..Setup::default()
    };
    let mut one = setup().start().await;
    let mut two = setup().start().await;
    for gateway_id in ["g", "h"] {
        let version = format!("1.0.{}", gateway_id.len());
        if gateway_id == "g" {
            one.upload(&version, FILE).await.data();
            one.release(&version).await.data();
        }
        one.trigger(gateway_id, &version).await.data();
    }
    let g = grants::gateway_token(&one, "g").await;
    let h = grants::gateway_token(&one, "h").await;
    two.service().forget_credentials().await.unwrap();
    // Both make the secret at once.
    let (by_one, by_two) = tokio::join!(fetched(&one, "g", &g), fetched(&two, "h", &h));
    for command in [by_one, by_two] {
        let (_, path) = text(&command["firmwareUrl"])
            .split_once("/firmware/")
            .unwrap();
        for server in [&one, &two] {
            let answer = get(server, &format!("/firmware/{path}")).await;
            assert_eq!((answer.status, answer.body.as_slice()), (200, FILE));
            let forged = altered(&format!("/firmware/{path}"), "gateway", "i");
            get(server, &forged).await.refused(403, "invalid_signature");
        }
    }
    one.end().await;
    two.end().await;
}
