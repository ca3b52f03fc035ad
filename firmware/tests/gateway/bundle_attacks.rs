//! Every attack on a bundle, with its own error code and without a byte of a part.

use crate::world::*;
use airlift_bundle::{MANIFEST_BYTES_MAX, Manifest, SIGNATURE_BYTES_MAX};
use airlift_proto::{UpgradeData, error_code::*};

/// The upgrade failed with this code, and nothing that could run was fetched.
fn refused(world: &mut World, code: &str) -> String {
    world.settle();
    let end = world.end_of("m").expect("it ended");
    assert_eq!(end.error_code.as_deref(), Some(code), "{end:?}");
    assert_eq!(world.bytes_served, 0, "bytes of a part were fetched");
    assert!(world.booted.iter().all(|booted| booted == FIRST_VERSION));
    let message = end.error_message.clone().unwrap();
    assert!(message.len() < 128, "cut: {message}");
    message
}

/// The server offers release 5 as 2.0.0, changed.
fn offered(change: impl FnOnce(&mut Manifest)) -> World {
    let mut world = World::trusting();
    let mut manifest = manifest("2.0.0", 5, &world.image("2.0.0"));
    change(&mut manifest);
    world.offer("m", &manifest);
    world
}

fn order_with(world: &mut World, change: impl FnOnce(&mut UpgradeData)) {
    world.order_with("m", "2.0.0", FileKind::Good, |data| {
        bundle(data, "m");
        change(data);
    });
}

#[test]
fn a_plain_image_is_unsigned() {
    let mut world = World::trusting();
    world.order("m", "2.0.0", FileKind::Good);
    let message = refused(&mut world, UNSIGNED);
    assert!(message.contains(".jota"), "{message}");
    assert_eq!(world.fetches, 0);
}

#[test]
fn a_forced_plain_image_is_unsigned_and_ends_nothing() {
    let mut world = World::trusting();
    world.order_signed("good", "2.0.0", 5);
    world.order_with("m", "2.1.0", FileKind::Good, |data| {
        data.force_upgrade = true
    });
    assert!(world.end_of("good").is_none());
    let end = world.end_of("m").unwrap();
    assert_eq!(end.error_code.as_deref(), Some(UNSIGNED));
    world.settle();
    assert_eq!(world.running, "2.0.0");
}

#[test]
fn a_bundle_whose_signature_or_manifest_the_command_leaves_out_is_unsigned() {
    let changes: [fn(&mut UpgradeData); 4] = [
        |data| data.signature_url = None,
        |data| data.signature_url = Some(String::new()),
        |data| data.manifest_url = None,
        |data| data.manifest_url = Some(String::new()),
    ];
    for change in changes {
        let mut world = offered(|_| {});
        order_with(&mut world, change);
        refused(&mut world, UNSIGNED);
        assert_eq!(world.fetches, 0);
    }
}

#[test]
fn an_empty_signature_is_none() {
    let mut world = offered(|_| {});
    *world.signature_of("m") = Document::new("");
    order_with(&mut world, |_| {});
    refused(&mut world, UNSIGNED);
    assert_eq!(world.fetches, 1);
}

#[test]
fn a_strangers_signature_is_not_trusted_and_the_manifest_not_even_fetched() {
    let mut world = offered(|_| {});
    let manifest = world.manifest_of("m").bytes.clone();
    *world.signature_of("m") = Document::new(Signer::new("stranger", 9).sign(&manifest));
    order_with(&mut world, |_| {});
    refused(&mut world, UNTRUSTED_KEY);
    assert_eq!(world.fetches, 1);
}

#[test]
fn a_stranger_who_names_the_trusted_key_is_found_out() {
    let mut world = offered(|_| {});
    let manifest = world.manifest_of("m").bytes.clone();
    let mut stranger = Signer::new("stranger", 9);
    stranger.key.fingerprint = release_key().key.fingerprint;
    *world.signature_of("m") = Document::new(stranger.sign(&manifest));
    order_with(&mut world, |_| {});
    refused(&mut world, BAD_SIGNATURE);
}

#[test]
fn a_key_signs_only_while_it_is_valid() {
    for signed_at in [999, 1_000, 1_999, 2_000] {
        let mut world = World::new();
        world.trust();
        let key = &mut world.trusted_keys[0];
        (key.valid_from, key.valid_until) = (1_000, Some(2_000));
        world.start();
        let manifest = manifest("2.0.0", 5, &world.image("2.0.0")).to_json();
        let signature = release_key().sign_at(&manifest, signed_at);
        world.serve_documents("m", &manifest, &signature);
        order_with(&mut world, |_| {});
        match signed_at {
            1_000..=1_999 => {
                world.settle();
                assert_eq!(world.running, "2.0.0");
            }
            _ => {
                refused(&mut world, UNTRUSTED_KEY);
            }
        }
    }
}

#[test]
fn an_altered_manifest_is_not_what_was_signed() {
    let mut world = offered(|_| {});
    let length = world.manifest_of("m").bytes.len();
    // The closing brace apart: without it the manifest is cut off.
    for at in [0, 1, 100, 400, length / 2, length - 2] {
        let mut world = offered(|_| {});
        world.manifest_of("m").bytes[at] ^= 1;
        order_with(&mut world, |_| {});
        refused(&mut world, BAD_SIGNATURE);
    }
}

#[test]
fn the_signature_of_one_bundle_does_not_make_the_manifest_of_another_good() {
    let mut world = offered(|_| {});
    let other = manifest("2.0.0", 6, &world.image("2.0.0")).to_json();
    *world.manifest_of("m") = Document::new(other);
    order_with(&mut world, |_| {});
    refused(&mut world, BAD_SIGNATURE);
}

#[test]
fn what_is_appended_to_a_manifest_is_not_signed() {
    let mut world = offered(|_| {});
    let mut longer = world.manifest_of("m").bytes.clone();
    longer.push(b'}');
    *world.manifest_of("m") = Document::new(longer);
    order_with(&mut world, |_| {});
    refused(&mut world, BAD_SIGNATURE);
}

/// The command announces a part of another signed bundle.
#[test]
fn a_part_swapped_between_two_signed_bundles_is_found_out() {
    type Swap = fn(&mut UpgradeData, UpgradeData);
    let swaps: [(&str, Swap); 5] = [
        ("md5", |data, other| {
            (data.md5, data.sha256) = (other.md5, other.sha256);
        }),
        ("sha256", |data, other| data.sha256 = other.sha256),
        ("md5", |data, other| data.md5 = other.md5),
        ("fileSize", |data, _| data.file_size += 1),
        ("version", |data, other| data.version = other.version),
    ];
    for (field, swap) in swaps {
        let mut world = offered(|_| {});
        let other = upgrade_data("m", "2.1.0", &world.image("2.1.0"));
        order_with(&mut world, |data| swap(data, other));
        let message = refused(&mut world, PART_MISMATCH);
        assert!(message.contains(field), "{message}");
    }
}

/// The command is as the manifest says, but its URL gives other bytes: a signed part does not become
/// another release's, and an unsigned one nothing at all.
#[test]
fn a_url_that_gives_another_part_installs_nothing() {
    for kind in [FileKind::Altered, FileKind::Longer] {
        let mut world = World::trusting();
        world.image_bytes = 9_008;
        let mut swapped = manifest("2.0.0", 5, &world.image("2.0.0"));
        swapped.changelog.clear();
        world.offer("m", &swapped);
        world.order_with("m", "2.0.0", kind, |data| bundle(data, "m"));
        world.settle();
        let end = world.end_of("m").unwrap();
        assert_eq!(end.error_code.as_deref(), Some(DIGEST_MISMATCH));
        assert_eq!(world.booted, [FIRST_VERSION]);
    }
}

#[test]
fn an_older_signed_bundle_is_refused() {
    let mut world = World::trusting();
    world.order_signed("first", "2.0.0", 5);
    world.settle();
    assert_eq!(world.saved().release_counter, 5);
    let served = world.bytes_served;
    // The very bundle of long ago, with its own signature, under a higher version.
    world.order_signed("m", "3.0.0", 4);
    world.settle();
    let end = world.end_of("m").unwrap();
    assert_eq!(end.error_code.as_deref(), Some(RELEASE_ROLLBACK));
    assert_eq!(world.bytes_served, served);
    assert_eq!(world.running, "2.0.0");
}

#[test]
fn an_expired_bundle_is_refused() {
    let mut world = offered(|manifest| manifest.expires_at = Some(SENT_AT - 1));
    order_with(&mut world, |_| {});
    refused(&mut world, BUNDLE_EXPIRED);
}

#[test]
fn a_bundle_is_good_up_to_its_last_second() {
    let mut world = offered(|manifest| manifest.expires_at = Some(SENT_AT));
    order_with(&mut world, |_| {});
    world.settle();
    assert_eq!(world.running, "2.0.0");
}

/// A gateway without a clock knows that it is not earlier than the newest manifest that it saw.
#[test]
fn without_a_clock_a_newer_bundle_makes_an_older_one_expire() {
    let mut world = World::trusting();
    world.unix_seconds = 0;
    // Of another board: that it is refused does not make it less true.
    world.order_signed_with("newer", "2.1.0", 6, |manifest| {
        manifest.target = "esp32-wroom".into();
        manifest.created_at = CREATED_AT + 500;
    });
    world.settle();
    assert_eq!(world.saved().time_floor, CREATED_AT + 500);
    world.power_cut();
    world.connect();
    world.order_signed_with("m", "2.0.0", 5, |manifest| {
        manifest.expires_at = Some(CREATED_AT + 499);
    });
    refused(&mut world, BUNDLE_EXPIRED);
}

/// What a clock would prevent and a floor cannot.
#[test]
fn without_a_clock_and_without_a_newer_bundle_an_expired_one_is_taken() {
    let mut world = World::trusting();
    world.unix_seconds = 0;
    world.order_signed_with("m", "2.0.0", 5, |manifest| {
        manifest.expires_at = Some(CREATED_AT + 1);
    });
    world.settle();
    assert_eq!(world.running, "2.0.0");
}

#[test]
fn a_manifest_that_no_trusted_key_signed_does_not_move_the_time() {
    let mut world = offered(|manifest| manifest.created_at = CREATED_AT + 999);
    let stranger = Signer::new("stranger", 9);
    let manifest = world.manifest_of("m").bytes.clone();
    *world.signature_of("m") = Document::new(stranger.sign(&manifest));
    order_with(&mut world, |_| {});
    refused(&mut world, UNTRUSTED_KEY);
    assert_eq!(world.saved().time_floor, 0);
}

#[test]
fn a_manifest_or_signature_that_never_ends_is_too_large() {
    for (announces, is_manifest) in [(false, false), (false, true), (true, false), (true, true)] {
        let mut world = offered(|_| {});
        let (document, bytes_max) = match is_manifest {
            true => (world.manifest_of("m"), MANIFEST_BYTES_MAX),
            false => (world.signature_of("m"), SIGNATURE_BYTES_MAX),
        };
        document.bytes.resize(bytes_max + 1, b' ');
        document.total = announces.then_some(bytes_max as u64 + 1);
        order_with(&mut world, |_| {});
        let message = refused(&mut world, BUNDLE_TOO_LARGE);
        assert!(message.contains(&bytes_max.to_string()), "{message}");
    }
}

#[test]
fn a_manifest_or_signature_of_the_greatest_length_is_read() {
    let mut world = offered(|manifest| manifest.changelog = "x".repeat(64 << 10));
    let signature = &mut world.signature_of("m").bytes;
    // A header line of the armor.
    let at = signature.iter().position(|byte| *byte == b'\n').unwrap() + 1;
    let comment = format!("Comment: {}\n", "x".repeat(60));
    while signature.len() + comment.len() <= SIGNATURE_BYTES_MAX {
        signature.splice(at..at, comment.bytes());
    }
    world.signature_of("m").total = None;
    order_with(&mut world, |_| {});
    world.settle();
    assert_eq!(world.end_of("m").unwrap().error_code, None);
}

#[test]
fn a_manifest_or_signature_that_always_ends_early_is_truncated() {
    for (is_manifest, breaks) in [(false, false), (false, true), (true, false), (true, true)] {
        let mut world = offered(|_| {});
        let document = match is_manifest {
            true => world.manifest_of("m"),
            false => world.signature_of("m"),
        };
        let half = document.bytes.len() / 2;
        document.bytes.truncate(half);
        document.breaks = breaks;
        order_with(&mut world, |_| {});
        let message = refused(&mut world, BUNDLE_TRUNCATED);
        assert!(message.contains("gave up after"), "{message}");
    }
}

#[test]
fn a_manifest_or_signature_that_is_stored_cut_off_is_truncated() {
    for is_manifest in [false, true] {
        let mut world = offered(|_| {});
        let document = match is_manifest {
            true => world.manifest_of("m"),
            false => world.signature_of("m"),
        };
        let half = document.bytes.len() / 2;
        *document = Document::new(&document.bytes[..half]);
        order_with(&mut world, |_| {});
        refused(&mut world, BUNDLE_TRUNCATED);
    }
}

#[test]
fn a_part_that_is_named_by_a_path_is_refused() {
    for name in [
        "../firmware.bin",
        "/etc/passwd",
        "a/firmware.bin",
        "a\\firmware.bin",
        "..",
        ".",
        "",
        "firmware.bin\0",
        "..%2ffirmware.bin",
    ] {
        let mut world = offered(|_| {});
        order_with(&mut world, |data| data.parts[0].name = name.into());
        refused(&mut world, UNSAFE_PATH);
        assert_eq!(world.fetches, 0, "{name:?}");
        let mut world = offered(|manifest| manifest.parts[0].name = name.into());
        order_with(&mut world, |_| {});
        refused(&mut world, UNSAFE_PATH);
    }
}

#[test]
fn a_bundle_for_another_board_or_device_type_is_refused() {
    let changes: [fn(&mut Manifest); 3] = [
        |manifest| manifest.target = "esp32-wroom".into(),
        |manifest| manifest.target = "toaster".into(),
        |manifest| manifest.device_type = "toaster".into(),
    ];
    for change in changes {
        let mut world = offered(change);
        order_with(&mut world, |_| {});
        refused(&mut world, WRONG_TARGET);
    }
}

#[test]
fn a_version_below_the_least_that_is_needed_is_refused() {
    let mut world = offered(|manifest| manifest.min_version = Some("1.0.2-rc.1".into()));
    order_with(&mut world, |data| data.force_upgrade = true);
    let message = refused(&mut world, MIN_VERSION);
    assert!(message.contains("1.0.2-rc.1"), "{message}");
    let mut world = offered(|manifest| manifest.min_version = Some("1.0.1-rc.1".into()));
    order_with(&mut world, |_| {});
    world.settle();
    assert_eq!(world.running, "2.0.0");
}

#[test]
fn a_signed_manifest_that_makes_no_sense_is_refused() {
    let changes: [fn(&mut Manifest); 5] = [
        |manifest| manifest.schema = 2,
        |manifest| manifest.kind = "bootloader".into(),
        |manifest| manifest.release_counter = 0,
        |manifest| manifest.parts.clear(),
        |manifest| manifest.parts[0].sha256.truncate(63),
    ];
    for change in changes {
        let mut world = offered(change);
        order_with(&mut world, |_| {});
        refused(&mut world, INVALID_MANIFEST);
    }
}

#[test]
fn a_manifest_or_signature_that_is_not_there_fails_the_download() {
    for is_manifest in [false, true] {
        let mut world = offered(|_| {});
        match is_manifest {
            true => world.manifest_of("m").status = 404,
            false => world.signature_of("m").status = 404,
        }
        order_with(&mut world, |_| {});
        let message = refused(&mut world, DOWNLOAD_FAILED);
        assert!(message.contains("404"), "{message}");
    }
}
