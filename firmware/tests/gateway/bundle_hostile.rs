//! A server, a broker and a network that are all in an attacker's hands. It has every bundle that was
//! ever signed, and may answer what it likes whenever it likes: nothing boots that was not signed for
//! this gateway, and nothing older than what has proven itself.
//!
//! `AIRLIFT_SEED=n` plays one run again, `AIRLIFT_RUNS=n` plays more of them.

use std::{
    env,
    hash::{BuildHasher, Hasher, RandomState},
    panic,
};

use crate::world::*;
use airlift_bundle::Manifest;
use airlift_firmware::Event;
use airlift_proto::UpgradeData;
use airlift_simflash::{Kind as Loader, Random};

const RUNS: u64 = 5_000;
const DEEDS_MAX: usize = 150;
/// Orders of one run, at most.
const ORDERS_MAX: usize = 5;
const IMAGE_BYTES: usize = 6_000 / 16 * 16;

/// What was ever signed, and what never was.
struct Signed {
    version: &'static str,
    release_counter: u64,
    by_stranger: bool,
    change: fn(&mut Manifest),
    /// It may run on this gateway.
    is_for_us: bool,
}

const fn signed(version: &'static str, release_counter: u64) -> Signed {
    Signed {
        version,
        release_counter,
        by_stranger: false,
        change: |_| {},
        is_for_us: true,
    }
}

const EVER: [Signed; 7] = [
    signed("2.0.0", 5),
    signed("2.1.0", 6),
    signed("2.2.0", 7),
    Signed {
        is_for_us: false,
        change: |manifest| manifest.target = "esp32-wroom".into(),
        ..signed("6.0.0", 8)
    },
    Signed {
        is_for_us: false,
        change: |manifest| manifest.expires_at = Some(SENT_AT - 1),
        ..signed("7.0.0", 9)
    },
    Signed {
        is_for_us: false,
        change: |manifest| manifest.min_version = Some("6.5.0".into()),
        ..signed("8.0.0", 10)
    },
    Signed {
        is_for_us: false,
        by_stranger: true,
        ..signed("9.0.0", 11)
    },
];

/// The attacker's own image, which nobody signed.
const EVIL: &str = "66.6.6";

struct Attacker {
    manifests: Vec<Vec<u8>>,
    signatures: Vec<Vec<u8>>,
    /// How often each trick was played.
    tricks: [u64; TRICKS],
    installed: u64,
}

const TRICKS: usize = 8;

impl Attacker {
    fn new() -> Self {
        let stranger = Signer::new("stranger", 9);
        let mut attacker = Attacker {
            manifests: Vec::new(),
            signatures: Vec::new(),
            tricks: [0; TRICKS],
            installed: 0,
        };
        for one in &EVER {
            let image = image_of(one.version, IMAGE_BYTES);
            let mut manifest = manifest(one.version, one.release_counter, &image);
            (one.change)(&mut manifest);
            let bytes = manifest.to_json();
            let signature = match one.by_stranger {
                true => stranger.sign(&bytes),
                false => release_key().sign(&bytes),
            };
            attacker.manifests.push(bytes);
            attacker.signatures.push(signature);
        }
        // What it makes of them: its own image under a good signature.
        let evil = manifest("2.0.0", 5, &image_of(EVIL, IMAGE_BYTES)).to_json();
        attacker.signatures.push(stranger.sign(&evil));
        attacker.manifests.push(evil);
        attacker
    }

    /// Chooses what the server has under an order's names.
    fn answer(&mut self, world: &mut World, random: &mut Random, msg_id: &str, one: usize) {
        let other = random.below(self.manifests.len());
        let mut manifest = Document::new(self.manifests[one].clone());
        let mut signature = Document::new(self.signatures[one].clone());
        // Whoever always lies is soon found out.
        let trick = match random.below(2) {
            0 => 0,
            _ => random.below(TRICKS),
        };
        self.tricks[trick] += 1;
        match trick {
            0 | 1 => {}
            2 => signature = Document::new(self.signatures[other].clone()),
            3 => flip(&mut manifest.bytes, random),
            4 => flip(&mut signature.bytes, random),
            5 => shorten(&mut manifest, random),
            6 => shorten(&mut signature, random),
            _ => {
                // Both signatures in one file.
                signature =
                    Document::new([&self.signatures[one][..], &self.signatures[other]].concat());
            }
        }
        world.documents.insert(manifest_name(msg_id), manifest);
        world.documents.insert(signature_name(msg_id), signature);
        // And behind the part's URL.
        let versions = EVER.iter().map(|one| one.version).chain([EVIL]);
        let versions: Vec<&str> = versions.collect();
        let version = match random.below(6) {
            0 => versions[random.below(versions.len())],
            _ => version_of(&self.manifests[one]).unwrap_or(EVIL),
        };
        let file = File {
            kind: FileKind::Good,
            version: version.into(),
            bytes: IMAGE_BYTES,
        };
        world.files.insert(msg_id.into(), file);
    }

    /// A command that wants what it likes, mostly what it wants alike.
    fn order(&mut self, world: &mut World, random: &mut Random) {
        let msg_id = format!("m{}", random.below(ORDERS_MAX));
        let at = random.below(EVER.len() + 1);
        let one = match random.below(4) {
            0 => random.below(self.manifests.len()),
            _ => at,
        };
        let (name, image) = match EVER.get(at) {
            Some(one) => (one.version, one.version),
            None => ("2.0.0", EVIL),
        };
        let name = match random.below(8) {
            0 => "2.2.0",
            _ => name,
        };
        let mut data = upgrade_data(&msg_id, name, &image_of(image, IMAGE_BYTES));
        if random.below(10) > 0 {
            bundle(&mut data, &msg_id);
        }
        self.spoil(&mut data, random);
        self.answer(world, random, &msg_id, one);
        world.happens(Event::Message(&upgrade(data)));
    }

    fn spoil(&self, data: &mut UpgradeData, random: &mut Random) {
        data.force_upgrade = random.below(3) == 0;
        match random.below(16) {
            0 => data.sha256 = None,
            1 => data.signature_url.clone_from(&data.manifest_url),
            2 => data.signature_url = None,
            3 => data.file_size -= 16,
            _ => {}
        }
    }
}

/// The version of the image that a manifest of the pool is about.
fn version_of(manifest: &[u8]) -> Option<&'static str> {
    let manifest: Manifest = serde_json::from_slice(manifest).ok()?;
    let one = EVER.iter().find(|one| one.version == manifest.version)?;
    Some(one.version)
}

fn flip(bytes: &mut [u8], random: &mut Random) {
    let at = random.below(bytes.len());
    bytes[at] ^= 1 << random.below(8);
}

fn shorten(document: &mut Document, random: &mut Random) {
    let length = random.below(document.bytes.len());
    document.bytes.truncate(length);
    document.breaks = random.below(2) == 0;
    if random.below(2) == 0 {
        document.total = Some(length as u64);
    }
}

fn deed(world: &mut World, attacker: &mut Attacker, random: &mut Random) {
    match random.below(20) {
        0 if world.connected => attacker.order(world, random),
        1 if random.below(2) == 0 => {
            // Between two answers.
            let msg_id = format!("m{}", random.below(ORDERS_MAX));
            let one = random.below(attacker.manifests.len());
            attacker.answer(world, random, &msg_id, one);
        }
        2..=4 => world.connect(),
        5..=6 => world.ack_all(),
        7..=9 => world.answer(random.below(4) > 0),
        10..=14 => world.serve(1 + random.below(4_000)),
        15 => world.cut_download(),
        16 => world.work(),
        17 => world.wait(random.below(90_000) as u64),
        18 if random.below(4) == 0 => {
            let (after, seed) = (1 + random.below(60) as u64, random.bits());
            world.flash.sim.borrow_mut().cut_after(after, seed);
        }
        19 if random.below(4) == 0 => world.power_cut(),
        _ => {}
    }
}

/// Nothing booted that was not signed for this gateway.
fn check(world: &World) {
    for version in &world.booted {
        let is_ours = |one: &Signed| one.is_for_us && one.version == version;
        assert!(
            version == FIRST_VERSION || EVER.iter().any(is_ours),
            "{version} was never signed for this gateway: {:?}",
            world.notices
        );
    }
}

fn run(seed: u64, attacker: &mut Attacker) {
    let mut random = Random::new(seed);
    let mut world = World::with([Loader::Stock, Loader::Rollback][random.below(2)], false);
    world.trust();
    world.files_are_honest = false;
    world.image_bytes = IMAGE_BYTES;
    for version in EVER.iter().map(|one| one.version).chain([EVIL]) {
        world.know(version);
    }
    for number in 0..ORDERS_MAX {
        attacker.answer(&mut world, &mut random, &format!("m{number}"), number);
    }
    world.start();
    world.connect();
    let mut newest = 0;
    for _ in 0..1 + random.below(DEEDS_MAX) {
        deed(&mut world, attacker, &mut random);
        check(&world);
        let proven = world.saved().release_counter;
        assert!(proven >= newest, "{proven} after {newest}");
        newest = proven;
    }
    world.settle();
    world.flash.sim.borrow_mut().cancel_cut();
    world.settle();
    check(&world);
    let counter_of = |version: &str| {
        let one = EVER.iter().find(|one| one.version == version);
        one.map_or(0, |one| one.release_counter)
    };
    let running = counter_of(&world.running);
    assert!(running >= newest, "release {running} after {newest}");
    attacker.installed += u64::from(world.running != FIRST_VERSION);
}

#[test]
fn whatever_a_hostile_server_answers_nothing_boots_that_was_not_signed() {
    let number = |name: &str| {
        env::var(name)
            .ok()
            .map(|value| value.parse::<u64>().unwrap())
    };
    let mut attacker = Attacker::new();
    if let Some(seed) = number("AIRLIFT_SEED") {
        return run(seed, &mut attacker);
    }
    let runs = number("AIRLIFT_RUNS").unwrap_or(RUNS);
    let first = RandomState::new().build_hasher().finish();
    for seed in (0..runs).map(|run| first.wrapping_add(run)) {
        let played = panic::catch_unwind(panic::AssertUnwindSafe(|| run(seed, &mut attacker)));
        if played.is_err() {
            panic!("AIRLIFT_SEED={seed} plays this run again");
        }
    }
    let Attacker {
        tricks, installed, ..
    } = attacker;
    println!(
        "{runs} runs from seed {first}: tricks {tricks:?}; {installed} ended with a signed release"
    );
    assert!(tricks.into_iter().all(|played| played > runs / 10));
    assert!(installed > runs / 50, "a gateway that never updates");
}
