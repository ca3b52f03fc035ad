//! The upload page of a gateway that trusts keys: what a key signed for it, and nothing else, under
//! every attack and every power cut.

use crate::world::*;
use airlift_bundle::{MANIFEST_BYTES_MAX, Manifest, Part, SIGNATURE_BYTES_MAX};
use airlift_simflash::{Kind as Loader, image};

const NEW_VERSION: &str = "2.0.0";
const IMAGE_BYTES: usize = 9_008;
/// The slot that does not run.
const SLOT: u32 = 0x2_0000;
const SLOT_BYTES: usize = 0x1_0000;

/// The files of a bundle.
#[derive(Clone)]
struct Files {
    manifest: Vec<u8>,
    signature: Vec<u8>,
    firmware: Vec<u8>,
}

impl Files {
    fn parts(&self) -> [(&str, &[u8]); 3] {
        [
            ("manifest", &self.manifest),
            ("signature", &self.signature),
            ("firmware", &self.firmware),
        ]
    }
}

/// Release 5 as 2.0.0, its manifest changed before it is signed.
fn files_with(change: impl FnOnce(&mut Manifest)) -> Files {
    let firmware = image_of(NEW_VERSION, IMAGE_BYTES);
    let mut manifest = manifest(NEW_VERSION, 5, &firmware);
    change(&mut manifest);
    let manifest = manifest.to_json();
    Files {
        signature: release_key().sign(&manifest),
        manifest,
        firmware,
    }
}

fn files() -> Files {
    files_with(|_| {})
}

fn world_with(loader: Loader) -> World {
    let mut world = World::with(loader, false);
    world.trust();
    world.image_bytes = IMAGE_BYTES;
    world.know(NEW_VERSION);
    world.start();
    world.connect();
    world.ack_all();
    world
}

fn world() -> World {
    world_with(Loader::Stock)
}

fn slot(world: &World) -> Vec<u8> {
    world.flash.sim.borrow().bytes(SLOT, SLOT_BYTES)
}

/// The upload is refused with these words and no byte of the image is written; a good one then works.
fn refused_unwritten(mut world: World, files: &Files, words: &str) {
    let before = slot(&world);
    let said = world.post(&files.parts()).unwrap();
    assert_eq!(said.status, 422, "{said:?}");
    let begins = "{\"status\":\"error\",\"error\":\"Upload failed\",\"cause\":\"";
    assert!(said.text.starts_with(begins), "{said:?}");
    assert!(said.text.contains(words), "{said:?} does not say {words}");
    assert!(slot(&world) == before, "the slot was written: {words}");
    works_after(&mut world);
}

fn works_after(world: &mut World) {
    assert_eq!(world.running, FIRST_VERSION);
    // What was refused before may have taught it the time.
    let said = world.post(&files().parts()).unwrap();
    assert!(said.is_installed(), "{said:?}");
    world.settle();
    assert_eq!(world.running, NEW_VERSION);
}

#[test]
fn a_signed_upload_is_tried_and_proven_and_its_release_remembered() {
    let mut world = world();
    let said = world.post(&files().parts()).unwrap();
    assert_eq!(
        (said.status, said.text.as_str()),
        (
            200,
            "{\"status\":\"ok\",\"message\":\"Update installed; rebooting\"}\n"
        )
    );
    assert_eq!(world.running, NEW_VERSION);
    assert_eq!(world.saved().release_counter, 0, "not before it is proven");
    world.settle();
    assert!(world.is_told("version 2.0.0 is confirmed"));
    assert_eq!(world.saved().release_counter, 5);
    assert_eq!(world.saved().time_floor, CREATED_AT);
    assert!(slot(&world).starts_with(&files().firmware));
}

#[test]
fn a_signed_upload_that_fails_its_trial_is_rolled_back_and_its_release_forgotten() {
    let mut world = world();
    world.dies.insert(NEW_VERSION.into(), Death::AfterBoot);
    assert!(world.post(&files().parts()).unwrap().is_installed());
    world.settle();
    assert_eq!(world.running, FIRST_VERSION);
    assert!(world.heartbeats.last().unwrap().rollback);
    assert_eq!(world.saved().release_counter, 0);
}

#[test]
fn a_plain_image_is_refused_in_the_old_devices_words() {
    let mut world = world();
    let before = slot(&world);
    let said = world.post(&[("firmware", &files().firmware)]).unwrap();
    let words = "\"error\":\"Upload failed\",\"cause\":\"this device takes signed bundles only; \
                 send manifest, signature, firmware";
    assert_eq!(said.status, 422);
    assert!(said.text.contains(words), "{said:?}");
    assert!(slot(&world) == before);
    works_after(&mut world);
}

#[test]
fn a_gateway_without_keys_takes_plain_images_and_skips_the_other_parts() {
    for parts in [&files().parts()[..], &files().parts()[2..]] {
        let mut world = World::started();
        world.know(NEW_VERSION);
        let junk = [
            ("manifest", &b"junk"[..]),
            ("signature", b"junk"),
            parts[parts.len() - 1],
        ];
        let parts = if parts.len() == 3 { &junk[..] } else { parts };
        assert!(world.post(parts).unwrap().is_installed());
        world.settle();
        assert_eq!(world.running, NEW_VERSION);
        assert_eq!(world.saved().release_counter, 0);
    }
}

#[test]
fn every_attack_on_signature_or_manifest_is_refused_before_a_byte_of_the_image() {
    let good = files();
    let with_signature = |signature: Vec<u8>| Files {
        signature,
        ..good.clone()
    };
    let with_manifest = |manifest: Vec<u8>| Files {
        manifest,
        ..good.clone()
    };
    let half = good.signature.len() / 2;
    let mut garbled = good.signature.clone();
    garbled[half] = if garbled[half] == b'A' { b'B' } else { b'A' };
    let mut stranger = Signer::new("stranger", 9);
    let unknown = stranger.sign(&good.manifest);
    stranger.key.fingerprint = release_key().key.fingerprint;
    let other = manifest(NEW_VERSION, 6, &good.firmware).to_json();
    let mut altered = good.manifest.clone();
    altered[100] ^= 1;
    let appended = [&good.manifest[..], b"}"].concat();
    let cut = good.manifest[..good.manifest.len() - 1].to_vec();
    for (files, words) in [
        (with_signature(b"".to_vec()), "UNSIGNED"),
        (with_signature(b"garbage".to_vec()), "BAD_SIGNATURE"),
        (with_signature(garbled), "BAD_SIGNATURE"),
        (
            with_signature(good.signature[..half].to_vec()),
            "BUNDLE_TRUNCATED",
        ),
        (
            with_signature(vec![b'A'; SIGNATURE_BYTES_MAX + 1]),
            "BUNDLE_TOO_LARGE: the signature",
        ),
        (with_signature(unknown), "UNTRUSTED_KEY"),
        (
            with_signature(stranger.sign(&good.manifest)),
            "BAD_SIGNATURE",
        ),
        (with_manifest(b"".to_vec()), "BUNDLE_TRUNCATED"),
        (with_manifest(altered), "BAD_SIGNATURE"),
        (with_manifest(appended), "BAD_SIGNATURE"),
        (with_manifest(cut), "BUNDLE_TRUNCATED"),
        (with_manifest(other), "BAD_SIGNATURE"),
        (
            with_manifest(vec![b'{'; MANIFEST_BYTES_MAX + 1]),
            "BUNDLE_TOO_LARGE: the manifest",
        ),
    ] {
        refused_unwritten(world(), &files, words);
    }
}

#[test]
fn what_a_key_signed_for_another_device_or_time_is_refused_before_a_byte_of_the_image() {
    type Change = fn(&mut Manifest);
    let changes: [(Change, &str); 8] = [
        (|it| it.target = "esp32-wroom".into(), "WRONG_TARGET"),
        (|it| it.target = "toaster".into(), "WRONG_TARGET"),
        (|it| it.device_type = "toaster".into(), "WRONG_TARGET"),
        (|it| it.expires_at = Some(SENT_AT - 1), "BUNDLE_EXPIRED"),
        (|it| it.min_version = Some("1.5.0".into()), "MIN_VERSION"),
        (|it| it.schema = 9, "INVALID_MANIFEST"),
        (
            |it| it.parts[0].name = "../firmware.bin".into(),
            "UNSAFE_PATH",
        ),
        (
            |it| {
                it.kind = "firmware+web".into();
                it.parts.push(Part {
                    name: "web_spiffs.bin".into(),
                    partition: "spiffs_web".into(),
                    ..it.parts[0].clone()
                });
            },
            "this page takes a firmware alone",
        ),
    ];
    for (change, words) in changes {
        refused_unwritten(world(), &files_with(change), words);
    }
}

#[test]
fn a_signed_size_that_the_slot_does_not_have_is_not_enough_space() {
    let mut world = world();
    let files = files_with(|it| it.parts[0].size = SLOT_BYTES as u64 + 1);
    let before = slot(&world);
    let said = world.post(&files.parts()).unwrap();
    assert_eq!(said.status, 413);
    assert!(said.text.contains("Not enough space"), "{said:?}");
    assert!(slot(&world) == before);
    works_after(&mut world);
}

#[test]
fn an_older_release_is_refused_over_the_page_unless_it_says_that_it_may() {
    let mut world = world();
    world.order_signed("m", "1.9.0", 7);
    world.settle();
    assert_eq!(world.saved().release_counter, 7);
    let said = world.post(&files().parts()).unwrap();
    assert!(
        said.text.contains("RELEASE_ROLLBACK: release 5"),
        "{said:?}"
    );
    assert_eq!(world.running, "1.9.0");
    let allowed = files_with(|it| it.allow_rollback = true);
    assert!(world.post(&allowed.parts()).unwrap().is_installed());
    world.settle();
    assert_eq!(world.running, NEW_VERSION);
    assert_eq!(world.saved().release_counter, 7, "it never goes down");
}

/// The manifest and its signature are good; the image is another one.
#[test]
fn an_image_that_is_not_the_signed_one_never_becomes_bootable() {
    let good = files();
    let mut flipped = good.firmware.clone();
    image::flip(&mut flipped, 5_000, 1);
    let mut other_chip = good.firmware.clone();
    image::set_chip(&mut other_chip, 0).unwrap();
    image::seal(&mut other_chip).unwrap();
    let longer = [&good.firmware[..], &[0xFF; 16]].concat();
    for (firmware, status, words) in [
        // Valid in itself.
        (
            image_of("6.6.6", IMAGE_BYTES),
            422,
            "Update.end() failed\",\"cause\":\"DIGEST_MISMATCH",
        ),
        (flipped, 422, "Update.end() failed"),
        (other_chip, 422, "Update.end() failed"),
        (
            longer,
            422,
            "Upload failed\",\"cause\":\"DIGEST_MISMATCH: the image is larger",
        ),
        (
            good.firmware[..IMAGE_BYTES - 16].to_vec(),
            422,
            "Update.end() failed\",\"cause\":\"DIGEST_MISMATCH: the image is smaller",
        ),
        (
            good.firmware[..1].to_vec(),
            422,
            "DIGEST_MISMATCH: the image is smaller",
        ),
        (b"MZ".to_vec(), 422, "Upload failed"),
        (Vec::new(), 400, "Upload failed"),
    ] {
        let mut world = world();
        let altered = Files {
            firmware,
            ..good.clone()
        };
        let said = world.post(&altered.parts()).unwrap();
        assert_eq!(said.status, status, "{said:?}");
        assert!(said.text.contains(words), "{said:?} does not say {words}");
        assert_eq!(slot(&world)[..16], [0xFF; 16], "it has a beginning");
        world.power_cut();
        world.connect();
        works_after(&mut world);
    }
}

#[test]
fn a_connection_lost_at_any_byte_leaves_nothing_behind() {
    let mut world = world();
    let request = request_of(&files().parts());
    let body = request.windows(4).position(|it| it == b"\r\n\r\n").unwrap() + 4;
    for end in (body..request.len()).step_by(37).chain([request.len() - 1]) {
        let mut peer = Peer::new();
        let said = peer.send(&mut world, &request[..end]);
        assert_eq!(said, None);
        // It holds the place meanwhile.
        let second = world.post(&files().parts()).unwrap();
        assert!(
            second.text.contains("another upload is running"),
            "{second:?}"
        );
        peer.lose(&mut world);
        assert_ne!(slot(&world)[0], 0xE9, "{end} bytes made it bootable");
    }
    works_after(&mut world);
}

#[test]
fn uploads_and_upgrades_share_what_checks_them_and_keep_off_each_other() {
    let mut world = world();
    let request = request_of(&files().parts());
    // In the middle of the manifest.
    let mut peer = Peer::new();
    assert_eq!(peer.send(&mut world, &request[..2_000]), None);
    world.order_signed("early", "1.9.0", 4);
    let end = world.end_of("early").unwrap();
    assert_eq!(end.error_code.as_deref(), Some("BUSY"));
    peer.lose(&mut world);
    world.order_signed("m", "1.9.0", 4);
    // While the server's signature and manifest come.
    world.answer(true);
    world.serve(10);
    let said = world.post(&files().parts()).unwrap();
    assert!(
        said.text.contains("an upgrade from the server is running"),
        "{said:?}"
    );
    world.settle();
    assert_eq!(world.running, "1.9.0");
    assert!(world.post(&files().parts()).unwrap().is_installed());
    world.settle();
    assert_eq!(world.running, NEW_VERSION);
    assert_eq!(world.saved().release_counter, 5);
}

/// Whatever bit of the request is turned over: what is installed is what was signed.
#[test]
fn a_bit_turned_over_anywhere_never_installs_another_image() {
    let request = request_of(&files().parts());
    let (mut installed, mut refused) = (0, 0);
    for at in (0..request.len()).step_by(71) {
        let mut world = world();
        let mut request = request.clone();
        request[at] ^= 1 << (at % 8);
        match Peer::new().send(&mut world, &request) {
            Some(said) if said.is_installed() => {
                assert!(slot(&world).starts_with(&files().firmware));
                installed += 1;
            }
            _ => {
                assert_ne!(slot(&world)[0], 0xE9, "byte {at}");
                refused += 1;
            }
        }
    }
    assert!(refused > 100, "{installed} installed, {refused} refused");
}

/// An upload, and another one if the power cut the first; gives the flash operations.
fn play(world: &mut World, uploaded: &Files) -> u64 {
    let before = world.flash.sim.borrow().operations();
    for _ in 0..3 {
        world.connect();
        if world.running != NEW_VERSION {
            world.post(&uploaded.parts());
        }
        world.settle();
    }
    world.flash.sim.borrow().operations() - before
}

/// Cuts the power at every operation of an upload; `check` looks at what came of it.
fn cut_everywhere(uploaded: &Files, check: impl Fn(&World)) {
    for loader in [Loader::Stock, Loader::Rollback] {
        let mut whole = world_with(loader);
        let operations = play(&mut whole, uploaded);
        check(&whole);
        assert!(operations > 40, "{operations}");
        for at in 1..=operations {
            let mut world = world_with(loader);
            world.flash.sim.borrow_mut().cut_after(at, at * 31);
            play(&mut world, uploaded);
            assert_eq!(world.cuts_fired, 1, "the cut at {at} did not fire");
            check(&world);
        }
        println!("{loader:?} bootloader: {operations} cuts fired, 0 bricks");
    }
}

#[test]
fn a_signed_upload_survives_every_power_cut() {
    cut_everywhere(&files(), |world| {
        assert_eq!(world.running, NEW_VERSION);
        assert_eq!(world.saved().release_counter, 5);
        let known = |it: &String| it == FIRST_VERSION || it == NEW_VERSION;
        assert!(world.booted.iter().all(known), "{:?}", world.booted);
    });
}

#[test]
fn an_altered_image_is_never_booted_wherever_the_power_is_cut() {
    let altered = Files {
        firmware: image_of("6.6.6", IMAGE_BYTES),
        ..files()
    };
    cut_everywhere(&altered, |world| {
        let is_first = |it: &String| it == FIRST_VERSION;
        assert!(world.booted.iter().all(is_first), "{:?}", world.booted);
        assert_ne!(slot(world)[0], 0xE9, "it is bootable");
    });
}
