//! Events POSTed to receivers.

use std::{
    collections::BTreeSet,
    io::Write,
    process::{Command, Stdio},
};

use airlift::{
    domain::{ATTEMPTS_MAX, Event, EventKind},
    store::Db,
};
use airlift_testkit::TestDatabase;
use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::{
    app::{Answer, Setup, TestApp, eventually},
    receiver::{Answers, Received, Receiver},
};

const WEBHOOKS: &str = "/api/ota/webhooks";
const SECRET: &str = "correct horse battery staple";
const DELIVERED: &str = "airlift_webhook_deliveries_total{outcome=\"delivered\"}";
const FAILED: &str = "airlift_webhook_deliveries_total{outcome=\"failed\"}";
const DEAD: &str = "airlift_webhook_deliveries_total{outcome=\"dead\"}";

async fn create(app: &TestApp, url: &str, kinds: &[&str]) -> Value {
    let body = json!({ "url": url, "kinds": kinds, "secret": SECRET });
    app.post_json(WEBHOOKS, body).await.data()
}

fn path(webhook: &Value, rest: &str) -> String {
    format!(
        "{WEBHOOKS}/{}{rest}",
        webhook["webhookId"].as_str().unwrap()
    )
}

async fn deliveries(app: &TestApp, webhook: &Value, query: &str) -> Vec<Value> {
    let answer = app
        .get(&path(webhook, &format!("/deliveries{query}")))
        .await;
    answer.data()["items"].as_array().unwrap().clone()
}

/// The only delivery of a webhook.
async fn delivery(app: &TestApp, webhook: &Value) -> Value {
    let mut all = deliveries(app, webhook, "").await;
    assert_eq!(all.len(), 1, "{all:?}");
    all.remove(0)
}

async fn record(db: &Db, gateways: impl IntoIterator<Item = String>) {
    let mut tx = db.begin().await.unwrap();
    for gateway_id in gateways {
        tx.record(Event {
            kind: EventKind::Gateway,
            gateway_id: Some(gateway_id),
            task_id: None,
            rollout_id: None,
            data: json!({ "change": "online" }),
            created_at: DateTime::from_timestamp(1_770_000_000, 0).unwrap(),
        });
    }
    tx.commit().await.unwrap();
}

/// Seconds from the clock's now to a time in an answer.
fn seconds_until(app: &TestApp, time: &Value) -> f64 {
    let time: DateTime<Utc> = time.as_str().unwrap().parse().unwrap();
    (time - app.clock.now()).as_seconds_f64()
}

/// What `openssl` makes of `timestamp.body`.
fn signed_by_openssl(secret: &str, received: &Received) -> String {
    let mut openssl = Command::new("openssl")
        .args(["dgst", "-sha256", "-hmac", secret, "-r"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let text = format!(
        "{}.{}",
        received.header("X-Airlift-Timestamp"),
        received.body
    );
    let mut input = openssl.stdin.take().unwrap();
    input.write_all(text.as_bytes()).unwrap();
    drop(input);
    let output = openssl.wait_with_output().unwrap();
    assert!(output.status.success());
    let output = String::from_utf8(output.stdout).unwrap();
    format!("sha256={}", output.split_whitespace().next().unwrap())
}

#[tokio::test]
async fn an_event_is_posted_and_openssl_agrees_with_its_signature() {
    let app = Setup::manual_clock().start().await;
    let receiver = Receiver::start().await;
    app.upload("1.0.0", b"before the webhook").await.data();
    let webhook = create(&app, &receiver.url(), &["firmware"]).await;
    app.upload("1.0.1", b"told of").await.data();
    let received = receiver.has_received(1).await.remove(0);
    assert_eq!(received.header("Content-Type"), "application/json");
    assert_eq!(received.header("X-Airlift-Event"), "firmware");
    let timestamp = app.clock.now().timestamp().to_string();
    assert_eq!(received.header("X-Airlift-Timestamp"), timestamp);
    let signature = received.header("X-Airlift-Signature");
    assert_eq!(signature, signed_by_openssl(SECRET, &received));
    assert_ne!(signature, signed_by_openssl("another secret", &received));
    let body = received.json();
    assert_eq!(body["kind"], "firmware");
    assert_eq!(body["data"]["change"], json!(["uploaded"]));
    assert_eq!(body["data"]["version"], "1.0.1");

    app.metric_reaches(DELIVERED, 1.0).await;
    let delivery = delivery(&app, &webhook).await;
    assert_eq!(delivery["status"], "delivered");
    assert_eq!(delivery["attempts"], 1);
    assert_eq!(delivery["lastStatus"], 200);
    assert_eq!(delivery["nextAttemptAt"], Value::Null);
    assert_eq!(delivery["body"], body);
    assert_eq!(
        delivery["deliveryId"],
        received.header("X-Airlift-Delivery")
    );
    assert_eq!(
        receiver.received().len(),
        1,
        "the one before is not told of"
    );
    app.stop().await;
}

#[tokio::test]
async fn a_secret_is_shown_once_and_credentials_in_an_address_never() {
    let app = TestApp::start().await;
    let receiver = Receiver::start().await;
    let url = receiver.url().replace("//", "//user:pass%20word@");
    let request = json!({ "url": url, "kinds": ["firmware", "task", "task"] });
    let made = app.post_json(WEBHOOKS, request).await.data();
    let secret = made["secret"].as_str().unwrap();
    assert_eq!(secret.len(), 64, "{secret}");
    assert_eq!(made["url"], receiver.url().replace("//", "//***@"));
    assert_eq!(made["kinds"], json!(["firmware", "task"]));
    let one = app.get(&path(&made, "")).await;
    let list = app.get(WEBHOOKS).await;
    let deleted_one = create(&app, &url, &["task"]).await;
    let deleted = app.delete(&path(&deleted_one, "")).await;
    for answer in [&one, &list, &deleted] {
        let text = answer.text();
        for hidden in [secret, SECRET, "user", "pass"] {
            assert!(!text.contains(hidden), "{text}");
        }
    }
    assert_eq!(list.data()["items"], json!([one.data()]));

    // They are for the receiver: a user and password as the standard way, and the signature.
    let ping = app.post(&path(&made, "/ping")).await.data();
    assert_eq!(ping["delivered"], true, "{ping}");
    let received = receiver.has_received(1).await.remove(0);
    assert_eq!(
        received.header("Authorization"),
        "Basic dXNlcjpwYXNzIHdvcmQ="
    );
    let signature = received.header("X-Airlift-Signature");
    assert_eq!(signature, signed_by_openssl(secret, &received));
    app.stop().await;
}

#[tokio::test]
async fn what_no_receiver_takes_is_tried_again_then_dead_then_retried_by_hand() {
    let app = Setup::manual_clock().start().await;
    let mut receiver = Receiver::start().await;
    let webhook = create(&app, &receiver.url(), &["firmware"]).await;
    receiver.kill().await;
    app.upload("1.0.1", b"nobody hears").await.data();
    let mut waits = Vec::new();
    for attempt in 1..ATTEMPTS_MAX {
        app.metric_reaches(FAILED, f64::from(attempt)).await;
        let waiting = delivery(&app, &webhook).await;
        assert_eq!(waiting["status"], "waiting");
        assert_eq!(waiting["attempts"], attempt);
        assert_eq!(waiting["lastStatus"], Value::Null);
        let error = waiting["lastError"].as_str().unwrap();
        assert!(error.contains("Connection refused"), "{error}");
        let wait = seconds_until(&app, &waiting["nextAttemptAt"]);
        waits.push(wait);
        app.clock.advance(TimeDelta::seconds(wait.ceil() as i64));
    }
    for (wait, longest) in waits.iter().zip([5., 10., 20., 40., 80., 160., 320., 640.]) {
        assert!((0.75 * longest..=longest).contains(wait), "{waits:?}");
    }
    assert!(waits.iter().all(|wait| *wait <= 3600.), "{waits:?}");
    app.metric_reaches(DEAD, 1.0).await;
    let dead = deliveries(&app, &webhook, "?status=dead").await.remove(0);
    assert_eq!(dead["attempts"], ATTEMPTS_MAX);
    assert_eq!(dead["nextAttemptAt"], Value::Null);
    assert!(
        deliveries(&app, &webhook, "?status=waiting")
            .await
            .is_empty()
    );

    receiver.start_again().await;
    let retry = format!("/deliveries/{}/retry", dead["deliveryId"].as_str().unwrap());
    let retried = app.post(&path(&webhook, &retry)).await.data();
    assert_eq!(retried["status"], "waiting");
    let received = receiver.has_received(1).await.remove(0);
    assert_eq!(received.header("X-Airlift-Delivery"), dead["deliveryId"]);
    app.metric_reaches(DELIVERED, 1.0).await;
    let refusal = app.post(&path(&webhook, &retry)).await;
    let message = refusal.refused(409, "delivery_not_dead");
    assert!(message.contains("is delivered"), "{message}");
    app.stop().await;
}

#[tokio::test]
async fn a_receiver_says_how_long_to_wait() {
    let app = Setup::manual_clock().start().await;
    let receiver = Receiver::start().await;
    let webhook = create(&app, &receiver.url(), &["firmware"]).await;
    let busy = |seconds: &str| Answers::With(503, vec![("retry-after", seconds.to_owned())]);
    receiver.answer(busy("120"));
    app.upload("1.0.1", b"told of").await.data();
    app.metric_reaches(FAILED, 1.0).await;
    let waiting = delivery(&app, &webhook).await;
    assert_eq!(seconds_until(&app, &waiting["nextAttemptAt"]), 120.0);
    assert_eq!(waiting["lastStatus"], 503);
    assert_eq!(waiting["lastError"], "answered 503");
    receiver.answer(busy("999999"));
    app.clock.advance(TimeDelta::seconds(120));
    app.metric_reaches(FAILED, 2.0).await;
    let waiting = delivery(&app, &webhook).await;
    assert_eq!(seconds_until(&app, &waiting["nextAttemptAt"]), 3600.0);
    let received = receiver.received();
    let header = |n: usize, name| received[n].header(name).to_owned();
    assert_eq!(
        header(0, "X-Airlift-Delivery"),
        header(1, "X-Airlift-Delivery")
    );
    assert_eq!(received[0].body, received[1].body);
    // The time is signed, so each attempt has a signature of its own.
    assert_ne!(
        header(0, "X-Airlift-Signature"),
        header(1, "X-Airlift-Signature")
    );
    app.stop().await;
}

#[tokio::test]
async fn a_redirect_leads_nowhere() {
    let app = Setup::manual_clock().start().await;
    let (receiver, elsewhere) = (Receiver::start().await, Receiver::start().await);
    receiver.answer(Answers::With(307, vec![("location", elsewhere.url())]));
    let webhook = create(&app, &receiver.url(), &["firmware"]).await;
    app.upload("1.0.1", b"told of").await.data();
    app.metric_reaches(FAILED, 1.0).await;
    let waiting = delivery(&app, &webhook).await;
    let error = waiting["lastError"].as_str().unwrap();
    assert!(error.contains("answered 307"), "{error}");
    assert!(error.contains("redirects are not followed"), "{error}");
    assert_eq!(elsewhere.received().len(), 0);
    app.stop().await;
}

#[tokio::test]
async fn a_receiver_that_never_answers_holds_no_other_back() {
    const EVENTS: usize = 100;
    let app = TestApp::start().await;
    let (slow, quick) = (Receiver::start().await, Receiver::start().await);
    slow.answer(Answers::Not);
    create(&app, &slow.url(), &["gateway"]).await;
    create(&app, &quick.url(), &["gateway"]).await;
    let db = app.db().await;
    record(&db, (0..EVENTS).map(|n| format!("g{n}"))).await;
    quick.has_received(EVENTS).await;
    app.metric_reaches(DELIVERED, EVENTS as f64).await;
    let asked = slow.received().len();
    assert!((1..=4).contains(&asked), "{asked} requests at once");
    db.close().await;
    app.stop().await;
}

#[tokio::test]
async fn a_webhook_is_told_what_it_asked_for_and_nothing_once_it_is_deleted() {
    let app = TestApp::start().await;
    let (of_b, of_firmware) = (Receiver::start().await, Receiver::start().await);
    let request = json!({ "url": of_b.url(), "kinds": ["gateway"], "gatewayId": "b" });
    let webhook = app.post_json(WEBHOOKS, request).await.data();
    assert_eq!(webhook["gatewayId"], "b");
    let deleted = create(&app, &of_firmware.url(), &["firmware"]).await;
    let db = app.db().await;
    let names = |names: &str| names.split(' ').map(str::to_owned).collect::<Vec<_>>();
    record(&db, names("a b c b")).await;
    let told = of_b.has_received(2).await;
    assert!(told.iter().all(|told| told.json()["gatewayId"] == "b"));
    app.delete(&path(&deleted, "")).await.data();
    let gone = app.get(&path(&deleted, "")).await;
    gone.refused(404, "webhook_not_found");
    app.upload("1.0.1", b"told to nobody").await.data();
    record(&db, names("a b")).await;
    assert_eq!(of_b.has_received(3).await.len(), 3);
    assert_eq!(of_firmware.received().len(), 0);
    db.close().await;
    app.stop().await;
}

#[tokio::test]
async fn a_ping_says_what_the_receiver_makes_of_it() {
    let app = TestApp::start().await;
    let mut receiver = Receiver::start().await;
    let webhook = create(&app, &receiver.url(), &["task"]).await;
    let ping = async || app.post(&path(&webhook, "/ping")).await.data();
    let answer = ping().await;
    assert_eq!(answer["delivered"], true);
    assert_eq!(answer["answerStatus"], 200);
    let received = receiver.has_received(1).await.remove(0);
    assert_eq!(received.header("X-Airlift-Event"), "ping");
    assert_eq!(received.header("X-Airlift-Delivery"), answer["deliveryId"]);
    assert_eq!(received.json()["data"]["webhookId"], webhook["webhookId"]);
    assert_eq!(
        received.header("X-Airlift-Signature"),
        signed_by_openssl(SECRET, &received)
    );
    receiver.answer(Answers::With(401, Vec::new()));
    let answer = ping().await;
    assert_eq!(
        (&answer["delivered"], &answer["error"]),
        (&json!(false), &json!("answered 401"))
    );
    receiver.kill().await;
    let answer = ping().await;
    assert_eq!(answer["answerStatus"], Value::Null);
    let error = answer["error"].as_str().unwrap();
    assert!(error.contains("Connection refused"), "{error}");
    assert!(deliveries(&app, &webhook, "").await.is_empty());
    app.stop().await;
}

#[tokio::test]
async fn a_webhook_that_makes_no_sense_is_refused_with_the_reason() {
    let app = TestApp::start().await;
    let good = json!({ "url": "http://127.0.0.1:9/x", "kinds": ["task"] });
    let with = |name: &str, value: Value| {
        let mut body = good.clone();
        body[name] = value;
        body
    };
    for (body, code) in [
        (with("url", json!("ftp://a.example/")), "invalid_url"),
        (with("url", json!("/hook")), "invalid_url"),
        (
            with("url", json!(format!("http://a/{}", "x".repeat(2048)))),
            "invalid_url",
        ),
        (with("kinds", json!([])), "no_kinds"),
        (with("kinds", json!(["tasks"])), "invalid_json"),
        (with("gatewayId", json!("a/b")), "invalid_gateway_id"),
        (with("rolloutId", json!("x")), "invalid_json"),
        (with("secret", json!("short")), "invalid_secret"),
        (with("colour", json!("red")), "invalid_json"),
    ] {
        app.post_json(WEBHOOKS, body).await.refused(400, code);
    }
    app.post(WEBHOOKS).await.refused(400, "invalid_json");
    let nobody = format!("{WEBHOOKS}/{}", Uuid::nil());
    let answers: [(Answer, u16, &str); 7] = [
        (app.get(&nobody).await, 404, "webhook_not_found"),
        (app.delete(&nobody).await, 404, "webhook_not_found"),
        (
            app.post(&format!("{nobody}/ping")).await,
            404,
            "webhook_not_found",
        ),
        (
            app.get(&format!("{nobody}/deliveries")).await,
            404,
            "webhook_not_found",
        ),
        (
            app.get(&format!("{WEBHOOKS}/x")).await,
            400,
            "invalid_webhook_id",
        ),
        (
            app.post(&format!("{nobody}/deliveries/x/retry")).await,
            400,
            "invalid_delivery_id",
        ),
        (
            app.get(&format!("{nobody}/deliveries?cursor=x")).await,
            400,
            "invalid_cursor",
        ),
    ];
    for (answer, status, code) in answers {
        answer.refused(status, code);
    }
    for _ in 0..100 {
        app.post_json(WEBHOOKS, good.clone()).await.data();
    }
    let answer = app.post_json(WEBHOOKS, good).await;
    answer.refused(409, "too_many_webhooks");
    let page = app.get(&format!("{WEBHOOKS}?limit=60")).await.data();
    let next = page["nextCursor"].as_str().unwrap();
    let rest = app
        .get(&format!("{WEBHOOKS}?cursor={next}&limit=60"))
        .await
        .data();
    assert_eq!(rest["items"].as_array().unwrap().len(), 40);
    assert_eq!(rest["nextCursor"], Value::Null);
    app.stop().await;
}

#[tokio::test]
async fn deliveries_page_and_are_forgotten_in_time() {
    let app = Setup::manual_clock().start().await;
    let receiver = Receiver::start().await;
    let webhook = create(&app, &receiver.url(), &["gateway"]).await;
    let db = app.db().await;
    record(&db, (0..5).map(|n| format!("g{n}"))).await;
    app.metric_reaches(DELIVERED, 5.0).await;
    let page = app.get(&path(&webhook, "/deliveries?limit=3")).await.data();
    let next = page["nextCursor"].as_str().unwrap();
    let rest = deliveries(&app, &webhook, &format!("?limit=3&cursor={next}")).await;
    let numbers: Vec<&Value> = page["items"]
        .as_array()
        .unwrap()
        .iter()
        .chain(&rest)
        .collect();
    let numbers: Vec<i64> = numbers
        .iter()
        .map(|d| d["eventId"].as_i64().unwrap())
        .collect();
    assert_eq!(numbers, [5, 4, 3, 2, 1]);

    app.clock.advance(TimeDelta::hours(23));
    assert_eq!(app.service().sweep_deliveries().await.unwrap(), 0);
    app.clock.advance(TimeDelta::hours(2));
    assert_eq!(app.service().sweep_deliveries().await.unwrap(), 5);
    assert!(deliveries(&app, &webhook, "").await.is_empty());
    db.close().await;
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_servers_on_one_database_post_each_event_once() {
    const EVENTS: usize = 400;
    let database = TestDatabase::create().unwrap();
    let server = async || {
        let setup = Setup {
            database_url: Some(database.url().to_owned()),
            ..Setup::default()
        };
        setup.start().await
    };
    let (one, other) = (server().await, server().await);
    let receiver = Receiver::start().await;
    let webhook = create(&one, &receiver.url(), &["gateway"]).await;
    let db = one.db().await;
    for batch in 0..10 {
        let names = (0..EVENTS / 10).map(|n| format!("g{batch}.{n}"));
        record(&db, names).await;
    }
    let delivered = eventually("all to be delivered", async || {
        let delivered = [one.metric(DELIVERED).await, other.metric(DELIVERED).await];
        (delivered.iter().sum::<f64>() >= EVENTS as f64).then_some(delivered)
    })
    .await;
    println!("delivered by each: {delivered:?}");
    assert!(delivered.iter().all(|count| *count > 0.0), "{delivered:?}");
    let received = receiver.received();
    assert_eq!(received.len(), EVENTS, "each once");
    let ids: BTreeSet<&str> = received
        .iter()
        .map(|received| received.header("X-Airlift-Delivery"))
        .collect();
    assert_eq!(ids.len(), EVENTS);
    assert!(
        deliveries(&other, &webhook, "?status=waiting")
            .await
            .is_empty()
    );
    db.close().await;
    one.stop().await;
    other.stop().await;
}
