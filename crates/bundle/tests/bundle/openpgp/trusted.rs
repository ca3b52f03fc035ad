//! Whom the server trusts, and what it refuses.

use airlift_bundle::{Refusal, keys::TrustedKeys};
use airlift_testkit::Gpg;

use super::parts::{Folder, MANIFEST, check, dearmor, now, trusted};

fn key(gpg: &Gpg, name: &str, algorithm: &str) -> String {
    gpg.generate(name, algorithm, "never").expect("a key")
}

#[test]
fn ed25519_and_rsa_keys_are_read_from_a_folder_armored_or_binary_and_their_signatures_are_good() {
    let gpg = Gpg::new().expect("gpg");
    let ed25519 = key(&gpg, "Ed <ed@example.com>", "ed25519");
    let rsa = key(&gpg, "Rsa <rsa@example.com>", "rsa3072");
    let armored = gpg.export(&ed25519).expect("exported");
    let binary = gpg.run(&["--export", &rsa], &[]).expect("exported");
    let folder = Folder::new(&[
        ("2026.asc", &armored),
        ("2025.gpg", &binary),
        ("README.md", b"Not a key."),
        (".hidden", b"Not a key."),
    ]);
    let keys = folder.read().expect("trusted keys");
    let told: Vec<_> = keys.keys().iter().map(|key| key.name.as_str()).collect();
    assert_eq!(told, ["2025", "2026"]);
    let [first, second] = keys.keys() else {
        panic!("two keys")
    };
    assert_eq!(first.algorithm, "RSA 3072");
    assert_eq!(first.fingerprint, rsa);
    assert_eq!(second.algorithm, "Ed25519");
    assert_eq!(second.fingerprint, ed25519);
    assert_eq!(second.user_id, "Ed <ed@example.com>");
    assert!((now() - second.created_at).abs() < 60);
    assert!(second.expires_at.is_none() && !second.is_revoked);
    for (name, fingerprint) in [("2025", &rsa), ("2026", &ed25519)] {
        for form in [&["--armor"][..], &[]] {
            let signature = gpg
                .sign_with(form, &[fingerprint], MANIFEST)
                .expect("signed");
            let signer = folder.verify(&signature, MANIFEST).expect("good");
            assert_eq!(
                (signer.name.as_str(), &signer.fingerprint),
                (name, fingerprint)
            );
            let error = folder
                .verify(&signature, &MANIFEST[1..])
                .expect_err("altered");
            assert_eq!(error.refusal, Refusal::BadSignature);
            assert!(error.message.contains(name), "{error}");
        }
    }
}

#[test]
fn devices_are_told_of_ed25519_keys_and_subkeys_alone() {
    let gpg = Gpg::new().expect("gpg");
    let ed25519 = key(&gpg, "ed", "ed25519");
    let rsa = key(&gpg, "rsa", "rsa3072");
    let subkey = gpg.add_subkey(&rsa, "ed25519", "never").expect("a subkey");
    let export = |name: &str| gpg.export(name).expect("exported");
    let folder = Folder::new(&[("ed.asc", &export(&ed25519)), ("rsa.key", &export(&rsa))]);
    let told = folder.read().expect("trusted keys").for_devices();
    assert_eq!(told.len(), 2);
    for (told, (name, fingerprint)) in told.iter().zip([("ed", &ed25519), ("rsa", &subkey)]) {
        let seen = trusted(&gpg, fingerprint);
        assert_eq!(told.name, name);
        assert_eq!(told.public_key, seen.public_key);
        assert_eq!(told.fingerprint, seen.fingerprint);
        assert!(told.valid_until.is_none() && (now() - told.valid_from).abs() < 60);
    }
    // gpg signs with the subkey.
    let signature = gpg.sign(&[&rsa], MANIFEST).expect("signed");
    assert!(check(&signature, &told, MANIFEST).is_ok());
    let signer = folder.verify(&signature, MANIFEST).expect("good");
    assert_eq!((signer.name.as_str(), signer.fingerprint), ("rsa", subkey));
}

#[test]
fn of_two_signers_one_who_is_trusted_is_enough() {
    let gpg = Gpg::new().expect("gpg");
    let [old, new] = [key(&gpg, "old", "ed25519"), key(&gpg, "new", "rsa3072")];
    let both = gpg.sign(&[&old, &new], MANIFEST).expect("signed");
    for name in [&old, &new] {
        let folder = Folder::new(&[("release.asc", &gpg.export(name).expect("exported"))]);
        let signer = folder.verify(&both, MANIFEST).expect("good");
        assert_eq!(&signer.fingerprint, name);
    }
    let stranger = Folder::new(&[]);
    let error = stranger
        .verify(&both, MANIFEST)
        .expect_err("nobody is trusted");
    assert_eq!(error.refusal, Refusal::UntrustedKey);
    assert!(
        error.message.contains(&old) && error.message.contains(&new),
        "{error}"
    );
    assert!(stranger.read().expect("no keys").is_empty());
    let error = stranger.verify(b"\n", MANIFEST).expect_err("unsigned");
    assert_eq!(error.refusal, Refusal::Unsigned);
    let error = stranger
        .verify(&both[..99], MANIFEST)
        .expect_err("truncated");
    assert_eq!(error.refusal, Refusal::BadSignature);
    let error = stranger
        .verify(&both.repeat(9), MANIFEST)
        .expect_err("long");
    assert_eq!(error.refusal, Refusal::TooLarge);
}

#[test]
fn a_signature_over_a_weak_digest_or_one_that_devices_do_not_know_is_refused() {
    let gpg = Gpg::new().expect("gpg");
    let [ed25519, rsa] = [key(&gpg, "ed", "ed25519"), key(&gpg, "rsa", "rsa3072")];
    let export = |name: &str| gpg.export(name).expect("exported");
    let folder = Folder::new(&[("ed.asc", &export(&ed25519)), ("rsa.asc", &export(&rsa))]);
    let answer = |name: &str, hash: &str| {
        let arguments = ["--armor", "--digest-algo", hash];
        let signature = gpg
            .sign_with(&arguments, &[name], MANIFEST)
            .expect("signed");
        let answer = folder.verify(&signature, MANIFEST);
        answer.map(drop).map_err(|error| error.refusal)
    };
    for good in ["SHA256", "SHA384", "SHA512"] {
        assert_eq!(answer(&rsa, good), Ok(()), "{good}");
    }
    for bad in ["SHA1", "SHA224", "RIPEMD160"] {
        assert_eq!(answer(&rsa, bad), Err(Refusal::BadSignature), "{bad}");
    }
    assert_eq!(answer(&ed25519, "SHA384"), Err(Refusal::BadSignature));
}

#[test]
fn a_signature_from_the_future_is_refused() {
    let gpg = Gpg::new().expect("gpg");
    let name = key(&gpg, "ed", "ed25519");
    let folder = Folder::new(&[("ed.asc", &gpg.export(&name).expect("exported"))]);
    let keys = folder.read().expect("trusted keys");
    let signature = gpg.sign(&[&name], MANIFEST).expect("signed");
    let at = |now| keys.verify(MANIFEST, &signature, now);
    let signed_at = at(now()).expect("good").signed_at;
    assert!(at(signed_at - 600).is_ok());
    let error = at(signed_at - 601).expect_err("the future");
    assert_eq!(error.refusal, Refusal::BadSignature);
    assert!(error.message.contains("clock"), "{error}");
}

#[test]
fn a_secret_key_among_the_trusted_is_refused_with_advice_and_without_what_it_holds() {
    let gpg = Gpg::new().expect("gpg");
    let name = key(&gpg, "Ed <ed@example.com>", "ed25519");
    let secret = gpg
        .run(&["--armor", "--export-secret-keys", &name], &[])
        .expect("exported");
    let mut public_and_secret = gpg.export(&name).expect("exported");
    let binary = dearmor(&secret);
    public_and_secret.extend_from_slice(&secret);
    for (file, bytes) in [
        ("release.asc", &secret),
        ("release.gpg", &binary),
        ("release.key", &public_and_secret),
    ] {
        let error = Folder::new(&[(file, bytes)]).read().expect_err("secret");
        let message = error.to_string();
        assert!(message.contains(file), "{message}");
        assert!(message.contains("secret") && message.contains("gpg --armor --export"));
        let lines = str::from_utf8(&secret).expect("text").lines();
        for line in lines.filter(|line| line.len() > 8) {
            assert!(!message.contains(line), "{message}");
        }
        assert!(!message.contains("example.com"), "{message}");
    }
}

#[test]
fn a_file_that_is_no_key_to_trust_is_an_error_that_names_it() {
    let gpg = Gpg::new().expect("gpg");
    let [one, two] = [key(&gpg, "one", "ed25519"), key(&gpg, "two", "ed25519")];
    let weak = key(&gpg, "weak", "rsa1024");
    let other = key(&gpg, "nist", "nistp256");
    let export = |name: &str| gpg.export(name).expect("exported");
    let both = gpg
        .run(&["--armor", "--export", &one, &two], &[])
        .expect("exported");
    let joined = [export(&one), export(&two)].concat();
    let one_key = export(&one);
    let long = "k".repeat(33) + ".asc";
    let (start, end) = one_key.split_at(one_key.len() / 2);
    let huge = [&one_key[..], &[b'\n'; 70_000]].concat();
    let signature = gpg.sign(&[&one], MANIFEST).expect("signed");
    for (file, bytes, says) in [
        ("a.asc", &b"no key"[..], "public key"),
        ("a.key", b"", "public key"),
        ("a.gpg", b"\xC6\x05\x04abcd", "public key"),
        ("a.asc", start, "public key"),
        ("a.asc", end, "public key"),
        ("a.asc", &signature, "public key"),
        ("a.asc", &both, "several keys"),
        ("a.asc", &joined, "several keys"),
        ("a.gpg", &dearmor(&both), "several keys"),
        ("a.asc", &export(&weak), "RSA of 2048"),
        ("a.asc", &export(&other), "Ed25519"),
        ("a.asc", &huge, "larger than a key"),
        (&long, &one_key, "32 bytes"),
    ] {
        let error = Folder::new(&[(file, bytes)]).read().expect_err(says);
        let message = error.to_string();
        assert!(
            message.contains(file) && message.contains(says),
            "{message}"
        );
    }
    for files in [["a.asc", "a.gpg"], ["a.asc", "b.asc"]] {
        let folder = Folder::new(&files.map(|name| (name, &one_key[..])));
        let error = folder.read().expect_err("twice").to_string();
        assert!(files.iter().all(|name| error.contains(name)), "{error}");
    }
    let nowhere = std::path::Path::new("no/such/folder");
    let error = TrustedKeys::read(nowhere)
        .expect_err("no folder")
        .to_string();
    assert!(error.contains("no/such/folder"), "{error}");
}
