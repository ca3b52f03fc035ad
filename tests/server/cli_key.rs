//! `airlift key …`: keys in files.

use std::{fs, os::unix::fs::PermissionsExt};

use airlift_bundle::keys::TrustedKeys;
use airlift_testkit::Gpg;

use crate::workbench::{PASSPHRASE, Workbench, words};

#[test]
fn a_new_key_is_two_files_the_secret_one_for_its_owner_alone() {
    let bench = Workbench::new();
    let made = bench.run(
        "key generate --name release-2 --expires-in-days 730 --out signing/new --user-id Releases",
        &[("AIRLIFT_KEY_PASSPHRASE", PASSPHRASE)],
    );
    assert_eq!((made.code, &made.err[..]), (Some(0), ""), "{made:?}");
    words(
        &made.out,
        &[
            "Ed25519 ",
            ", expires at ",
            "signing/new/release-2.secret.asc  signs",
            "signing/new/release-2.asc  goes into the folder of trusted keys",
        ],
    );
    let folder = bench.path().join("signing/new");
    let mode = |name: &str| {
        let about = fs::metadata(folder.join(name)).unwrap();
        about.permissions().mode() & 0o777
    };
    assert_eq!(mode("release-2.secret.asc"), 0o600);
    assert_eq!(mode("release-2.asc") & 0o400, 0o400);
    let secret = bench.read("signing/new/release-2.secret.asc");
    let public = bench.read("signing/new/release-2.asc");
    assert!(secret.starts_with(b"-----BEGIN PGP PRIVATE KEY BLOCK-----"));
    assert!(public.starts_with(b"-----BEGIN PGP PUBLIC KEY BLOCK-----"));
    assert!(!made.out.contains(PASSPHRASE));
    // gpg takes it too.
    let gpg = Gpg::new().unwrap();
    gpg.run(&["--import"], &public).unwrap();
    let listed = gpg.run(&["--list-keys", "Releases"], &[]).unwrap();
    let listed = String::from_utf8(listed).unwrap();
    assert!(listed.contains("ed25519"), "{listed}");
}

#[test]
fn no_key_is_overwritten_and_none_made_that_nobody_meant() {
    let bench = Workbench::new();
    let before = bench.read("signing/release.secret.asc");
    for (line, said) in [
        (
            "key generate --name release --no-passphrase --out signing",
            "signing/release.secret.asc is there already, and no key is overwritten",
        ),
        (
            "key generate --name other --out signing",
            "a passphrase is missing: set AIRLIFT_KEY_PASSPHRASE, or say --no-passphrase",
        ),
        (
            "key generate --name ../other --no-passphrase --out signing",
            "it has 1 to 32 of A-Z a-z 0-9 . _ -",
        ),
        (
            "key generate --name .other --no-passphrase --out signing",
            "the first a letter or digit",
        ),
        (
            "key generate --name other --no-passphrase --expires-in-days 0 --out signing",
            "--expires-in-days",
        ),
    ] {
        let ended = bench.airlift(line);
        assert_eq!(
            (ended.code, &ended.out[..]),
            (Some(2), ""),
            "{line}: {ended:?}"
        );
        assert!(ended.err.contains(said), "{line}: {said}\n{ended:?}");
    }
    assert!(bench.read("signing/release.secret.asc") == before);
    assert!(!bench.has("signing/other.asc"));
}

#[test]
fn on_a_terminal_a_passphrase_is_typed_twice_and_not_shown() {
    let bench = Workbench::new();
    let questions = ["Passphrase for the new key: ", "The same again: "];
    let line = "key generate --name typed --out signing";
    let differ = [(questions[0], PASSPHRASE), (questions[1], "another")];
    let ended = bench.on_terminal(line, &differ);
    assert_eq!(ended.code, Some(2), "{ended:?}");
    assert!(
        ended.out.contains("the two passphrases differ"),
        "{ended:?}"
    );
    assert!(!bench.has("signing/typed.asc"));
    let same = questions.map(|question| (question, PASSPHRASE));
    let ended = bench.on_terminal(line, &same);
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(!ended.out.contains(PASSPHRASE), "{ended:?}");
    let build = "bundle build --target esp32-wroom --firmware firmware.bin --version 2.7.0 \
        --changelog CHANGES.md --sign signing/typed.secret.asc";
    assert_eq!(bench.airlift(build).code, Some(2));
    let built = bench.run(build, &[("AIRLIFT_KEY_PASSPHRASE", PASSPHRASE)]);
    assert_eq!(built.code, Some(0), "{built:?}");
}

#[test]
fn trusted_keys_are_listed_with_their_state_and_whether_devices_can_check_them() {
    let bench = Workbench::new();
    let mut gpg = Gpg::new().unwrap();
    let rsa = gpg.generate("rsa@example.com", "rsa3072", "never").unwrap();
    bench.put("keys/old-rsa.asc", &gpg.export(&rsa).unwrap());
    gpg.set_time(Some("20200101T000000"));
    let past = gpg
        .generate("past@example.com", "ed25519", "2021-01-01")
        .unwrap();
    bench.put("keys/past.asc", &gpg.export(&past).unwrap());
    let listed = bench.airlift("key list --trusted-keys keys");
    assert_eq!((listed.code, &listed.err[..]), (Some(0), ""), "{listed:?}");
    let lines: Vec<_> = listed.out.lines().collect();
    assert_eq!(lines.len(), 4, "{}", listed.out);
    words(
        lines[0],
        &[
            "NAME",
            "ALGORITHM",
            "FINGERPRINT",
            "EXPIRES",
            "STATE",
            "DEVICES",
        ],
    );
    words(lines[1], &["old-rsa", "RSA", &rsa, "never", "valid", "no"]);
    words(
        lines[2],
        &["past", "Ed25519", &past, "2021-01-0", "expired", "yes"],
    );
    words(lines[3], &["release", "Ed25519", "never", "valid", "yes"]);
    let json = bench.run("key list --json", &[("AIRLIFT_TRUSTED_KEYS", "keys")]);
    let keys: Vec<serde_json::Value> = json
        .out
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(keys[0]["fingerprint"], rsa);
    assert_eq!(keys[0]["devices"], false);
    assert_eq!(keys[2]["name"], "release");
    assert_eq!(keys[2]["expiresAt"], serde_json::Value::Null);
    let secret = bench.airlift("key list --trusted-keys signing");
    assert_eq!(secret.code, Some(2), "{secret:?}");
    assert!(secret.err.contains("release.secret.asc"), "{secret:?}");
}

#[test]
fn boards_are_provisioned_with_lines_that_they_read_as_the_keys() {
    let bench = Workbench::new();
    let printed = bench.airlift("key list --for-boards --trusted-keys keys");
    assert_eq!(
        (printed.code, &printed.err[..]),
        (Some(0), ""),
        "{printed:?}"
    );
    let expected = TrustedKeys::read(&bench.path().join("keys")).unwrap();
    let lines = expected.for_devices().into_iter().enumerate();
    let lines: Vec<String> = lines
        .map(|(at, key)| {
            assert_eq!(key.to_string().parse(), Ok(key.clone()));
            format!("key{at},data,string,{key}")
        })
        .collect();
    assert!(!lines.is_empty());
    assert_eq!(printed.out.lines().collect::<Vec<_>>(), lines);
    let none = bench.airlift("key list --for-boards --trusted-keys empty");
    assert_eq!(none.code, Some(2), "{none:?}");
}
