//! How many gateways run what.

use serde_json::{Value, json};

use crate::{
    app::{Setup, TestApp},
    crowd,
};

const STATISTICS: &str = "/api/ota/statistics/gateways";
const TAGS: &str = "/api/ota/gateways/tags";

/// A gateway of `device_type` that says that it runs `version`.
fn heartbeat(gateway_id: &str, device_type: &str, version: &str) -> (String, Value) {
    let heartbeat = json!({
        "msgType": "heartbeat",
        "data": { "firmwareVersion": version, "deviceType": device_type },
    });
    (gateway_id.to_owned(), heartbeat)
}

async fn take_offline(app: &TestApp, gateway_id: &str) {
    let status = airlift::service::InboundMessage {
        topic: format!("hanqi/gateway/{gateway_id}/status"),
        payload: r#"{"online":false}"#.into(),
        late: false,
    };
    app.service().record_messages(&[status]).await.unwrap();
}

async fn statistics(app: &TestApp, query: &str) -> Value {
    let query = query.replace(' ', "%20");
    app.get(&format!("{STATISTICS}?{query}")).await.data()
}

async fn count_a_fleet(setup: Setup) {
    let app = setup.start().await;
    let nobody = json!({ "total": 0, "online": 0, "needUpgrade": 0, "deviceTypes": [] });
    assert_eq!(statistics(&app, "").await, nobody);
    app.released("1.9.0").await;
    app.released("1.10.0").await;
    crowd::say(
        &app,
        vec![
            heartbeat("a1", "gateway", "1.9.0"),
            heartbeat("a2", "gateway", "1.9.0"),
            heartbeat("a3", "gateway", "1.10.0"),
            heartbeat("a4", "gateway", "1.11.0-rc.1"),
            heartbeat("a5", "gateway", "nightly"),
            heartbeat("b1", "esp32", "1.0.0"),
        ],
    )
    .await;
    take_offline(&app, "a2").await;
    // One that never said what it runs.
    let csv = "gatewayId,site\na6,lab\na1,lab\nb1,lab\n";
    app.post_as(TAGS, Some("text/csv"), csv).await.data();

    let version = |version: Value, total, online| json!({ "version": version, "total": total, "online": online });
    let esp32 = json!({
        "deviceType": "esp32", "total": 1, "online": 1, "needUpgrade": 0, "latestVersion": null,
        "versions": [version(json!("1.0.0"), 1, 1)],
    });
    let gateway = json!({
        "deviceType": "gateway", "total": 6, "online": 4, "needUpgrade": 4,
        "latestVersion": "1.10.0",
        "versions": [
            version(json!("1.11.0-rc.1"), 1, 1),
            version(json!("1.10.0"), 1, 1),
            version(json!("1.9.0"), 2, 1),
            version(json!("nightly"), 1, 1),
            version(Value::Null, 1, 0),
        ],
    });
    let all = json!({
        "total": 7, "online": 5, "needUpgrade": 4, "deviceTypes": [esp32, gateway],
    });
    assert_eq!(statistics(&app, "").await, all);

    let of_type = statistics(&app, "deviceType=esp32").await;
    assert_eq!(of_type["deviceTypes"], json!([esp32]));
    let filtered = statistics(&app, "filter=tag:site=lab version<1.10.0").await;
    assert_eq!(filtered["total"], 2);
    assert_eq!(filtered["needUpgrade"], 1);
    let offline = statistics(&app, "online=false").await;
    assert_eq!(offline["total"], 2);
    let refused = app.get(&format!("{STATISTICS}?filter=site:lab")).await;
    refused.refused(400, "invalid_filter");
    app.stop().await;
}

#[tokio::test]
async fn gateways_are_counted_by_type_and_version_on_sqlite() {
    count_a_fleet(Setup::default()).await;
}

#[tokio::test]
async fn gateways_are_counted_by_type_and_version_on_postgres() {
    count_a_fleet(Setup {
        postgres: true,
        ..Setup::default()
    })
    .await;
}
