//! One sentence about a signed bundle each: what it does, and what can happen on its way.

use crate::world::*;
use airlift_firmware::{CRASHES_MAX, Event};
use airlift_proto::{ReportState, error_code::*};

fn code(world: &World, msg_id: &str) -> Option<String> {
    let end = world.end_of(msg_id).expect("the upgrade ended");
    end.error_code.clone()
}

/// Serves the signature, the manifest, or what else is asked for, to its end.
fn serve_one(world: &mut World) {
    world.answer(true);
    world.serve(usize::MAX);
    world.serve(1);
}

/// A gateway that has fetched the first half of a signed part.
fn half_way() -> World {
    let mut world = World::trusting();
    world.order_signed("m", "2.0.0", 5);
    serve_one(&mut world);
    serve_one(&mut world);
    world.answer(true);
    world.serve(5_000);
    assert_eq!(world.bytes_served, 5_000);
    world
}

#[test]
fn a_signed_bundle_is_installed_proven_and_remembered() {
    let mut world = World::trusting();
    world.order_signed("m", "2.0.0", 5);
    assert_eq!(world.saved().release_counter, 0);
    world.settle();
    assert_eq!(code(&world, "m"), None);
    assert_eq!(world.running, "2.0.0");
    assert_eq!(world.fetches, 3);
    assert!(world.is_told("the bundle of 2.0.0, release 5, is signed by release"));
    assert_eq!(world.saved().release_counter, 5);
    assert_eq!(world.saved().release_on_trial, None);
    world.power_cut();
    assert_eq!(world.saved().release_counter, 5);
}

#[test]
fn the_signature_comes_before_the_manifest_and_both_before_the_part() {
    let mut world = World::trusting();
    world.order_signed("m", "2.0.0", 5);
    let told: Vec<_> = world.reports["m"]
        .iter()
        .map(|report| report.state)
        .collect();
    assert_eq!(told, [ReportState::Downloading], "it shows life at once");
    world.signature_of("m").status = 503;
    world.answer(true);
    assert!(world.is_told("the server answered 503 for the signature"));
    world.fetching = None;
    world.signature_of("m").status = 200;
    world.wait(1_000);
    serve_one(&mut world);
    world.manifest_of("m").status = 503;
    world.answer(true);
    assert!(world.is_told("the server answered 503 for the manifest"));
    assert!(!world.is_told("upgrades to"));
    world.fetching = None;
    world.manifest_of("m").status = 200;
    world.wait(60_000);
    serve_one(&mut world);
    serve_one(&mut world);
    assert!(world.is_told("upgrades to 2.0.0"));
    world.settle();
    assert_eq!(code(&world, "m"), None);
}

#[test]
fn a_release_is_remembered_only_once_it_is_proven() {
    let mut world = World::trusting();
    world.dies.insert("2.0.0".into(), Death::NoNetwork);
    world.order_signed("m", "2.0.0", 5);
    world.settle();
    assert_eq!(world.running, FIRST_VERSION);
    let saved = world.saved();
    assert_eq!((saved.release_counter, saved.release_on_trial), (0, None));
    world.order_signed("older", "1.5.0", 4);
    world.settle();
    assert_eq!(world.running, "1.5.0");
    assert_eq!(world.saved().release_counter, 4);
}

#[test]
fn the_same_release_may_come_again() {
    let mut world = World::trusting();
    world.order_signed("m", "2.0.0", 5);
    world.settle();
    world.order_signed("again", "2.0.0", 5);
    world.settle();
    assert_eq!(code(&world, "again"), None);
}

#[test]
fn a_signed_flag_allows_an_older_release_and_the_memory_of_the_newest_stays() {
    let mut world = World::trusting();
    world.order_signed("m", "2.0.0", 5);
    world.settle();
    world.order_signed_with("back", "1.9.0", 3, |manifest| {
        manifest.allow_rollback = true
    });
    world.settle();
    assert_eq!(code(&world, "back"), None);
    assert_eq!(world.running, "1.9.0");
    assert_eq!(world.saved().release_counter, 5);
    world.order_signed("between", "1.9.5", 4);
    world.settle();
    assert_eq!(code(&world, "between").as_deref(), Some(RELEASE_ROLLBACK));
}

#[test]
fn a_gateway_without_keys_checks_all_but_the_signature() {
    let mut world = World::started();
    world.connect();
    world.target = TARGET.try_into().unwrap();
    world.crash();
    world.connect();
    world.order_signed_with("wrong", "2.0.0", 5, |manifest| {
        manifest.target = "esp32-wroom".into();
    });
    world.settle();
    assert_eq!(code(&world, "wrong").as_deref(), Some(WRONG_TARGET));
    assert_eq!((world.fetches, world.bytes_served), (1, 0));
    world.order_signed("m", "2.0.0", 5);
    world.settle();
    assert_eq!(code(&world, "m"), None);
    assert!(world.is_told("unchecked: it trusts no keys"));
    // Nobody has signed it, so it must not keep out what somebody signs later.
    assert_eq!(world.saved().release_counter, 0);
    assert_eq!(world.saved().time_floor, 0);
    world.order("plain", "1.5.0", FileKind::Good);
    world.settle();
    assert_eq!(world.running, "1.5.0");
}

#[test]
fn a_plain_image_is_taken_after_a_bundle_that_was_refused_or_cancelled() {
    for cancels in [false, true] {
        let mut world = World::started();
        world.connect();
        world.order_signed_with("bundle", "2.0.0", 5, |manifest| {
            manifest.min_version = Some("1.5.0".into());
        });
        if cancels {
            world.happens(Event::Message(&cancel("bundle")));
        }
        world.settle();
        assert!(code(&world, "bundle").is_some());
        world.order("plain", "2.1.0", FileKind::Good);
        world.settle();
        assert_eq!(code(&world, "plain"), None);
    }
}

#[test]
fn without_keys_a_manifest_that_is_cut_off_is_truncated_all_the_same() {
    let mut world = World::started();
    world.connect();
    let whole = manifest("2.0.0", 5, &world.image("2.0.0")).to_json();
    world.serve_documents("m", &whole[..100], b"");
    world.order_offered("m", "2.0.0");
    world.settle();
    assert_eq!(code(&world, "m").as_deref(), Some(BUNDLE_TRUNCATED));
}

#[test]
fn an_order_from_the_time_before_the_keys_is_looked_at_again() {
    let mut world = World::started();
    world.connect();
    world.order("m", "2.0.0", FileKind::Good);
    world.answer(true);
    world.serve(5_000);
    world.trust();
    world.power_cut();
    world.settle();
    assert_eq!(code(&world, "m").as_deref(), Some(UNSIGNED));
    assert_eq!(world.running, FIRST_VERSION);
}

#[test]
fn either_of_two_trusted_keys_will_do() {
    let (old, new) = (Signer::new("old", 1), Signer::new("new", 2));
    for signer in [&old, &new] {
        let mut world = World::new();
        for key in [&old.key, &new.key] {
            world.trusted_keys.push(key.clone()).unwrap();
        }
        world.start();
        let manifest = manifest("2.0.0", 5, &world.image("2.0.0")).to_json();
        world.serve_documents("m", &manifest, &signer.sign(&manifest));
        world.order_offered("m", "2.0.0");
        world.settle();
        assert_eq!(code(&world, "m"), None);
        assert!(world.is_told(&format!("is signed by {}", signer.key.name)));
    }
}

#[test]
fn after_a_restart_all_is_looked_at_again_and_the_part_goes_on_where_it_was() {
    let mut world = half_way();
    world.power_cut();
    let fetches = world.fetches;
    world.settle();
    assert_eq!(code(&world, "m"), None);
    assert_eq!(world.fetches, fetches + 2);
    assert!(world.is_told("4096 of 9008 bytes are here"));
    assert_eq!(world.bytes_served, 5_000 + 9_008 - 4_096);
}

#[test]
fn a_server_that_turns_bad_during_a_restart_serves_not_one_more_byte() {
    let mut world = half_way();
    world.power_cut();
    world.signature_of("m").bytes.clear();
    world.signature_of("m").total = None;
    world.settle();
    assert_eq!(code(&world, "m").as_deref(), Some(UNSIGNED));
    assert_eq!(world.bytes_served, 5_000);
    assert_eq!(world.running, FIRST_VERSION);
}

/// What it wrote before is the one signed part's, what it writes after the other's.
#[test]
fn a_server_that_offers_another_signed_bundle_during_a_restart_installs_neither() {
    let mut world = half_way();
    world.power_cut();
    let other = manifest("2.0.0", 6, &image_of("2.1.0", 9_008));
    world.offer("m", &other);
    world.settle();
    assert_eq!(code(&world, "m").as_deref(), Some(PART_MISMATCH));
    assert_eq!(world.running, FIRST_VERSION);
}

#[test]
fn a_bundle_that_expires_while_it_comes_is_installed_but_not_begun_again() {
    for restarts in [false, true] {
        let mut world = World::trusting();
        world.order_signed_with("m", "2.0.0", 5, |manifest| {
            manifest.expires_at = Some(SENT_AT + 60);
        });
        serve_one(&mut world);
        serve_one(&mut world);
        world.answer(true);
        world.serve(5_000);
        world.unix_seconds = SENT_AT + 61;
        if restarts {
            world.power_cut();
        }
        world.settle();
        let expected = restarts.then_some(BUNDLE_EXPIRED);
        assert_eq!(code(&world, "m").as_deref(), expected);
    }
}

#[test]
fn a_bundle_is_cancelled_while_its_proof_comes() {
    for documents in 0..2 {
        let mut world = World::trusting();
        world.order_signed("m", "2.0.0", 5);
        for _ in 0..documents {
            serve_one(&mut world);
        }
        world.answer(true);
        world.serve(10);
        world.happens(Event::Message(&cancel("m")));
        assert_eq!(code(&world, "m").as_deref(), Some(CANCELLED));
        assert!(world.is_idle());
        world.settle();
        assert_eq!((world.bytes_served, &*world.running), (0, FIRST_VERSION));
        world.order_signed("next", "2.1.0", 6);
        world.settle();
        assert_eq!(world.running, "2.1.0");
    }
}

#[test]
fn a_forced_bundle_replaces_one_whose_proof_comes() {
    let mut world = World::trusting();
    world.order_signed("m", "2.0.0", 5);
    serve_one(&mut world);
    world.answer(true);
    world.serve(10);
    let newer = manifest("2.1.0", 6, &world.image("2.1.0"));
    world.offer("newer", &newer);
    world.order_with("newer", "2.1.0", FileKind::Good, |data| {
        bundle(data, "newer");
        data.force_upgrade = true;
    });
    assert_eq!(code(&world, "m").as_deref(), Some(CANCELLED));
    world.settle();
    assert_eq!(world.running, "2.1.0");
}

#[test]
fn a_bundle_that_is_held_during_a_trial_begins_after_it() {
    let mut world = World::trusting();
    world.order_signed("m", "2.0.0", 5);
    for _ in 0..3 {
        serve_one(&mut world);
    }
    world.work();
    assert!(world.saved().trial.is_some());
    assert_eq!(world.saved().release_on_trial, Some(5));
    world.order_signed("next", "2.1.0", 6);
    assert!(world.is_told("holds next"));
    world.power_cut();
    world.settle();
    assert_eq!(code(&world, "next"), None);
    assert_eq!(world.running, "2.1.0");
    assert_eq!(world.saved().release_counter, 6);
}

#[test]
fn crashes_while_the_proof_comes_are_counted() {
    let mut world = World::trusting();
    world.order_signed("m", "2.0.0", 5);
    for _ in 0..CRASHES_MAX {
        assert!(world.end_of("m").is_none());
        serve_one(&mut world);
        world.crash();
        world.connect();
    }
    assert_eq!(code(&world, "m").as_deref(), Some(INSTALL_FAILED));
}

#[test]
fn a_power_cut_while_the_proof_comes_begins_it_anew() {
    let mut world = World::trusting();
    world.order_signed("m", "2.0.0", 5);
    serve_one(&mut world);
    world.answer(true);
    world.serve(100);
    world.power_cut();
    world.settle();
    assert_eq!(code(&world, "m"), None);
}

#[test]
fn a_broken_connection_begins_the_proof_anew_and_patience_ends() {
    let mut world = World::trusting();
    world.order_signed("m", "2.0.0", 5);
    serve_one(&mut world);
    world.answer(true);
    world.serve(100);
    world.cut_download();
    world.wait(1_000);
    world.settle();
    assert_eq!(code(&world, "m"), None);
    world.order_signed("other", "2.1.0", 6);
    for _ in 0..100 {
        // Nothing new ever comes.
        world.answer(true);
        world.serve(100);
        world.cut_download();
        world.wait(60_000);
    }
    assert_eq!(code(&world, "other").as_deref(), Some(BUNDLE_TRUNCATED));
    world.order_signed("third", "2.1.0", 6);
    for _ in 0..100 {
        world.cut_download();
        world.wait(60_000);
    }
    assert_eq!(code(&world, "third").as_deref(), Some(DOWNLOAD_FAILED));
}

#[test]
fn a_bundle_waits_for_not_before_with_its_first_byte() {
    let mut world = World::trusting();
    let manifest = manifest("2.0.0", 5, &world.image("2.0.0"));
    world.offer("m", &manifest);
    world.order_with("m", "2.0.0", FileKind::Good, |data| {
        bundle(data, "m");
        data.not_before = Some(SENT_AT + 90);
    });
    world.wait(89_000);
    assert!(world.is_idle());
    world.wait(1_000);
    assert!(!world.is_idle());
    world.settle();
    assert_eq!(code(&world, "m"), None);
}

#[test]
fn a_duplicate_of_a_bundle_whose_proof_comes_starts_nothing() {
    let mut world = World::trusting();
    world.order_signed("m", "2.0.0", 5);
    serve_one(&mut world);
    world.order_signed("m", "2.0.0", 5);
    assert_eq!(world.fetches, 2);
    world.settle();
    assert_eq!(code(&world, "m"), None);
    assert_eq!(world.fetches, 3);
}

#[test]
fn what_comes_too_late_of_a_proof_counts_for_nothing() {
    let mut world = World::trusting();
    world.order_signed("m", "2.0.0", 5);
    let job = world.fetching.as_ref().unwrap().job;
    world.answer(true);
    serve_one(&mut world);
    let ended = Event::FetchEnded { job, reason: None };
    let bytes = b"of the signature's job";
    world.happens(Event::Chunk { job, bytes });
    world.happens(ended);
    world.settle();
    assert_eq!(code(&world, "m"), None);
}

#[test]
fn links_that_are_too_long_are_refused_with_the_reason() {
    for (length, room) in [(500, None), (513, Some("512"))] {
        let mut world = World::trusting();
        let manifest = manifest("2.0.0", 5, &world.image("2.0.0"));
        world.offer("m", &manifest);
        let name = manifest_name("m");
        world.order_with("m", "2.0.0", FileKind::Good, |data| {
            bundle(data, "m");
            let begins = "http://server/";
            let fill = "u".repeat(length - begins.len() - name.len() - 1);
            data.manifest_url = Some(format!("{begins}{fill}/{name}"));
        });
        world.settle();
        let end = world.end_of("m").unwrap();
        match room {
            None => assert_eq!(end.error_code, None),
            Some(room) => {
                assert_eq!(end.error_code.as_deref(), Some(INSTALL_FAILED));
                let message = end.error_message.as_deref().unwrap();
                assert!(message.contains("manifestUrl") && message.contains(room));
            }
        }
    }
}

/// The longest of everything: what is saved must fit into the NVS.
#[test]
fn the_longest_links_of_two_orders_are_remembered() {
    let mut world = World::trusting();
    let long = |name: &str| format!("http://server/{}/{name}", "u".repeat(350));
    let links = |data: &mut airlift_proto::UpgradeData| {
        data.manifest_url = data.manifest_url.take().map(|_| long("m.manifest.json"));
        data.signature_url = data
            .signature_url
            .take()
            .map(|_| long("m.manifest.json.asc"));
        data.firmware_url = long(&"f".repeat(140));
        data.force_upgrade = true;
    };
    world.order_signed("m", "2.0.0", 5);
    for _ in 0..3 {
        serve_one(&mut world);
    }
    world.work();
    world.order_with("next", "2.1.0", FileKind::Good, |data| {
        bundle(data, "next");
        links(data);
    });
    let before = world.saved().clone();
    let kept = before.next.as_ref().unwrap().links.as_ref().unwrap();
    assert_eq!(kept.manifest(), long("m.manifest.json"));
    assert_eq!(kept.signature(), long("m.manifest.json.asc"));
    assert_eq!(kept.web(), "");
    world.power_cut();
    assert_eq!(world.saved().next, before.next);
}

/// Two files with the same MD5 are easily made.
#[test]
fn the_manifests_sha256_counts_where_the_command_has_none() {
    let mut world = World::trusting();
    let manifest = manifest("2.0.0", 5, &world.image("2.0.0"));
    world.offer("m", &manifest);
    world.order_with("m", "2.0.0", FileKind::Good, |data| {
        bundle(data, "m");
        data.sha256 = None;
    });
    serve_one(&mut world);
    serve_one(&mut world);
    let order = &world.saved().active.as_ref().unwrap().order;
    assert_eq!(hex(&order.sha256.unwrap()), manifest.parts[0].sha256);
    world.settle();
    assert_eq!(code(&world, "m"), None);
}
