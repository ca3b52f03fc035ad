//! What a build machine signs with.

use std::{
    io::Write as _,
    path::PathBuf,
    process::{Command, Output, Stdio},
    time::Duration,
};

use airlift_bundle::keys::{KeyError, SigningKey, generate};
use airlift_testkit::Gpg;
use pgp::{
    composed::{ArmorOptions, DetachedSignature, KeyType, SecretKeyParamsBuilder},
    crypto::hash::HashAlgorithm,
    types::{KeyVersion, Password},
};
use rand::rngs::OsRng;

use super::parts::{Folder, MANIFEST, check};

/// Signs with a key in a file.
fn sign(key: &[u8], passphrase: Option<&str>) -> Result<String, KeyError> {
    let folder = Folder::new(&[("secret.asc", key)]);
    let path = folder.0.path().join("secret.asc");
    SigningKey::open(path.to_str().expect("a plain path"), passphrase)?.sign(MANIFEST)
}

/// gpg, the server and, if it is an Ed25519 key, a device take the signature.
fn all_take(gpg: &Gpg, public: &[u8], signature: &str, devices: bool) {
    let signature = signature.as_bytes();
    gpg.run(&["--import"], public).expect("imported");
    assert!(gpg.verifies(signature, MANIFEST).expect("gpg ran"));
    assert!(!gpg.verifies(signature, &MANIFEST[1..]).expect("gpg ran"));
    let folder = Folder::new(&[("release.asc", public)]);
    folder.verify(signature, MANIFEST).expect("good");
    let told = folder.read().expect("a key").for_devices();
    assert_eq!(check(signature, &told, MANIFEST).is_ok(), devices);
}

#[test]
fn a_generated_key_signs_what_gpg_server_and_device_take() {
    let gpg = Gpg::new().expect("gpg");
    let (secret, public) = generate("Ed <ed@example.com>", None, None).expect("a key");
    let signature = sign(secret.as_bytes(), None).expect("signed");
    all_take(&gpg, public.as_bytes(), &signature, true);
    // gpg takes the secret key too, and it is the same.
    gpg.run(&["--import"], secret.as_bytes()).expect("imported");
    let signature = gpg.sign(&["ed@example.com"], MANIFEST).expect("signed");
    let folder = Folder::new(&[("release.asc", public.as_bytes())]);
    let signer = folder.verify(&signature, MANIFEST).expect("good");
    let keys = folder.read().expect("a key");
    assert_eq!(signer.fingerprint, keys.keys()[0].fingerprint);
    assert_eq!(keys.keys()[0].user_id, "Ed <ed@example.com>");
}

#[test]
fn a_generated_key_ends_as_told_for_gpg_and_us() {
    let gpg = Gpg::new().expect("gpg");
    let day = Duration::from_secs(86_400);
    let (_, public) = generate("ed", Some(day), None).expect("a key");
    let folder = Folder::new(&[("release.asc", public.as_bytes())]);
    let keys = folder.read().expect("a key");
    let key = &keys.keys()[0];
    assert_eq!(key.expires_at, Some(key.created_at + 86_400));
    gpg.run(&["--import"], public.as_bytes()).expect("imported");
    let listed = gpg
        .run(&["--with-colons", "--list-keys"], &[])
        .expect("listed");
    let ends = (key.created_at + 86_400).to_string();
    assert!(String::from_utf8_lossy(&listed).contains(&ends));
}

#[test]
fn what_makes_no_key_is_refused() {
    for user_id in ["", " ", "line\nbreak", &"x".repeat(201)] {
        assert!(generate(user_id, None, None).is_err(), "{user_id:?}");
    }
    assert!(generate("ed", None, Some("")).is_err());
    for seconds in [0, u64::from(u32::MAX), u64::MAX] {
        let lasts = Some(Duration::from_secs(seconds));
        assert!(generate("ed", lasts, None).is_err(), "{seconds}");
    }
}

#[test]
fn a_locked_key_signs_with_its_passphrase_alone_and_no_error_tells_of_it() {
    let gpg = Gpg::new().expect("gpg");
    let passphrase = "correct horse battery staple";
    let (secret, public) = generate("ed", None, Some(passphrase)).expect("a key");
    let signature = sign(secret.as_bytes(), Some(passphrase)).expect("signed");
    all_take(&gpg, public.as_bytes(), &signature, true);
    let missing = sign(secret.as_bytes(), None)
        .expect_err("locked")
        .to_string();
    assert!(missing.contains("passphrase"), "{missing}");
    let wrong = sign(secret.as_bytes(), Some("wrong horse"))
        .expect_err("locked")
        .to_string();
    assert!(
        wrong.contains("passphrase") && !wrong.contains("horse"),
        "{wrong}"
    );
    let lock = ["--passphrase", passphrase, "--import"];
    gpg.run(&lock, secret.as_bytes())
        .expect("gpg unlocks it too");
    // Locked by gpg.
    let export = [
        "--passphrase",
        passphrase,
        "--armor",
        "--export-secret-keys",
        "ed",
    ];
    let secret = gpg.run(&export, &[]).expect("exported");
    let signature = sign(&secret, Some(passphrase)).expect("signed");
    all_take(&gpg, public.as_bytes(), &signature, true);
    assert!(sign(&secret, None).is_err());
}

#[test]
fn keys_that_gpg_exports_sign() {
    let gpg = Gpg::new().expect("gpg");
    for (algorithm, devices) in [("ed25519", true), ("rsa3072", false)] {
        let name = gpg.generate(algorithm, algorithm, "never").expect("a key");
        let secret = gpg
            .run(&["--armor", "--export-secret-keys", &name], &[])
            .expect("exported");
        let signature = sign(&secret, None).expect("signed");
        all_take(
            &gpg,
            &gpg.export(&name).expect("exported"),
            &signature,
            devices,
        );
        let binary = gpg
            .run(&["--export-secret-keys", &name], &[])
            .expect("exported");
        let signature = sign(&binary, None).expect("signed");
        all_take(
            &gpg,
            &gpg.export(&name).expect("exported"),
            &signature,
            devices,
        );
    }
    // The subkey alone: the secret of the key itself stays at home.
    let name = gpg.generate("main", "rsa3072", "never").expect("a key");
    let subkey = gpg.add_subkey(&name, "ed25519", "never").expect("a subkey");
    let export = ["--armor", "--export-secret-subkeys", &format!("{subkey}!")];
    let secret = gpg.run(&export, &[]).expect("exported");
    let signature = sign(&secret, None).expect("signed");
    let public = gpg.export(&name).expect("exported");
    all_take(&gpg, &public, &signature, true);
    let folder = Folder::new(&[("release.asc", &public)]);
    let signer = folder.verify(signature.as_bytes(), MANIFEST).expect("good");
    assert_eq!(signer.fingerprint, subkey);
}

#[test]
fn files_that_cannot_sign_are_refused_without_what_they_hold() {
    let mut gpg = Gpg::new().expect("gpg");
    let name = gpg.generate("ed", "ed25519", "never").expect("a key");
    let public = gpg.export(&name).expect("exported");
    let weak = gpg.generate("weak", "rsa1024", "never").expect("a key");
    let weak = gpg
        .run(&["--armor", "--export-secret-keys", &weak], &[])
        .expect("exported");
    gpg.set_time(Some("20240101T000000"));
    let old = gpg.generate("old", "ed25519", "1d").expect("a key");
    let old = gpg
        .run(&["--armor", "--export-secret-keys", &old], &[])
        .expect("exported");
    for (bytes, says) in [
        (&b"nothing to see: hush"[..], "no OpenPGP secret key"),
        (&public, "no OpenPGP secret key"),
        (&weak, "RSA of 2048"),
        (&old, "expired"),
    ] {
        let error = sign(bytes, None).expect_err(says).to_string();
        assert!(
            error.contains("secret.asc") && error.contains(says),
            "{error}"
        );
        assert!(!error.contains("hush"), "{error}");
    }
    let nowhere = SigningKey::open("no/such/file.asc", None).expect_err("no file");
    assert!(
        nowhere.to_string().contains("no/such/file.asc"),
        "{nowhere}"
    );
}

#[test]
fn the_newer_encoding_of_ed25519_is_known_to_server_and_devices() {
    let key = SecretKeyParamsBuilder::default()
        .version(KeyVersion::V4)
        .key_type(KeyType::Ed25519)
        .can_sign(true)
        .can_certify(true)
        .primary_user_id("ed".to_owned())
        .build()
        .expect("parameters")
        .generate(OsRng)
        .expect("a key");
    let public = key
        .to_public_key()
        .to_armored_bytes(ArmorOptions::default())
        .expect("armored");
    let secret = key
        .to_armored_bytes(ArmorOptions::default())
        .expect("armored");
    let folder = Folder::new(&[("new.asc", &public)]);
    let told = folder.read().expect("a key").for_devices();
    for hash in [HashAlgorithm::Sha256, HashAlgorithm::Sha512] {
        let none = Password::empty();
        let made = DetachedSignature::sign_binary_data(OsRng, &*key, &none, hash, MANIFEST);
        let made = made.and_then(|made| made.to_armored_string(ArmorOptions::default()));
        let made = made.expect("signed");
        for signature in [&made, &sign(&secret, None).expect("signed")] {
            let signature = signature.as_bytes();
            assert!(check(signature, &told, MANIFEST).is_ok());
            assert!(check(signature, &told, &MANIFEST[1..]).is_err());
            folder.verify(signature, MANIFEST).expect("good");
        }
    }
}

/// Runs the example in a process that finds this gpg's keys.
fn sign_with_gpg(gpg: &Gpg, key: &str) -> Output {
    let test = std::env::current_exe().expect("this test");
    let folder = test.ancestors().nth(2).expect("its folder");
    let program: PathBuf = folder.join("examples/sign");
    let mut child = Command::new(program)
        .arg(key)
        .env("GNUPGHOME", gpg.home())
        .env("LC_ALL", "C")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the example `sign` is built with the tests");
    let mut stdin = child.stdin.take().expect("its input");
    // It may refuse the key before it reads.
    let _ = stdin.write_all(MANIFEST);
    drop(stdin);
    child.wait_with_output().expect("its end")
}

#[test]
fn a_running_gpg_signs_by_key_id_fingerprint_or_user_id() {
    let gpg = Gpg::new().expect("gpg");
    for (algorithm, devices) in [("ed25519", true), ("rsa3072", false)] {
        let user_id = format!("{algorithm} <{algorithm}@example.com>");
        let name = gpg.generate(&user_id, algorithm, "never").expect("a key");
        let public = gpg.export(&name).expect("exported");
        for key in [
            &name[..],
            &name[24..],
            &user_id,
            &format!("{algorithm}@example.com"),
        ] {
            let output = sign_with_gpg(&gpg, &format!("gpg:{key}"));
            assert!(
                output.status.success(),
                "{}",
                String::from_utf8_lossy(&output.stderr)
            );
            let signature = String::from_utf8(output.stdout).expect("text");
            all_take(&gpg, &public, &signature, devices);
        }
    }
}

#[test]
fn what_gpg_cannot_sign_or_nobody_would_take_is_refused_with_its_reason() {
    let gpg = Gpg::new().expect("gpg");
    let name = gpg.generate("ed", "ed25519", "never").expect("a key");
    let weak = gpg.generate("weak", "rsa1024", "never").expect("a key");
    let public = gpg.export(&name).expect("exported");
    let other = Gpg::new().expect("gpg");
    other.run(&["--import"], &public).expect("imported");
    let says = |gpg: &Gpg, key: &str, says: &str| {
        let output = sign_with_gpg(gpg, key);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success(), "{key}");
        assert!(said.contains(says), "{key}: {said}");
    };
    says(&gpg, "gpg:", "user id");
    says(&gpg, "gpg:nobody@example.com", "has no key");
    says(&gpg, &format!("gpg:{weak}"), "RSA of 2048");
    // The public key alone.
    says(&other, &format!("gpg:{name}"), "secret key");
    let settings = "sig-notation !approved@example.com=yes\n";
    std::fs::write(gpg.home().join("gpg.conf"), settings).expect("written");
    says(&gpg, &format!("gpg:{name}"), "gpg.conf");
}
