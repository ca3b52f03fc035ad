//! Who is out there: tags, filters, lists as CSV.

use serde_json::{Value, json};

use crate::{
    app::{Answer, Setup, TestApp},
    gateway::Gateway,
};

const GATEWAYS: &str = "/api/ota/gateways";
const TAGS: &str = "/api/ota/gateways/tags";
const EXPORT: &str = "/api/ota/gateways.csv";

async fn import(app: &TestApp, csv: &str) -> Answer {
    app.post_as(TAGS, Some("text/csv"), csv).await
}

/// The ids of a filter's gateways.
async fn found(app: &TestApp, filter: &str) -> Vec<String> {
    let query = url::form_urlencoded::Serializer::new(String::new())
        .append_pair("filter", filter)
        .finish();
    ids(&list(app, &query).await)
}

async fn list(app: &TestApp, query: &str) -> Value {
    app.get(&format!("{GATEWAYS}?{query}")).await.data()
}

fn ids(page: &Value) -> Vec<String> {
    let items = page["items"].as_array().unwrap();
    items
        .iter()
        .map(|item| item["gatewayId"].as_str().unwrap().to_owned())
        .collect()
}

/// What the server told of a gateway: what had changed, each time.
async fn told(app: &TestApp, gateway_id: &str) -> Vec<Value> {
    let events = app.gateway_events(gateway_id).await;
    events.iter().map(|event| event["change"].clone()).collect()
}

#[tokio::test]
async fn tags_are_a_merge_patch() {
    let app = TestApp::start().await;
    app.released("1.0.2").await;
    app.trigger("g1", "1.0.2").await.data();
    let path = format!("{GATEWAYS}/g1");
    assert_eq!(app.gateway("g1").await["tags"], json!({}));
    let tags = json!({ "tags": { "site": "north lab", "old": "x" } });
    let answer = app.patch_json(&path, tags).await.data();
    assert_eq!(answer["tags"], json!({ "site": "north lab", "old": "x" }));
    let tags = json!({ "tags": { "old": null, "never": null, "rack": "" } });
    let answer = app.patch_json(&path, tags).await.data();
    assert_eq!(answer["tags"], json!({ "site": "north lab", "rack": "" }));
    assert_eq!(app.gateway("g1").await, answer);
    let answer = app
        .patch_json(&path, json!({ "deviceType": "esp32" }))
        .await;
    assert_eq!(answer.data()["deviceType"], "esp32");
    // The same again changes nothing, not even the time of the change.
    let again = app.patch_json(
        &path,
        json!({ "deviceType": "esp32", "tags": { "rack": "" } }),
    );
    assert_eq!(again.await.data(), app.gateway("g1").await);
    app.stop().await;
}

#[tokio::test]
async fn a_patch_that_makes_no_sense_changes_nothing() {
    let app = TestApp::start().await;
    app.released("1.0.2").await;
    app.trigger("g1", "1.0.2").await.data();
    let path = format!("{GATEWAYS}/g1");
    let before = app.gateway("g1").await;
    let many: serde_json::Map<String, Value> =
        (0..65).map(|n| (format!("k{n}"), json!(""))).collect();
    for (body, code) in [
        (json!({ "tags": { "a b": "1" } }), "invalid_tag"),
        (json!({ "tags": { "": null } }), "invalid_tag"),
        (json!({ "tags": { "a": "x".repeat(129) } }), "invalid_tag"),
        (json!({ "tags": { "a": "line\nbreak" } }), "invalid_tag"),
        (json!({ "tags": { "a": 1 } }), "invalid_json"),
        (json!({ "online": true }), "invalid_json"),
        (json!({ "tags": many }), "too_many_tags"),
        (
            json!({ "tags": { "a": "1" }, "deviceType": "a/b" }),
            "invalid_device_type",
        ),
    ] {
        app.patch_json(&path, body).await.refused(400, code);
    }
    assert_eq!(app.gateway("g1").await, before);
    let tags = json!({ "tags": {} });
    let unknown = app
        .patch_json(&format!("{GATEWAYS}/g2"), tags.clone())
        .await;
    unknown.refused(404, "gateway_not_found");
    let senseless = app.patch_json(&format!("{GATEWAYS}/a%20b"), tags).await;
    senseless.refused(400, "invalid_gateway_id");
    app.stop().await;
}

#[tokio::test]
async fn a_filter_finds_and_counts_gateways() {
    let app = TestApp::start().await;
    let csv = "gatewayId,deviceType,site\na1,esp32,lab\na2,esp32,north lab\nb1,,lab\nb2,linux,\n";
    import(&app, csv).await.data();
    let mut a1 = Gateway::connect(&app, "a1").await;
    a1.heartbeat("1.0.1").await;
    app.metric_reaches(r#"airlift_messages_stored_total{kind="heartbeat"}"#, 1.0)
        .await;
    for (filter, expected) in [
        ("", &["a1", "a2", "b1", "b2"][..]),
        ("tag:site=lab version<1.0.2 online:true", &["a1"]),
        ("tag:site=lab", &["a1", "b1"]),
        (r#"tag:site="north lab""#, &["a2"]),
        ("tag:site", &["a1", "a2", "b1"]),
        ("version:unknown id:a*", &["a2"]),
        ("version>=1.0.2", &[]),
        ("type:gateway", &["b1"]),
        ("online:false type:esp32", &["a2"]),
        ("id:b2", &["b2"]),
    ] {
        assert_eq!(found(&app, filter).await, expected, "{filter}");
    }

    // The parameters from before filters narrow it further.
    let page = list(&app, "filter=tag:site&deviceType=esp32&online=false").await;
    assert_eq!(ids(&page), ["a2"]);
    let page = list(&app, "currentVersion=1.0.1").await;
    assert_eq!(ids(&page), ["a1"]);

    let page = list(&app, "filter=tag:site&count=true&limit=2").await;
    assert_eq!(page["total"], 3);
    assert_eq!(ids(&page), ["a1", "a2"]);
    let cursor = page["nextCursor"].as_str().unwrap();
    let next = list(&app, &format!("filter=tag:site&limit=2&cursor={cursor}")).await;
    assert_eq!(ids(&next), ["b1"]);
    assert_eq!(next["nextCursor"], Value::Null);
    assert_eq!(next.get("total"), None);
    app.stop().await;
}

#[tokio::test]
async fn a_filter_that_makes_no_sense_is_refused_with_its_term() {
    let app = TestApp::start().await;
    for path in [GATEWAYS, EXPORT] {
        let answer = app
            .get(&format!("{path}?filter=tag:site=lab+site=lab"))
            .await;
        let message = answer.refused(400, "invalid_filter");
        assert!(message.contains("`site=lab`"), "{message}");
        assert!(message.contains("tag:site=lab"), "{message}");
        app.get(&format!("{path}?online=yes"))
            .await
            .refused(400, "invalid_query");
    }
    app.stop().await;
}

#[tokio::test]
async fn a_list_announces_and_tags_a_fleet() {
    let app = TestApp::start().await;
    // With a byte order mark and CRLF, as spreadsheets write it; not in the order of ids.
    let csv = "\u{feff}gatewayId,site,rack\r\nb,lab,\r\n\r\na,\"north, lab\",7\r\n";
    let answer = import(&app, csv).await.data();
    let expected = json!({ "gateways": 2, "registered": 2, "changed": 0 });
    assert_eq!(answer, expected);
    assert_eq!(app.gateway("b").await["tags"], json!({ "site": "lab" }));
    let a = app.gateway("a").await;
    assert_eq!(a["tags"], json!({ "site": "north, lab", "rack": "7" }));
    assert_eq!(a["deviceType"], "gateway");

    // Another type of body is taken too; an empty cell leaves, a dash removes.
    let csv = "gatewayId,deviceType,tag:site,rack\na,esp32,,-\nb,,lab,\n";
    let answer = app.post_as(TAGS, Some("text/plain"), csv).await.data();
    let expected = json!({ "gateways": 2, "registered": 0, "changed": 1 });
    assert_eq!(answer, expected);
    let a = app.gateway("a").await;
    assert_eq!(a["tags"], json!({ "site": "north, lab" }));
    assert_eq!(a["deviceType"], "esp32");
    assert_eq!(import(&app, "gatewayId\n").await.data()["gateways"], 0);
    app.stop().await;
}

#[tokio::test]
async fn a_list_is_taken_whole_or_not_at_all() {
    let app = TestApp::start().await;
    let columns: String = (0..65).map(|n| format!(",k{n}")).collect();
    let full: String = (0..64).map(|n| format!(",k{n}")).collect();
    let full = format!("gatewayId{full}\nfull{}\n", ",x".repeat(64));
    import(&app, &full).await.data();
    for (csv, line, why) in [
        ("", 1, "gatewayId"),
        ("site,gatewayId\nlab,a\n", 1, "gatewayId"),
        ("gatewayId;site\na;lab\n", 1, "commas"),
        ("gatewayId,a b\na,1\n", 1, "\"a b\""),
        ("gatewayId,site,tag:site\na,1,2\n", 1, "twice"),
        (&format!("gatewayId{columns}\n"), 1, "64"),
        ("gatewayId,site\na,lab\nb c,lab\n", 3, "\"b c\""),
        ("gatewayId,site\na,lab\n\nb,\"x\ny\"\n", 4, "control"),
        ("gatewayId,site\na,lab\nb\n", 3, "1 cells"),
        ("gatewayId,site\na,1\nb,1\na,2\n", 4, "line 2"),
        ("gatewayId,deviceType\na,esp32\nb,a/b\n", 3, "\"a/b\""),
        ("gatewayId,one-more\na,1\nfull,1\n", 3, "65 tags"),
    ] {
        let message = import(&app, csv).await.refused(400, "invalid_csv");
        assert!(
            message.starts_with(&format!("line {line}: ")),
            "{csv}: {message}"
        );
        assert!(message.contains(why), "{csv}: {message}");
    }
    assert_eq!(found(&app, "").await, ["full"]);
    let form = "application/x-www-form-urlencoded";
    let answer = app.post_as(TAGS, Some(form), "gatewayId\n").await;
    answer.refused(415, "unsupported_media_type");
    let large = format!("gatewayId\n{}", "x".repeat(16 << 20));
    let message = import(&app, &large).await.refused(413, "too_large");
    assert!(message.contains("16777216"), "{message}");
    app.stop().await;
}

#[tokio::test]
async fn a_long_list_is_taken_in_any_order() {
    let setup = Setup {
        postgres: true,
        ..Setup::default()
    };
    let app = setup.start().await;
    let rows = (0..5000).rev();
    let rows: String = rows.map(|n| format!("g{n:04},{}\n", n % 7)).collect();
    let answer = import(&app, &format!("gatewayId,week\n{rows}"))
        .await
        .data();
    assert_eq!(answer["registered"], 5000);
    let page = list(&app, "filter=tag:week=3&count=true").await;
    assert_eq!(page["total"], (0..5000).filter(|n| n % 7 == 3).count());
    assert_eq!(app.gateway("g4999").await["tags"]["week"], "1");
    // Every page of the export, in order.
    let export = app.get(EXPORT).await.text();
    let exported: Vec<&str> = export.lines().skip(1).map(|line| &line[..5]).collect();
    let expected: Vec<String> = (0..5000).map(|n| format!("g{n:04}")).collect();
    assert_eq!(exported, expected);
    app.stop().await;
}

#[tokio::test]
async fn an_export_can_be_sent_back() {
    let app = Setup::manual_clock().start().await;
    app.released("1.0.2").await;
    let csv = "gatewayId,deviceType,site,note\na,,lab,\"say \"\"hi\"\", now\"\nb,esp32,,\n";
    import(&app, csv).await.data();
    let mut a = Gateway::connect(&app, "a").await;
    a.heartbeat("1.0.1").await;
    app.metric_reaches(r#"airlift_messages_stored_total{kind="heartbeat"}"#, 1.0)
        .await;
    let answer = app.get(EXPORT).await;
    assert_eq!(
        answer.header("content-type"),
        Some("text/csv; charset=utf-8")
    );
    let expected = "gatewayId,deviceType,currentVersion,latestVersion,needUpgrade,online,\
                    lastSeenAt,tag:note,tag:site\n\
                    a,gateway,1.0.1,1.0.2,true,true,2026-03-01T08:00:00.000Z,\
                    \"say \"\"hi\"\", now\",lab\n\
                    b,esp32,,,false,false,,,\n";
    assert_eq!(answer.text(), expected);
    let filtered = app.get(&format!("{EXPORT}?filter=type:esp32")).await.text();
    assert_eq!(filtered.lines().count(), 2);
    let back = import(&app, expected).await.data();
    assert_eq!(
        back,
        json!({ "gateways": 2, "registered": 0, "changed": 0 })
    );
    app.stop().await;
}

#[tokio::test]
async fn what_changes_in_a_gateway_is_told() {
    let app = TestApp::start().await;
    import(&app, "gatewayId,site\ng,lab\n").await.data();
    let mut gateway = Gateway::connect(&app, "g").await;
    let stored = r#"airlift_messages_stored_total{kind="heartbeat"}"#;
    for (count, version) in [(1.0, "1.0.1"), (2.0, "1.0.1"), (3.0, "1.0.2")] {
        gateway.heartbeat(version).await;
        app.metric_reaches(stored, count).await;
    }
    gateway.status(false).await;
    app.metric_reaches(r#"airlift_messages_stored_total{kind="status"}"#, 1.0)
        .await;
    let path = format!("{GATEWAYS}/g");
    for tags in [json!({ "site": "roof" }), json!({ "site": "roof" })] {
        app.patch_json(&path, json!({ "tags": tags })).await.data();
    }
    let expected = [
        json!(["registered", "tags"]),
        json!(["online", "currentVersion"]),
        json!(["currentVersion"]),
        json!(["online"]),
        json!(["tags"]),
    ];
    assert_eq!(told(&app, "g").await, expected);
    let last = app.gateway_events("g").await.pop().unwrap();
    let expected = json!({
        "change": ["tags"], "online": false, "currentVersion": "1.0.2",
        "deviceType": "gateway", "tags": { "site": "roof" },
    });
    assert_eq!(last, expected);
    app.stop().await;
}

#[tokio::test]
async fn a_page_begins_behind_as_many_as_the_offset_says() {
    let app = TestApp::start().await;
    let rows: String = (0..12).map(|n| format!("g{n:02},s{}\n", n % 2)).collect();
    import(&app, &format!("gatewayId,site\n{rows}"))
        .await
        .data();
    let page = list(&app, "offset=10&limit=5").await;
    assert_eq!(ids(&page), ["g10", "g11"]);
    assert_eq!(page["nextCursor"], Value::Null);
    let page = list(&app, "offset=4&limit=2&count=true").await;
    assert_eq!(ids(&page), ["g04", "g05"]);
    assert_eq!(page["total"], 12);
    // Whoever scrolls on can go on from there.
    assert_eq!(page["nextCursor"], "g05");
    let odd = list(&app, "filter=tag:site=s1&offset=3&limit=2").await;
    assert_eq!(ids(&odd), ["g07", "g09"]);
    assert_eq!(ids(&list(&app, "offset=0&limit=1").await), ["g00"]);
    assert_eq!(ids(&list(&app, "offset=10000000").await), [""; 0]);
    for query in ["offset=-1", "offset=10000001", "offset=0&cursor=g01"] {
        let answer = app.get(&format!("{GATEWAYS}?{query}")).await;
        answer.refused(400, "invalid_offset");
    }
    let answer = app.get(&format!("{GATEWAYS}?offset=x")).await;
    answer.refused(400, "invalid_query");
    app.stop().await;
}
