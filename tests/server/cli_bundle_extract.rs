//! `airlift bundle extract`: the files of a bundle, whole or not at all.

use std::{fs, os::unix::fs::PermissionsExt};

use airlift_bundle::{Manifest, archive};

use crate::workbench::{BOTH, Workbench, words};

const FIRMWARE: &str = "--target esp32-wroom --firmware firmware.bin --version 2.7.0 \
    --changelog CHANGES.md --sign signing/release.secret.asc --out x.jota";

fn folder(bench: &Workbench, name: &str) -> Vec<String> {
    let Ok(entries) = fs::read_dir(bench.path().join(name)) else {
        return Vec::new();
    };
    let mut names: Vec<_> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn the_three_files_come_out_as_they_were_signed_with_the_line_that_uploads_them() {
    let bench = Workbench::new();
    assert_eq!(bench.build(FIRMWARE).code, Some(0));
    let ended = bench.airlift("bundle extract x.jota --out new/files");
    assert_eq!(ended.code, Some(0), "{ended:?}");
    words(
        &ended.out,
        &[
            "firmware 2.7.0 for gateway on esp32-wroom",
            "new/files/manifest.json\n",
            "new/files/manifest.json.asc\n",
            "new/files/firmware.bin\n",
            "-F manifest=@manifest.json -F signature=@manifest.json.asc",
            "-F firmware=@firmware.bin",
        ],
    );
    let names = ["firmware.bin", "manifest.json", "manifest.json.asc"];
    assert_eq!(folder(&bench, "new/files"), names);
    assert_eq!(
        bench.read("new/files/firmware.bin"),
        bench.read("firmware.bin")
    );
    let manifest = bench.read("new/files/manifest.json");
    let read = Manifest::parse(&manifest).unwrap();
    assert_eq!(read.to_json(), manifest);
    let signature = bench.read("new/files/manifest.json.asc");
    assert!(signature.starts_with(b"-----BEGIN PGP SIGNATURE-----"));
    let path = bench.path().join("new/files/firmware.bin");
    let mode = fs::metadata(path).unwrap().permissions().mode();
    assert_eq!(mode & 0o400, 0o400);
    // A stock gpg, or who puts them together anew, finds the same bundle.
    let mut parts = |_| Ok(Box::new(&bench.read("new/files/firmware.bin").leak()[..]) as Box<_>);
    let again = archive::write(Vec::new(), &read, &signature, &mut parts).unwrap();
    bench.put("again.jota", &again);
    assert_eq!(bench.verify("again.jota").code, Some(0));
}

#[test]
fn a_bundle_with_a_web_part_gives_both_parts_and_says_that_the_page_does_not_take_it() {
    let bench = Workbench::new();
    assert_eq!(bench.build(&format!("{BOTH} --out x.jota")).code, Some(0));
    let ended = bench.airlift("bundle extract x.jota --out o --json");
    let said = ended.json();
    let files = [
        "o/manifest.json",
        "o/manifest.json.asc",
        "o/firmware.bin",
        "o/web_spiffs.bin",
    ];
    assert_eq!(said["files"], serde_json::json!(files));
    assert_eq!(
        (&said["signed"], &said["manifest"]["kind"]),
        (&true.into(), &"firmware+web".into())
    );
    assert!(!bench.read("o/web_spiffs.bin").is_empty());
    let ended = bench.airlift("bundle extract x.jota --out p");
    words(&ended.out, &["takes bundles of a firmware alone"]);
}

#[test]
fn nothing_is_replaced_unless_it_is_asked_for() {
    let bench = Workbench::new();
    assert_eq!(bench.build(FIRMWARE).code, Some(0));
    bench.put("o/manifest.json.asc", b"mine");
    let ended = bench.airlift("bundle extract x.jota --out o");
    assert_eq!(ended.code, Some(2), "{ended:?}");
    words(
        &ended.err,
        &["o/manifest.json.asc is there already", "--force"],
    );
    assert_eq!(folder(&bench, "o"), ["manifest.json.asc"]);
    assert_eq!(bench.read("o/manifest.json.asc"), b"mine");
    let ended = bench.airlift("bundle extract x.jota --out o --force");
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(bench.read("o/manifest.json.asc").starts_with(b"-----BEGIN"));
    // By default the folder is this one, where the firmware lies.
    let ended = bench.airlift("bundle extract x.jota");
    assert_eq!(ended.code, Some(2), "{ended:?}");
    words(&ended.err, &["firmware.bin is there already"]);
    assert!(!bench.has("manifest.json"));
}

#[test]
fn a_damaged_bundle_gives_no_file_at_all() {
    let bench = Workbench::new();
    assert_eq!(bench.build(FIRMWARE).code, Some(0));
    let whole = bench.read("x.jota");
    let ended = bench.airlift("bundle extract x.jota --out o");
    assert_eq!(ended.code, Some(0));
    // The firmware's last byte, which is the last before the archive's zeros.
    let mut tar = zstd::decode_all(&whole[..]).unwrap();
    let last = tar.iter().rposition(|byte| *byte != 0).unwrap();
    tar[last] ^= 1;
    let altered = zstd::encode_all(&tar[..], 3).unwrap();
    for (bytes, word) in [
        (altered, "part_mismatch"),
        (whole[..whole.len() - 10].to_vec(), "bundle_truncated"),
        (whole[..100].to_vec(), "bundle_truncated"),
        (Vec::new(), "bundle_truncated"),
        (
            b"PK\x03\x04 a zip archive, perhaps".to_vec(),
            "bundle_malformed",
        ),
        ([&whole[..], b"more"].concat(), "bundle_too_large"),
    ] {
        bench.put("x.jota", &bytes);
        let ended = bench.airlift("bundle extract x.jota --out p");
        assert_eq!(ended.code, Some(1), "{word}: {ended:?}");
        assert!(
            ended.out.starts_with(&format!("refused ({word}): ")),
            "{ended:?}"
        );
        assert_eq!(folder(&bench, "p"), [""; 0]);
    }
}
