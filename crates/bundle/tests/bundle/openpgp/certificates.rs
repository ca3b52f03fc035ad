//! What a key's owner says of it: its end, its revocation, its subkeys.

use std::fs;

use airlift_bundle::{Refusal, TrustedKey};
use airlift_testkit::Gpg;
use pgp::{
    composed::{
        ArmorOptions, KeyType, SecretKeyParamsBuilder, SignedPublicSubKey, SignedSecretKey,
    },
    packet::{KeyFlags, PubKeyInner, PublicSubkey, SecretSubkey, Signature},
    types::{KeyDetails as _, KeyVersion, Password},
};
use rand::rngs::OsRng;

use super::parts::{Folder, MANIFEST, check, dearmor};

/// What server and device say to a signature, with this key trusted.
fn answer(key: &[u8], signature: &[u8]) -> Result<(), (Refusal, String)> {
    let folder = Folder::new(&[("release.asc", key)]);
    let server = folder.verify(signature, MANIFEST);
    let told = folder.read().expect("trusted keys").for_devices();
    let device = check(signature, &told, MANIFEST);
    assert_eq!(
        device.map(|signed| signed.signed_at),
        server
            .as_ref()
            .map(|signer| signer.signed_at)
            .map_err(|error| error.refusal)
    );
    server
        .map(drop)
        .map_err(|error| (error.refusal, error.message))
}

fn untrusted(key: &[u8], signature: &[u8], says: &str) {
    let (refusal, message) = answer(key, signature).expect_err(says);
    assert_eq!(refusal, Refusal::UntrustedKey, "{message}");
    assert!(
        message.contains("release") && message.contains(says),
        "{message}"
    );
}

fn told(key: &[u8]) -> Vec<TrustedKey> {
    let folder = Folder::new(&[("release.asc", key)]);
    folder.read().expect("trusted keys").for_devices()
}

/// Signs at this time, whatever gpg thinks of it.
fn sign_at(gpg: &mut Gpg, time: &str, name: &str) -> Vec<u8> {
    gpg.set_time(Some(time));
    let signature = gpg.sign_with(&["--armor", "--ignore-time-conflict"], &[name], MANIFEST);
    signature.expect("signed")
}

#[test]
fn a_signature_counts_if_its_key_was_valid_when_it_was_made() {
    let mut gpg = Gpg::new().expect("gpg");
    gpg.set_time(Some("20240201T000000"));
    let name = gpg.generate("release", "ed25519", "never").expect("a key");
    let endless = gpg.export(&name).expect("exported");
    let early = sign_at(&mut gpg, "20240101T000000", &name);
    let good = sign_at(&mut gpg, "20240301T000000", &name);
    let late = sign_at(&mut gpg, "20240601T000000", &name);
    gpg.set_time(Some("20240302T000000"));
    gpg.run(&["--quick-set-expire", &name, "30d"], &[])
        .expect("it ends");
    let ends = gpg.export(&name).expect("exported");
    assert_ne!(ends, endless);
    for key in [&endless, &ends] {
        assert_eq!(answer(key, &good), Ok(()));
        untrusted(key, &early, "not valid yet");
    }
    assert_eq!(answer(&endless, &late), Ok(()));
    untrusted(&ends, &late, "expired");
    let told = told(&ends);
    assert_eq!(told[0].valid_from, 1_706_745_600);
    // 30 days after it was told to end, though gpg may round to a day.
    let until = told[0].valid_until.expect("an end");
    assert!(
        (until - (1_709_337_600 + 30 * 86_400)).abs() <= 86_400,
        "{until}"
    );
}

#[test]
fn a_key_that_its_owner_revokes_signs_nothing_any_more() {
    let gpg = Gpg::new().expect("gpg");
    let name = gpg.generate("release", "ed25519", "never").expect("a key");
    let before = gpg.export(&name).expect("exported");
    let signature = gpg.sign(&[&name], MANIFEST).expect("signed");
    assert_eq!(answer(&before, &signature), Ok(()));
    // gpg makes one with each key, with a colon so that nobody imports it by mistake.
    let file = gpg.home().join(format!("openpgp-revocs.d/{name}.rev"));
    let revocation = fs::read_to_string(file)
        .expect("a revocation")
        .replace(":---", "---");
    gpg.run(&["--import"], revocation.as_bytes())
        .expect("revoked");
    let revoked = gpg.export(&name).expect("exported");
    untrusted(&revoked, &signature, "revoked");
    assert_eq!(told(&revoked), []);
    let folder = Folder::new(&[("release.asc", &revoked)]);
    assert!(folder.read().expect("a key").keys()[0].is_revoked);
}

#[test]
fn with_a_key_its_subkeys_are_revoked() {
    let gpg = Gpg::new().expect("gpg");
    let name = gpg.generate("release", "ed25519", "never").expect("a key");
    gpg.add_subkey(&name, "ed25519", "never").expect("a subkey");
    let signature = gpg.sign(&[&name], MANIFEST).expect("signed");
    assert_eq!(
        answer(&gpg.export(&name).expect("exported"), &signature),
        Ok(())
    );
    let file = gpg.home().join(format!("openpgp-revocs.d/{name}.rev"));
    let revocation = fs::read_to_string(file)
        .expect("a revocation")
        .replace(":---", "---");
    gpg.run(&["--import"], revocation.as_bytes())
        .expect("revoked");
    let revoked = gpg.export(&name).expect("exported");
    untrusted(&revoked, &signature, "revoked");
    assert_eq!(told(&revoked), []);
}

#[test]
fn a_key_that_only_certifies_signs_by_its_subkey_alone() {
    let gpg = Gpg::new().expect("gpg");
    let key = ["release", "ed25519", "cert", "never"];
    let name = gpg.generate_with(&[], key).expect("a key");
    let export = gpg.export(&name).expect("exported");
    let error = Folder::new(&[("a.asc", &export)])
        .read()
        .expect_err("nothing signs")
        .to_string();
    assert!(
        error.contains("a.asc") && error.contains("signs"),
        "{error}"
    );
    let subkey = gpg.add_subkey(&name, "ed25519", "never").expect("a subkey");
    let told = told(&gpg.export(&name).expect("exported"));
    let told: Vec<_> = told
        .iter()
        .map(|key| hex::encode_upper(key.fingerprint))
        .collect();
    assert_eq!(told, [subkey]);
}

#[test]
fn a_key_that_vouches_for_itself_over_sha1_is_not_trusted() {
    let gpg = Gpg::new().expect("gpg");
    let weak = ["--allow-weak-digest-algos", "--cert-digest-algo", "SHA1"];
    let key = ["release", "ed25519", "sign,cert", "never"];
    let name = gpg.generate_with(&weak, key).expect("a key");
    let export = gpg.export(&name).expect("exported");
    let error = Folder::new(&[("a.asc", &export)])
        .read()
        .expect_err("SHA-1")
        .to_string();
    assert!(error.contains("SHA-256 or better"), "{error}");
}

/// A new Ed25519 key, and what of it is public.
fn make() -> SignedSecretKey {
    let key = SecretKeyParamsBuilder::default()
        .version(KeyVersion::V4)
        .key_type(KeyType::Ed25519Legacy)
        .can_sign(true)
        .can_certify(true)
        .primary_user_id("release".to_owned())
        .build();
    key.expect("parameters").generate(OsRng).expect("a key")
}

#[test]
fn a_subkey_signs_if_key_and_subkey_both_say_so() {
    let [mine, thief] = [make(), make()];
    let (public, secret) = KeyType::Ed25519Legacy.generate(OsRng).expect("a subkey");
    let algorithm = KeyType::Ed25519Legacy.to_alg();
    let created = mine.primary_key.created_at();
    let inner = PubKeyInner::new(KeyVersion::V4, algorithm, created, None, public);
    let public = PublicSubkey::from_inner(inner.expect("a subkey")).expect("a subkey");
    let subkey = SecretSubkey::new(public, secret).expect("a subkey");
    let none = Password::empty();
    let my_public = mine.primary_key.public_key();
    let consent = |to: &SignedSecretKey| {
        let to = to.primary_key.public_key();
        subkey
            .sign_primary_key_binding(OsRng, &to, &none)
            .expect("signed")
    };
    // Signed by `by`, as a binding to my key.
    let trusts = |by: &SignedSecretKey, signs: bool, consent: Option<Signature>| {
        let mut flags = KeyFlags::default();
        flags.set_sign(signs);
        flags.set_authentication(!signs);
        let by = &by.primary_key;
        let binding = subkey
            .sign(OsRng, by, my_public, &none, flags, consent)
            .expect("signed");
        let mut key = mine.to_public_key();
        let public = subkey.public_key().clone();
        key.public_subkeys = vec![SignedPublicSubKey::new(public, vec![binding])];
        let told = told(
            &key.to_armored_bytes(ArmorOptions::default())
                .expect("armored"),
        );
        told.len() == 2
    };
    assert!(trusts(&mine, true, Some(consent(&mine))));
    // A key must not call another's subkey its own, nor a subkey join a key by itself.
    assert!(!trusts(&mine, true, None));
    assert!(!trusts(&mine, true, Some(consent(&thief))));
    assert!(!trusts(&thief, true, Some(consent(&mine))));
    assert!(!trusts(&mine, false, Some(consent(&mine))));
}

#[test]
fn a_key_that_is_only_retired_keeps_what_it_had_signed() {
    let mut gpg = Gpg::new().expect("gpg");
    gpg.set_time(Some("20240101T000000"));
    let name = gpg.generate("release", "ed25519", "never").expect("a key");
    let before = sign_at(&mut gpg, "20240201T000000", &name);
    let after = sign_at(&mut gpg, "20240401T000000", &name);
    gpg.set_time(Some("20240301T000000"));
    let arguments = [
        "--no-batch",
        "--command-fd",
        "0",
        "--armor",
        "--gen-revoke",
        &name,
    ];
    let revocation = gpg.run(&arguments, b"y\n3\n\ny\n").expect("a revocation");
    gpg.run(&["--import"], &revocation).expect("revoked");
    let retired = gpg.export(&name).expect("exported");
    assert_eq!(answer(&retired, &before), Ok(()));
    untrusted(&retired, &after, "revoked");
    assert_eq!(told(&retired)[0].valid_until, Some(1_709_251_200));
}

#[test]
fn a_subkey_ends_by_itself_or_with_its_key() {
    let mut gpg = Gpg::new().expect("gpg");
    gpg.set_time(Some("20240101T000000"));
    let name = gpg.generate("release", "ed25519", "never").expect("a key");
    let subkey = gpg.add_subkey(&name, "ed25519", "never").expect("a subkey");
    let good = sign_at(&mut gpg, "20240110T000000", &format!("{subkey}!"));
    let late = sign_at(&mut gpg, "20240601T000000", &format!("{subkey}!"));
    gpg.set_time(Some("20240111T000000"));
    gpg.run(&["--quick-set-expire", &name, "30d", &subkey], &[])
        .expect("the subkey ends");
    let export = gpg.export(&name).expect("exported");
    assert_eq!(answer(&export, &good), Ok(()));
    untrusted(&export, &late, "expired");
    gpg.run(&["--quick-set-expire", &name, "seconds=1"], &[])
        .expect("the key ends");
    let export = gpg.export(&name).expect("exported");
    let ends: Vec<_> = told(&export).iter().map(|key| key.valid_until).collect();
    // Key and subkey: within a day, though the subkey alone would sign on.
    assert_eq!(ends.len(), 2);
    assert!(
        ends.iter()
            .all(|end| end.is_some_and(|end| end < 1_704_931_200 + 86_400)),
        "{ends:?}"
    );
}

#[test]
fn a_revoked_subkey_signs_nothing_while_its_key_does() {
    let gpg = Gpg::new().expect("gpg");
    let name = gpg.generate("release", "ed25519", "never").expect("a key");
    let subkey = gpg.add_subkey(&name, "ed25519", "never").expect("a subkey");
    let by_subkey = gpg
        .sign(&[&format!("{subkey}!")], MANIFEST)
        .expect("signed");
    let by_key = gpg.sign(&[&format!("{name}!")], MANIFEST).expect("signed");
    let arguments = ["--no-batch", "--command-fd", "0", "--edit-key", &name];
    let answers = b"key 1\nrevkey\ny\n1\n\ny\nsave\n";
    gpg.run(&arguments, answers).expect("revoked");
    let export = gpg.export(&name).expect("exported");
    untrusted(&export, &by_subkey, "revoked");
    assert_eq!(answer(&export, &by_key), Ok(()));
}

#[test]
fn nobody_elses_subkey_and_none_without_consent_becomes_part_of_a_trusted_key() {
    let gpg = Gpg::new().expect("gpg");
    let mine = gpg.generate("mine", "ed25519", "never").expect("a key");
    let other = gpg.generate("other", "ed25519", "never").expect("a key");
    gpg.add_subkey(&other, "ed25519", "never")
        .expect("a subkey");
    let signature = gpg.sign(&[&other], MANIFEST).expect("signed");
    let export = gpg.run(&["--export", &other], &[]).expect("exported");
    assert_eq!(answer(&export, &signature), Ok(()));
    // An old-format packet of a public subkey, with all that follows.
    let at = export
        .windows(3)
        .position(|three| three == [0xB8, 0x33, 0x04])
        .expect("a subkey");
    let mine = gpg.run(&["--export", &mine], &[]).expect("exported");
    let grafted = [&mine[..], &export[at..]].concat();
    let (refusal, _) = answer(&grafted, &signature).expect_err("grafted");
    assert_eq!(refusal, Refusal::UntrustedKey);
    assert_eq!(told(&grafted).len(), 1);
    // Each octet of the key is vouched for, by itself or by its digest in a signature.
    for at in 0..export.len() {
        let mut altered = export.clone();
        altered[at] ^= 0x10;
        let folder = Folder::new(&[("release.gpg", &altered)]);
        if let Ok(keys) = folder.read() {
            let known = told(&export);
            let told = keys.for_devices();
            assert!(told.iter().all(|key| known.contains(key)), "octet {at}");
        }
    }
}

#[test]
fn a_key_without_user_id_or_own_signature_is_none() {
    let gpg = Gpg::new().expect("gpg");
    let name = gpg.generate("release", "ed25519", "never").expect("a key");
    let export = dearmor(&gpg.export(&name).expect("exported"));
    let key_alone = &export[..2 + usize::from(export[1])];
    let error = Folder::new(&[("a.gpg", key_alone)])
        .read()
        .expect_err("bare")
        .to_string();
    assert!(
        error.contains("a.gpg") && error.contains("no valid signature of its own"),
        "{error}"
    );
}
