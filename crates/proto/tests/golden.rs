//! The bytes on the wire, as phones and sketches in the field know them.

use airlift_proto::{
    AVAILABLE_TOPIC, AlertSource, CancelData, HeartbeatData, Message, PartData, ProgressData,
    ReportState, SignatureFailure, Slots, TopicKind, Topics, UpgradeData, is_gateway_id,
};

type Alert = airlift_proto::Alert;
type Available = airlift_proto::Available;
type Command = airlift_proto::Command;
type Report = airlift_proto::Report;
type Status = airlift_proto::Status;

fn round_trip<T>(value: &T, json: &str)
where
    T: serde::Serialize + serde::de::DeserializeOwned + PartialEq + std::fmt::Debug,
{
    assert_eq!(serde_json::to_string(value).unwrap(), json);
    assert_eq!(&serde_json::from_str::<T>(json).unwrap(), value);
}

#[test]
fn upgrade_command() {
    round_trip(
        &Command::Upgrade(Message {
            msg_id: Some("ota_1".into()),
            uuid: Some("GW1".into()),
            timestamp: Some(1_770_000_000),
            data: UpgradeData {
                version: "1.0.2".into(),
                firmware_url: "http://localhost:8018/firmware/gateway_v1.0.2.bin".into(),
                md5: "0c".into(),
                sha256: Some("5d".into()),
                file_size: 14,
                force_upgrade: false,
                not_before: None,
                msg_id: Some("ota_1".into()),
                manifest_url: None,
                signature_url: None,
                kind: None,
                parts: Vec::new(),
            },
        }),
        r#"{"msgType":"ota_upgrade","msgId":"ota_1","uuid":"GW1","timestamp":1770000000,"data":{"version":"1.0.2","firmwareUrl":"http://localhost:8018/firmware/gateway_v1.0.2.bin","md5":"0c","sha256":"5d","fileSize":14,"forceUpgrade":false,"msgId":"ota_1"}}"#,
    );
}

#[test]
fn upgrade_command_of_a_signed_bundle() {
    let url = |name: &str| format!("http://localhost:8018/firmware/gateway_v1.0.2.{name}");
    let part = |name: &str, partition: &str, url: String| PartData {
        name: name.into(),
        partition: partition.into(),
        url,
        size: 14,
        sha256: "5d".into(),
        md5: "0c".into(),
    };
    round_trip(
        &Command::Upgrade(Message {
            msg_id: Some("ota_1".into()),
            uuid: Some("GW1".into()),
            timestamp: Some(1_770_000_000),
            data: UpgradeData {
                version: "1.0.2".into(),
                firmware_url: url("bin"),
                md5: "0c".into(),
                sha256: Some("5d".into()),
                file_size: 14,
                force_upgrade: false,
                not_before: None,
                msg_id: Some("ota_1".into()),
                manifest_url: Some(url("manifest.json")),
                signature_url: Some(url("manifest.json.asc")),
                kind: Some("firmware+web".into()),
                parts: vec![
                    part("firmware.bin", "app", url("bin")),
                    part("web_spiffs.bin", "spiffs_web", url("web_spiffs.bin")),
                ],
            },
        }),
        r#"{"msgType":"ota_upgrade","msgId":"ota_1","uuid":"GW1","timestamp":1770000000,"data":{"version":"1.0.2","firmwareUrl":"http://localhost:8018/firmware/gateway_v1.0.2.bin","md5":"0c","sha256":"5d","fileSize":14,"forceUpgrade":false,"msgId":"ota_1","manifestUrl":"http://localhost:8018/firmware/gateway_v1.0.2.manifest.json","signatureUrl":"http://localhost:8018/firmware/gateway_v1.0.2.manifest.json.asc","kind":"firmware+web","parts":[{"name":"firmware.bin","partition":"app","url":"http://localhost:8018/firmware/gateway_v1.0.2.bin","size":14,"sha256":"5d","md5":"0c"},{"name":"web_spiffs.bin","partition":"spiffs_web","url":"http://localhost:8018/firmware/gateway_v1.0.2.web_spiffs.bin","size":14,"sha256":"5d","md5":"0c"}]}}"#,
    );
}

/// What a device without an allocator reads and writes.
#[test]
fn borrowed_strings_and_whole_numbers_give_the_same_bytes() {
    let json = r#"{"version":"2","firmwareUrl":"u","md5":"m","sha256":null,"fileSize":1,"forceUpgrade":true,"notBefore":1770000090}"#;
    let data: UpgradeData<&str> = serde_json::from_str(json).unwrap();
    assert_eq!((data.version, data.not_before), ("2", Some(1_770_000_090)));
    assert_eq!(serde_json::to_string(&data).unwrap(), json);
    let heartbeat = HeartbeatData::<&str, i32> {
        firmware_version: "2",
        battery: Some(80),
        ..HeartbeatData::default()
    };
    let json = serde_json::to_string(&heartbeat).unwrap();
    assert_eq!(
        json,
        r#"{"firmwareVersion":"2","battery":80,"rollback":false}"#
    );
    let read: HeartbeatData = serde_json::from_str(&json).unwrap();
    assert_eq!(read.battery, Some(80.0));
}

#[test]
fn cancel_command() {
    round_trip(
        &Command::Cancel(Message {
            msg_id: Some("ota_1".into()),
            uuid: Some("GW1".into()),
            timestamp: Some(1),
            data: CancelData {
                msg_id: "ota_1".into(),
            },
        }),
        r#"{"msgType":"ota_cancel","msgId":"ota_1","uuid":"GW1","timestamp":1,"data":{"msgId":"ota_1"}}"#,
    );
}

#[test]
fn progress_report() {
    round_trip(
        &Report::Progress(Message {
            msg_id: Some("ota_1".into()),
            uuid: Some("GW1".into()),
            timestamp: Some(1),
            data: ProgressData {
                state: ReportState::Downloading,
                progress: 10,
                current_version: Some("1.0.1".into()),
                target_version: Some("1.0.2".into()),
                error_code: None,
                error_message: None,
            },
        }),
        r#"{"msgType":"ota_progress","msgId":"ota_1","uuid":"GW1","timestamp":1,"data":{"state":"downloading","progress":10,"currentVersion":"1.0.1","targetVersion":"1.0.2","errorCode":null,"errorMessage":null}}"#,
    );
}

#[test]
fn heartbeat_with_all_fields() {
    round_trip(
        &Report::Heartbeat(Message {
            msg_id: None,
            uuid: Some("GW1".into()),
            timestamp: Some(1),
            data: HeartbeatData {
                firmware_version: "1.0.2".into(),
                battery: Some(80.0),
                free_heap: Some(120_000),
                rssi: Some(-61.0),
                boot_reason: Some("ota".into()),
                rollback: false,
                slot: Some("ota_1".into()),
                slots: Slots([
                    Some(("ota_1".into(), "1.0.2".into())),
                    Some(("ota_0".into(), "1.0.1".into())),
                ]),
            },
        }),
        r#"{"msgType":"heartbeat","uuid":"GW1","timestamp":1,"data":{"firmwareVersion":"1.0.2","battery":80.0,"freeHeap":120000,"rssi":-61.0,"bootReason":"ota","rollback":false,"slot":"ota_1","slots":{"ota_1":"1.0.2","ota_0":"1.0.1"}}}"#,
    );
}

#[test]
fn status() {
    round_trip(
        &Status {
            online: true,
            firmware_version: Some("1.0.2".into()),
        },
        r#"{"online":true,"firmwareVersion":"1.0.2"}"#,
    );
}

#[test]
fn the_announcement_of_a_plain_image() {
    assert_eq!(AVAILABLE_TOPIC, "/jxct/ota/available");
    round_trip(
        &Available {
            version: "1.0.2".into(),
            device_type: "gateway".into(),
            kind: "firmware".into(),
            target: None,
            release_counter: None,
            min_version: None,
            file_size: 14,
            sha256: "5d".into(),
            file_url: "http://localhost:8018/firmware/gateway_v1.0.2.bin".into(),
            manifest_url: None,
            signature_url: None,
            changelog_url: "http://localhost:8018/ota/changelog?version=1.0.2&deviceType=gateway"
                .into(),
            release_date: "2026-01-01T00:00:00Z".into(),
            timestamp: 1_767_225_600,
        },
        r#"{"version":"1.0.2","deviceType":"gateway","kind":"firmware","fileSize":14,"sha256":"5d","fileUrl":"http://localhost:8018/firmware/gateway_v1.0.2.bin","changelogUrl":"http://localhost:8018/ota/changelog?version=1.0.2&deviceType=gateway","releaseDate":"2026-01-01T00:00:00Z","timestamp":1767225600}"#,
    );
}

#[test]
fn the_announcement_of_a_bundle() {
    round_trip(
        &Available {
            version: "2.7.0".into(),
            device_type: "jxct".into(),
            kind: "firmware+web".into(),
            target: Some("esp32-wroom".into()),
            release_counter: Some(42),
            min_version: Some("2.6.0".into()),
            file_size: 900_000,
            sha256: "5d".into(),
            file_url: "https://a/firmware/jxct_v2.7.0.bin".into(),
            manifest_url: Some("https://a/firmware/jxct_v2.7.0.manifest.json".into()),
            signature_url: Some("https://a/firmware/jxct_v2.7.0.manifest.json.asc".into()),
            changelog_url: "https://a/ota/changelog?version=2.7.0&deviceType=jxct".into(),
            release_date: "2026-01-01T00:00:00Z".into(),
            timestamp: 1_767_225_600,
        },
        r#"{"version":"2.7.0","deviceType":"jxct","kind":"firmware+web","target":"esp32-wroom","releaseCounter":42,"minVersion":"2.6.0","fileSize":900000,"sha256":"5d","fileUrl":"https://a/firmware/jxct_v2.7.0.bin","manifestUrl":"https://a/firmware/jxct_v2.7.0.manifest.json","signatureUrl":"https://a/firmware/jxct_v2.7.0.manifest.json.asc","changelogUrl":"https://a/ota/changelog?version=2.7.0&deviceType=jxct","releaseDate":"2026-01-01T00:00:00Z","timestamp":1767225600}"#,
    );
}

#[test]
fn alerts() {
    assert_eq!(Topics::new("hanqi").alerts(), "hanqi/alerts");
    let of_a_gateway = SignatureFailure {
        code: "UNTRUSTED_KEY".into(),
        source: AlertSource::Gateway,
        gateway_id: Some("GW1".into()),
        device_type: Some("jxct".into()),
        version: Some("2.7.0".into()),
        message: "signed by nobody I know".into(),
        suppressed: 3,
        timestamp: 1,
    };
    round_trip(
        &Alert::SignatureFailure(of_a_gateway.clone()),
        r#"{"alert":"signature_failure","code":"UNTRUSTED_KEY","source":"gateway","gatewayId":"GW1","deviceType":"jxct","version":"2.7.0","message":"signed by nobody I know","suppressed":3,"timestamp":1}"#,
    );
    round_trip(
        &Alert::SignatureFailure(SignatureFailure {
            source: AlertSource::Server,
            gateway_id: None,
            device_type: None,
            version: None,
            suppressed: 0,
            ..of_a_gateway
        }),
        r#"{"alert":"signature_failure","code":"UNTRUSTED_KEY","source":"server","message":"signed by nobody I know","timestamp":1}"#,
    );
}

#[test]
fn a_sparse_report_is_understood() {
    let sparse = r#"{"msgType":"ota_progress","msgId":null,"data":{"state":"installing","progress":98},"extra":1}"#;
    let Report::Progress(message) = serde_json::from_str(sparse).unwrap() else {
        panic!("not a progress report");
    };
    assert_eq!(message.msg_id, None);
    assert_eq!(message.data.state, ReportState::Installing);
    let heartbeat = r#"{"msgType":"heartbeat","data":{"firmwareVersion":"1.0.0","battery":12}}"#;
    let Report::Heartbeat(message) = serde_json::from_str(heartbeat).unwrap() else {
        panic!("not a heartbeat");
    };
    assert_eq!(message.data.battery, Some(12.0));
}

#[test]
fn a_slot_that_means_something_else_is_no_reason_to_refuse_a_heartbeat() {
    for (slot, slots) in [
        ("1", "2"),
        ("null", "null"),
        (r#"{"a":1}"#, r#"["ota_0"]"#),
        ("true", r#"{"ota_0":1}"#),
    ] {
        let heartbeat = format!(
            r#"{{"msgType":"heartbeat","data":{{"firmwareVersion":"1.0.0","slot":{slot},"slots":{slots}}}}}"#
        );
        let Report::Heartbeat(message) = serde_json::from_str(&heartbeat).unwrap() else {
            panic!("not a heartbeat");
        };
        assert_eq!(
            (message.data.slot, message.data.slots),
            (None, Slots::default())
        );
    }
    let many = r#"{"firmwareVersion":"1","slots":{"ota_0":"1","ota_1":"2","ota_2":"3"}}"#;
    let data: HeartbeatData = serde_json::from_str(many).unwrap();
    assert_eq!(data.slots.0[1], Some(("ota_1".into(), "2".into())));
}

#[test]
fn an_unknown_state_is_told_apart_from_bad_json() {
    let report = r#"{"msgType":"ota_progress","data":{"state":"sleeping","progress":1}}"#;
    let Report::Progress(message) = serde_json::from_str(report).unwrap() else {
        panic!("not a progress report");
    };
    assert_eq!(message.data.state, ReportState::Unknown);
}

#[test]
fn topics_round_trip_and_reject_what_is_not_ours() {
    let topics = Topics::new("hanqi");
    for kind in [TopicKind::Command, TopicKind::Report, TopicKind::Status] {
        let topic = topics.topic("HQ2026TEST001", kind);
        assert_eq!(topics.parse(&topic), Some(("HQ2026TEST001", kind)));
    }
    assert_eq!(topics.filter(TopicKind::Report), "hanqi/gateway/+/report");
    for alien in [
        "",
        "hanqi",
        "hanqi/gateway//report",
        "hanqi/gateway/a/b/report",
        "hanqi/gateway/a/other",
        "hanqi/gateway/+/report",
        "hanqix/gateway/a/report",
        "other/gateway/a/report",
    ] {
        assert_eq!(topics.parse(alien), None, "{alien}");
    }
}

#[test]
fn gateway_ids_are_safe_as_topic_level_url_segment_and_file_name() {
    for good in ["HQ2026TEST001", "a", "aa:bb:cc", "gw-1_2.3"] {
        assert!(is_gateway_id(good), "{good}");
    }
    let long = "x".repeat(65);
    for bad in ["", ".", "..", "a/b", "a+b", "#", "a b", "ä", "a\0", &long] {
        assert!(!is_gateway_id(bad), "{bad}");
    }
}
