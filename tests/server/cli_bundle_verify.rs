//! `airlift bundle verify` and `inspect`: each refusal has its word and the exit code 1.

use std::{fs, io::Read};

use airlift::{
    cli::{Cli, Command, bundle, console::Console},
    domain::Clock,
};
use airlift_bundle::{
    Manifest, PartName,
    archive::{self, Archive},
    keys::SigningKey,
};
use airlift_esp::Target;
use chrono::DateTime;
use clap::Parser;
use md5::Md5;
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::workbench::{Workbench, app};

const BUILD: &str = "--target esp32-wroom --firmware firmware.bin --version 2.7.0 \
    --changelog CHANGES.md --sign signing/release.secret.asc --out x.jota";

/// Verifies `x.jota`, which is refused with this word and sentence; inspecting asks nobody who signed.
fn refused(bench: &Workbench, word: &str, said: &str) {
    let ended = bench.verify("x.jota");
    assert_eq!(ended.code, Some(1), "{word}: {ended:?}");
    assert_eq!(ended.err, "", "{word}");
    let begins = format!("refused ({word}): ");
    assert!(ended.out.starts_with(&begins), "{ended:?}");
    assert!(ended.out.contains(said), "{said}: {ended:?}");
    let ended = bench.airlift("bundle verify x.jota --trusted-keys keys --json");
    assert_eq!(ended.code, Some(1));
    let answer: Value = ended.json();
    assert_eq!(answer["accepted"], false);
    assert_eq!(answer["refusal"], word);
    assert!(answer["message"].as_str().unwrap().contains(said));
}

fn manifest(bench: &Workbench, file: &str) -> (Manifest, Vec<u8>) {
    let archive = Archive::open(fs::File::open(bench.path().join(file)).unwrap()).unwrap();
    let manifest = Manifest::parse(archive.manifest_bytes()).unwrap();
    (manifest, archive.signature().to_vec())
}

/// Writes `x.jota`.
fn write(bench: &Workbench, manifest: &Manifest, signature: &[u8], firmware: &[u8]) {
    let mut parts = |_: PartName| Ok(Box::new(firmware) as Box<dyn Read>);
    let bytes = archive::write(Vec::new(), manifest, signature, &mut parts).unwrap();
    bench.put("x.jota", &bytes);
}

fn sign(bench: &Workbench, manifest: &Manifest) -> Vec<u8> {
    let key = bench.path().join("signing/release.secret.asc");
    let key = SigningKey::open(key.to_str().unwrap(), None).unwrap();
    key.sign(&manifest.to_json()).unwrap().into_bytes()
}

#[test]
fn a_bundle_by_a_trusted_key_is_accepted() {
    let bench = Workbench::new();
    assert_eq!(bench.build(BUILD).code, Some(0));
    let ended = bench.airlift("bundle verify x.jota --trusted-keys keys --json");
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let answer = ended.json();
    assert_eq!(answer["accepted"], true);
    assert_eq!(answer["signer"]["name"], "release");
    assert_eq!(answer["manifest"]["version"], "2.7.0");
    let by_environment = bench.run("bundle verify x.jota", &[("AIRLIFT_TRUSTED_KEYS", "keys")]);
    assert_eq!(by_environment.code, Some(0), "{by_environment:?}");
}

#[test]
fn a_bundle_by_a_stranger_is_refused_until_its_key_is_trusted() {
    let bench = Workbench::new();
    bench.make_key("stranger");
    let line = BUILD.replace("release.secret", "stranger.secret");
    assert_eq!(bench.build(&line).code, Some(0));
    refused(&bench, "untrusted_key", "no trusted key");
    let key = bench.path().join("signing/stranger.asc");
    fs::copy(key, bench.path().join("keys/stranger.asc")).unwrap();
    assert_eq!(bench.verify("x.jota").code, Some(0));
}

#[test]
fn a_bundle_without_a_signature_is_refused_and_can_be_looked_into() {
    let bench = Workbench::new();
    assert_eq!(bench.build(BUILD).code, Some(0));
    let (manifest, _) = manifest(&bench, "x.jota");
    write(&bench, &manifest, &[], &bench.read("firmware.bin"));
    refused(&bench, "unsigned", "");
    let ended = bench.airlift("bundle inspect x.jota");
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(ended.out.contains("signed       no; "), "{ended:?}");
    let said = bench.airlift("bundle inspect x.jota --json").json();
    assert_eq!(said["signature"], Value::Null);
}

#[test]
fn a_manifest_that_was_altered_or_signed_for_another_bundle_is_refused() {
    let bench = Workbench::new();
    assert_eq!(bench.build(BUILD).code, Some(0));
    let (mut manifest, signature) = manifest(&bench, "x.jota");
    manifest.release_counter += 1;
    write(&bench, &manifest, &signature, &bench.read("firmware.bin"));
    refused(&bench, "bad_signature", "release");
}

#[test]
fn a_bundle_that_expired_is_refused() {
    let bench = Workbench::new();
    let file = |name: &str| bench.path().join(name).display().to_string();
    let line = BUILD
        .replace("firmware.bin", &file("firmware.bin"))
        .replace("CHANGES.md", &file("CHANGES.md"))
        .replace(
            "signing/release.secret.asc",
            &file("signing/release.secret.asc"),
        )
        .replace("x.jota", &file("x.jota"));
    let words = "airlift bundle build"
        .split(' ')
        .chain(line.split_whitespace());
    let Some(Command::Bundle(args)) = Cli::try_parse_from(words).unwrap().command else {
        panic!("a bundle command");
    };
    let clock = Clock::manual(DateTime::from_timestamp(1_700_000_000, 0).unwrap());
    let console = Console {
        input: &mut &[][..],
        out: &mut Vec::new(),
        notes: &mut Vec::new(),
        is_terminal: false,
    };
    bundle::run(args, &clock, console).unwrap();
    // A year later.
    refused(
        &bench,
        "bundle_expired",
        "expired at 2024-11-13 22:13:20 UTC",
    );
    let inspected = bench.airlift("bundle inspect x.jota");
    assert!(
        inspected
            .out
            .contains("expires      2024-11-13 22:13:20 UTC"),
        "{inspected:?}"
    );
}

#[test]
fn a_signed_bundle_whose_firmware_is_for_another_chip_is_refused() {
    let bench = Workbench::new();
    assert_eq!(bench.build(BUILD).code, Some(0));
    let (mut manifest, _) = manifest(&bench, "x.jota");
    let firmware = app(Target::Esp32c3).build();
    manifest.parts[0].size = firmware.len() as u64;
    manifest.parts[0].sha256 = hex::encode(Sha256::digest(&firmware));
    manifest.parts[0].md5 = hex::encode(Md5::digest(&firmware));
    write(&bench, &manifest, &sign(&bench, &manifest), &firmware);
    refused(&bench, "wrong_target", "is built for ESP32-C3");
    // Who only looks sees the rest of it.
    assert_eq!(bench.airlift("bundle inspect x.jota").code, Some(0));
}

#[test]
fn what_is_cut_off_or_no_bundle_is_refused_also_by_who_only_looks() {
    let bench = Workbench::new();
    assert_eq!(bench.build(BUILD).code, Some(0));
    let whole = bench.read("x.jota");
    let mut longer = whole.clone();
    longer.extend(b"more");
    for (bytes, word) in [
        (&whole[..whole.len() - 10], "bundle_truncated"),
        (&whole[..0], "bundle_truncated"),
        (
            &b"PK\x03\x04 a zip archive, perhaps"[..],
            "bundle_malformed",
        ),
        (&longer, "bundle_too_large"),
    ] {
        bench.put("x.jota", bytes);
        refused(&bench, word, "");
        let ended = bench.airlift("bundle inspect x.jota");
        assert_eq!(ended.code, Some(1), "{ended:?}");
        assert!(
            ended.out.starts_with(&format!("refused ({word}): ")),
            "{ended:?}"
        );
        let ended = bench.airlift("bundle inspect x.jota --json");
        assert_eq!(
            (ended.code, &ended.json()["refusal"]),
            (Some(1), &word.into())
        );
    }
}

#[test]
fn who_cannot_check_says_why_and_refuses_nothing() {
    let bench = Workbench::new();
    assert_eq!(bench.build(BUILD).code, Some(0));
    fs::create_dir(bench.path().join("none")).unwrap();
    for (line, said) in [
        (
            "bundle verify nowhere.jota --trusted-keys keys",
            "can't read nowhere.jota: ",
        ),
        ("bundle verify dist --trusted-keys keys", "dist is no file"),
        ("bundle inspect nowhere.jota", "can't read nowhere.jota: "),
        ("bundle verify x.jota --trusted-keys nowhere", "nowhere"),
        (
            "bundle verify x.jota --trusted-keys none",
            "none holds no key to trust: put public keys there",
        ),
        (
            "bundle verify x.jota --trusted-keys signing",
            "release.secret.asc",
        ),
        ("bundle verify x.jota", "--trusted-keys <DIR>"),
    ] {
        let ended = bench.airlift(line);
        assert_eq!(
            (ended.code, &ended.out[..]),
            (Some(2), ""),
            "{line}: {ended:?}"
        );
        assert!(ended.err.contains(said), "{line}: {said}\n{ended:?}");
    }
}
