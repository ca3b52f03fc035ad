//! Device and server judge alike what both can judge.

use airlift_bundle::{Refusal, TrustedKey};
use airlift_testkit::Gpg;
use proptest::prelude::*;

use super::parts::{Folder, MANIFEST, check, dearmor, now};

/// Files of signatures by Ed25519 keys, and both sides with those keys.
struct Sides {
    signatures: Vec<Vec<u8>>,
    devices: Vec<TrustedKey>,
    server: airlift_bundle::keys::TrustedKeys,
    _folder: Folder,
}

fn sides() -> Sides {
    let gpg = Gpg::new().expect("gpg");
    let make = |name: &str| gpg.generate(name, "ed25519", "never").expect("a key");
    let [one, two, three, stranger] = ["one", "two", "three", "stranger"].map(make);
    gpg.add_subkey(&two, "ed25519", "never").expect("a subkey");
    let export = |name: &str| gpg.export(name).expect("exported");
    let folder = Folder::new(&[
        ("one.asc", &export(&one)),
        ("two.asc", &export(&two)),
        ("three.asc", &export(&three)),
    ]);
    let notation = ["--armor", "--sig-notation", "a@example.com=b"];
    let sign = |names: &[&str]| gpg.sign(names, MANIFEST).expect("signed");
    let armored = [
        sign(&[&one]),
        sign(&[&two]),
        sign(&[&stranger, &three]),
        sign(&[&stranger]),
        gpg.sign_with(&notation, &[&one], MANIFEST).expect("signed"),
        [sign(&[&one]), sign(&[&two])].concat(),
    ];
    let binary = armored[..3].iter().map(|armored| dearmor(armored));
    let server = folder.read().expect("trusted keys");
    Sides {
        signatures: binary.chain(armored.iter().cloned()).collect(),
        devices: server.for_devices(),
        server,
        _folder: folder,
    }
}

type Answer = Result<([u8; 20], i64), Refusal>;

impl Sides {
    fn answers(&self, file: &[u8], manifest: &[u8]) -> (Answer, Answer) {
        let device = check(file, &self.devices, manifest);
        let device = device.map(|signed| (self.devices[signed.key].fingerprint, signed.signed_at));
        let server = self.server.verify(manifest, file, now());
        let server = server.map(|signer| {
            let fingerprint = hex::decode(signer.fingerprint).expect("hex");
            (fingerprint.try_into().expect("20 octets"), signer.signed_at)
        });
        (device, server.map_err(|error| error.refusal))
    }
}

#[test]
fn device_and_server_agree_on_every_signature_with_one_bit_flipped_or_its_end_cut_off() {
    let sides = sides();
    assert_eq!(sides.devices.len(), 4);
    let mut accepted = 0;
    for file in &sides.signatures {
        let (device, server) = sides.answers(file, MANIFEST);
        assert_eq!(device, server);
        for bit in 0..file.len() * 8 {
            let mut flipped = file.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            let (device, server) = sides.answers(&flipped, MANIFEST);
            assert_eq!(device, server, "bit {bit} of {file:02x?}");
            accepted += u32::from(device.is_ok());
        }
        for end in 0..file.len() {
            let (device, server) = sides.answers(&file[..end], MANIFEST);
            assert_eq!(device, server, "{end} octets of {file:02x?}");
        }
    }
    // Bits that are not signed: of other signers, of the armor's head, of what helps to find a key.
    assert!(accepted > 100, "{accepted}");
}

#[test]
fn device_and_server_agree_on_mutations() {
    let sides = sides();
    let edit = (any::<prop::sample::Index>(), 0..5_u8, any::<u8>());
    let edits = prop::collection::vec(edit, 1..5);
    let config = ProptestConfig {
        cases: 4_000,
        failure_persistence: None,
        ..ProptestConfig::default()
    };
    let rng = proptest::test_runner::TestRng::deterministic_rng(Default::default());
    let mut runner = proptest::test_runner::TestRunner::new_with_rng(config, rng);
    let file = any::<prop::sample::Index>();
    runner
        .run(&(file, edits), |(file, edits)| {
            let mut file = file.get(&sides.signatures).clone();
            for (place, how, octet) in edits {
                let at = place.index(file.len() + 1);
                match how {
                    0 => file.insert(at, octet),
                    1 => file.truncate(at),
                    2 if at < file.len() => drop(file.remove(at)),
                    3 if at < file.len() => file[at] = file[at].wrapping_add(1),
                    _ if at < file.len() => file[at] = octet,
                    _ => {}
                }
            }
            let (device, server) = sides.answers(&file, MANIFEST);
            prop_assert_eq!(device, server);
            let (device, server) = sides.answers(&file, &MANIFEST[1..]);
            prop_assert!(device.is_err() && device == server);
            Ok(())
        })
        .expect("both sides agree");
}
