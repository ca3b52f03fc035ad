use airlift_bundle::{
    CHANGELOG_BYTES_MAX, Kind, MANIFEST_BYTES_MAX, MANIFEST_HEAD_BYTES_MAX, Manifest, Refusal,
    Release,
};
use airlift_esp::{Target, partition_table::PartitionTable};
use proptest::prelude::*;

use crate::fuzz::samples;

#[test]
fn the_canonical_form_is_pinned_byte_for_byte() {
    let mut manifest = samples::manifest(Kind::FirmwareAndWeb);
    manifest.allow_rollback = true;
    manifest.changelog = "- a \"quote\"\\\n- ü\t\u{1}".into();
    let (sha256, md5) = ("a1".repeat(32), "0f".repeat(16));
    let part = |name: &str, partition: &str| {
        format!(
            r#"{{"name":"{name}","partition":"{partition}","size":1000,"sha256":"{sha256}","md5":"{md5}"}}"#
        )
    };
    let expected = format!(
        concat!(
            r#"{{"schema":1,"deviceType":"gateway","version":"2.7.0","target":"esp32-wroom","#,
            r#""kind":"firmware+web","releaseCounter":17,"allowRollback":true,"minVersion":"2.6.0","#,
            r#""createdAt":1700000000,"expiresAt":1800000000,"parts":[{},{}],"#,
            r#""changelog":"- a \"quote\"\\\n- ü\t\u0001"}}"#
        ),
        part("firmware.bin", "app"),
        part("web_spiffs.bin", "spiffs_web"),
    );
    assert_eq!(
        String::from_utf8(manifest.to_json()).expect("UTF-8"),
        expected
    );
    assert_eq!(Manifest::parse(expected.as_bytes()), Ok(manifest));
}

#[test]
fn the_limits_of_parts_are_those_of_the_targets_tables() {
    for target in Target::ALL {
        let table = PartitionTable::from_csv(target.table_csv()).expect("a table");
        for slot in 0..table.ota_slots_count() {
            let slot = table.ota(slot).expect("a slot");
            assert_eq!(slot.size, target.slot_bytes(), "{}", target.name());
        }
        let web = table.find("spiffs_web").expect("room for the web part");
        assert!(target.web_bytes_max() <= web.size, "{}", target.name());
    }
}

/// A manifest with one thing wrong, and the word for it on all sides.
fn refused(what: &str, refusal: Refusal, change: impl FnOnce(&mut Manifest)) {
    let mut manifest = samples::manifest(Kind::FirmwareAndWeb);
    change(&mut manifest);
    let checked = manifest.check().map_err(|error| error.refusal);
    assert_eq!(checked, Err(refusal), "{what}: check");
    let bytes = manifest.to_json();
    let parsed = Manifest::parse(&bytes).map_err(|error| error.refusal);
    assert_eq!(parsed, Err(refusal), "{what}: parse");
}

/// And that the device refuses it too, by the same word.
fn refused_by_the_device_too(what: &str, refusal: Refusal, change: impl Fn(&mut Manifest)) {
    refused(what, refusal, &change);
    let mut manifest = samples::manifest(Kind::FirmwareAndWeb);
    change(&mut manifest);
    assert_eq!(
        Release::read(&manifest.to_json()),
        Err(refusal),
        "{what}: device"
    );
}

#[test]
fn every_field_that_makes_no_sense_is_refused_on_all_sides() {
    use Refusal::{InvalidManifest, TooLarge, UnsafePath, WrongTarget};
    type Change = fn(&mut Manifest);
    let table: [(&str, Refusal, Change); 32] = [
        ("schema 0", InvalidManifest, |m| m.schema = 0),
        ("schema 2", InvalidManifest, |m| m.schema = 2),
        ("no device type", InvalidManifest, |m| m.device_type.clear()),
        ("a path for a device type", InvalidManifest, |m| {
            m.device_type = "../x".into()
        }),
        ("a long device type", InvalidManifest, |m| {
            m.device_type = "g".repeat(65)
        }),
        ("no version", InvalidManifest, |m| m.version.clear()),
        ("a version with a slash", InvalidManifest, |m| {
            m.version = "1.0.0/2".into()
        }),
        ("a long version", InvalidManifest, |m| {
            m.version = format!("1.0.0-{}", "a".repeat(59))
        }),
        ("an unknown target", WrongTarget, |m| {
            m.target = "esp32-s3".into()
        }),
        ("an unknown kind", InvalidManifest, |m| {
            m.kind = "web+firmware".into()
        }),
        ("counter 0", InvalidManifest, |m| m.release_counter = 0),
        ("a counter too great", InvalidManifest, |m| {
            m.release_counter = 1 << 53
        }),
        ("no minVersion in it", InvalidManifest, |m| {
            m.min_version = Some(String::new())
        }),
        ("never created", InvalidManifest, |m| m.created_at = 0),
        ("created before 1970", InvalidManifest, |m| {
            m.created_at = -1
        }),
        ("created after 9999", InvalidManifest, |m| {
            m.created_at = 253_402_300_800
        }),
        ("expired at birth", InvalidManifest, |m| {
            m.expires_at = Some(m.created_at)
        }),
        ("expires after 9999", InvalidManifest, |m| {
            m.expires_at = Some(i64::MAX)
        }),
        ("no parts", InvalidManifest, |m| m.parts.clear()),
        ("a part missing", InvalidManifest, |m| m.parts.truncate(1)),
        ("a part of another kind", InvalidManifest, |m| {
            m.kind = "firmware".into()
        }),
        ("parts out of order", InvalidManifest, |m| m.parts.reverse()),
        ("a part twice", InvalidManifest, |m| {
            m.parts[1] = m.parts[0].clone()
        }),
        ("a third part", InvalidManifest, |m| {
            m.parts.push(m.parts[0].clone())
        }),
        ("an unknown part", InvalidManifest, |m| {
            m.parts[0].name = "boot.bin".into()
        }),
        ("a part into otadata", InvalidManifest, |m| {
            m.parts[0].partition = "otadata".into()
        }),
        ("an empty part", InvalidManifest, |m| m.parts[0].size = 0),
        ("firmware over its slot", TooLarge, |m| {
            m.parts[0].size = 0x13_0001
        }),
        ("web over its room", TooLarge, |m| {
            m.parts[1].size = 0x10_0001
        }),
        ("upper-case hex", InvalidManifest, |m| {
            m.parts[0].sha256 = "A1".repeat(32)
        }),
        ("a short digest", InvalidManifest, |m| {
            m.parts[0].md5 = "0f".repeat(15)
        }),
        ("a climbing name", UnsafePath, |m| {
            m.parts[0].name = "..".into()
        }),
    ];
    for (what, refusal, change) in table {
        refused_by_the_device_too(what, refusal, change);
    }
    for name in [
        "../firmware.bin",
        "/firmware.bin",
        "a/b",
        "a\\b",
        "C:a",
        "a\0b",
        "",
        ".bin",
        "ü",
    ] {
        refused_by_the_device_too(name, UnsafePath, |m| m.parts[0].name = name.into());
    }
}

#[test]
fn what_the_device_need_not_look_at_is_refused_before_anybody_signs_it() {
    use Refusal::{InvalidManifest, TooLarge};
    refused("no SemVer", InvalidManifest, |m| m.version = "2.7".into());
    refused("no SemVer", InvalidManifest, |m| {
        m.min_version = Some("v2".into())
    });
    refused("minVersion is the version", InvalidManifest, |m| {
        m.min_version = Some("2.7.0+build".into());
    });
    refused("minVersion above", InvalidManifest, |m| {
        m.min_version = Some("2.7.1-rc.1".into())
    });
    refused("NUL", InvalidManifest, |m| m.changelog = "a\0b".into());
    refused("long changelog", TooLarge, |m| {
        m.changelog = "x".repeat(CHANGELOG_BYTES_MAX + 1)
    });
    // Six bytes of JSON each.
    refused("escapes", TooLarge, |m| {
        m.changelog = "\u{1}".repeat(MANIFEST_BYTES_MAX / 6)
    });
}

#[test]
fn the_longest_changelog_and_the_largest_parts_pass() {
    let mut manifest = samples::manifest(Kind::FirmwareAndWeb);
    manifest.changelog = "x".repeat(CHANGELOG_BYTES_MAX);
    manifest.device_type = "g".repeat(64);
    manifest.version = format!("1.0.0-{}", "a".repeat(58));
    manifest.min_version = Some(format!("0.9.0-{}", "a".repeat(58)));
    manifest.release_counter = (1 << 53) - 1;
    manifest.expires_at = Some(253_402_300_799);
    manifest.allow_rollback = true;
    for target in Target::ALL {
        manifest.target = target.name().into();
        manifest.parts[0].size = target.slot_bytes().into();
        manifest.parts[1].size = target.web_bytes_max().into();
        let bytes = manifest.to_json();
        assert_eq!(Manifest::parse(&bytes).as_ref(), Ok(&manifest));
        let head = &bytes[..MANIFEST_HEAD_BYTES_MAX];
        assert_eq!(Release::read(head), Ok(samples::release(&manifest)));
    }
}

#[test]
fn only_the_canonical_form_is_a_manifest() {
    let sound = String::from_utf8(samples::manifest(Kind::Firmware).to_json()).expect("UTF-8");
    let table = [
        ("white space", sound.replace(",\"kind\"", ", \"kind\"")),
        ("a line's end", format!("{sound}\n")),
        ("a second manifest", format!("{sound}{sound}")),
        (
            "an unknown member",
            sound.replace("\"schema\":1,", "\"schema\":1,\"run\":\"sh\","),
        ),
        (
            "an unknown member of a part",
            sound.replace("\"name\":", "\"path\":\"x\",\"name\":"),
        ),
        (
            "a member twice",
            sound.replace("\"schema\":1,", "\"schema\":1,\"schema\":1,"),
        ),
        (
            "what is the default",
            sound.replace("\"minV", "\"allowRollback\":false,\"minV"),
        ),
        (
            "null",
            sound.replace("\"expiresAt\":1800000000", "\"expiresAt\":null"),
        ),
        (
            "an escape for nothing",
            sound.replace("gateway", "g\\u0061teway"),
        ),
        ("a number with a point", sound.replace(":17,", ":17.0,")),
        ("a number as text", sound.replace(":17,", ":\"17\",")),
        (
            "out of order",
            sound
                .replace("\"schema\":1,", "")
                .replace("{\"d", "{\"schema\":1,\"d")
                .replace(
                    "\"deviceType\":\"gateway\",\"version\":\"2.7.0\"",
                    "\"version\":\"2.7.0\",\"deviceType\":\"gateway\"",
                ),
        ),
        (
            "no changelog",
            sound
                .split(",\"changelog\"")
                .next()
                .expect("a head")
                .to_owned()
                + "}",
        ),
        ("another value", "[]".to_owned()),
        ("nothing", String::new()),
    ];
    for (what, bytes) in table {
        assert_ne!(bytes, sound, "{what}: not applied");
        let refusal = Manifest::parse(bytes.as_bytes()).map_err(|error| error.refusal);
        assert_eq!(refusal, Err(Refusal::InvalidManifest), "{what}");
    }
    let not_text = [&sound.as_bytes()[..sound.len() - 3], b"\xff\"}"].concat();
    assert!(Manifest::parse(&not_text).is_err());
}

#[test]
fn a_manifest_of_the_future_says_so() {
    let bytes = br#"{"schema":2,"somethingNew":true}"#;
    let error = Manifest::parse(bytes).expect_err("a manifest of the future");
    assert_eq!(error.refusal, Refusal::InvalidManifest);
    assert!(
        error.message.contains("schema is 2, this version reads 1"),
        "{error}"
    );
    assert_eq!(Release::read(bytes), Err(Refusal::InvalidManifest));
}

#[test]
fn the_device_reads_a_head_that_ends_anywhere_in_the_changelog_and_nothing_shorter() {
    for kind in Kind::ALL {
        let manifest = samples::manifest(kind);
        let bytes = manifest.to_json();
        let changelog = bytes
            .windows(12)
            .position(|at| at == b"\"changelog\":")
            .expect("it")
            + 11;
        for end in 0..=bytes.len() {
            let expected = match end < changelog {
                true => Err(Refusal::InvalidManifest),
                false => Ok(samples::release(&manifest)),
            };
            assert_eq!(
                Release::read(&bytes[..end]),
                expected,
                "{end} of {} bytes",
                bytes.len()
            );
        }
    }
}

#[test]
fn the_device_takes_no_member_twice_unknown_or_out_of_order() {
    let sound =
        String::from_utf8(samples::manifest(Kind::FirmwareAndWeb).to_json()).expect("UTF-8");
    for (from, to) in [
        ("\"schema\":1,", "\"schema\":1,\"schema\":1,"),
        ("\"schema\":1,", "\"schema\":1,\"run\":\"sh\","),
        ("\"schema\":1,", ""),
        ("\"name\":\"fir", "\"size\":5,\"name\":\"fir"),
        ("\"releaseCounter\":17,", ""),
        ("\"kind\"", "\"changelog\":\"\",\"kind\""),
        ("gateway", "g\\u0061teway"),
    ] {
        let bytes = sound.replacen(from, to, 1);
        assert_ne!(bytes, sound);
        assert_eq!(
            Release::read(bytes.as_bytes()),
            Err(Refusal::InvalidManifest),
            "{to}"
        );
    }
}

fn any_manifest() -> impl Strategy<Value = Manifest> {
    let times = (1i64..253_402_300_000).prop_flat_map(|created_at| {
        let expires_at = proptest::option::of(created_at + 1..=253_402_300_799);
        (Just(created_at), expires_at)
    });
    let kind = proptest::sample::select(Kind::ALL.to_vec());
    let target = proptest::sample::select(Target::ALL.to_vec());
    let texts = (
        "[A-Za-z0-9][A-Za-z0-9._-]{0,63}",
        "(0|[1-9][0-9]{0,5})\\.[1-9][0-9]{0,3}\\.0(-rc\\.[1-9])?(\\+[a-z0-9]{1,8})?",
        proptest::option::of("0\\.0\\.[0-9](-[a-z]{1,5})?"),
        "[^\0]{0,200}",
    );
    let digests = proptest::array::uniform2((any::<[u8; 32]>(), any::<[u8; 16]>(), any::<u64>()));
    (
        kind,
        target,
        texts,
        1u64..=(1 << 53) - 1,
        any::<bool>(),
        times,
        digests,
    )
        .prop_map(
            |(
                kind,
                target,
                (device_type, version, min_version, changelog),
                counter,
                allow,
                times,
                digests,
            )| {
                let mut manifest = samples::manifest(kind);
                let limits = [target.slot_bytes(), target.web_bytes_max()];
                for (part, (sha256, md5, size)) in manifest.parts.iter_mut().zip(digests) {
                    let limit = limits[usize::from(part.name == "web_spiffs.bin")];
                    part.size = size % u64::from(limit) + 1;
                    part.sha256 = hex::encode(sha256);
                    part.md5 = hex::encode(md5);
                }
                Manifest {
                    target: target.name().into(),
                    device_type,
                    version,
                    min_version,
                    changelog,
                    release_counter: counter,
                    allow_rollback: allow,
                    created_at: times.0,
                    expires_at: times.1,
                    ..manifest
                }
            },
        )
}

proptest! {
    #[test]
    fn any_sound_manifest_comes_back_equal_on_both_sides(manifest in any_manifest()) {
        let bytes = manifest.to_json();
        prop_assert_eq!(Manifest::parse(&bytes), Ok(manifest.clone()));
        prop_assert_eq!(Release::read(&bytes), Ok(samples::release(&manifest)));
    }
}
