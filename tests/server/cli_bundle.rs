//! `airlift bundle build`: what goes into a bundle, what is refused, and who signs.

use std::{fs, process::Command};

use airlift_bundle::spiffs;
use airlift_esp::{
    Target,
    partition_table::{PARTITION_TABLE_BYTES, PartitionTable},
};
use airlift_simflash::image as build_image;
use airlift_testkit::{ESPTOOL_VERSION, Gpg, python_with};

use crate::workbench::{BOTH, Ended, PASSPHRASE, Workbench, app, chip, words};

#[test]
fn a_bundle_of_firmware_and_web_pages_is_built_inspected_and_verified() {
    let bench = Workbench::new();
    bench.put("dist/app.js.map", &[b'm'; 5000]);
    let built = bench.build(BOTH);
    assert_eq!((built.code, &built.err[..]), (Some(0), ""), "{}", built.out);
    words(
        &built.out,
        &[
            "gateway_v2.7.0.jota (",
            " bytes): firmware+web 2.7.0 for gateway on esp32-wroom, release counter ",
            "firmware.bin ",
            "jxct 2.7.0",
            "web_spiffs.bin  1048576  ",
            "2 files, ",
            "/app.js.map               source map",
            "Signed, written and read back; it expires at ",
        ],
    );
    let inspected = bench.airlift("bundle inspect gateway_v2.7.0.jota");
    assert_eq!(inspected.code, Some(0), "{inspected:?}");
    words(
        &inspected.out,
        &[
            "version      2.7.0\n",
            "device type  gateway\n",
            "target       esp32-wroom\n",
            "kind         firmware+web\n",
            "rollback     not allowed\n",
            "min version  -\n",
            "signed       yes; ",
            "jxct 2.7.0",
            "# 2.7.0",
            "- faster",
        ],
    );
    let verified = bench.verify("gateway_v2.7.0.jota");
    assert_eq!(verified.code, Some(0), "{verified:?}");
    words(
        &verified.out,
        &[
            "accepted: firmware+web 2.7.0 for gateway on esp32-wroom",
            "signed by release (",
        ],
    );
}

#[test]
fn what_was_built_is_said_as_json_too() {
    let bench = Workbench::new();
    bench.put("dist/app.js.map", &[b'm'; 5000]);
    let built = bench.build(&format!("{BOTH} --json --release-counter 7 --min-version 2.0.0 --allow-rollback --no-expiry --device-type lamp --out x.jota"));
    assert_eq!(built.code, Some(0), "{built:?}");
    let said = built.json();
    assert_eq!(said["path"], "x.jota");
    assert_eq!(said["bytes"], bench.read("x.jota").len());
    assert_eq!(said["leftOut"][0]["name"], "/app.js.map");
    assert_eq!(said["leftOut"][0]["why"], "source map");
    let inspected = bench.airlift("bundle inspect x.jota --json").json();
    let manifest = &inspected["manifest"];
    assert_eq!(manifest, &said["manifest"]);
    assert_eq!(manifest["releaseCounter"], 7);
    assert_eq!(manifest["minVersion"], "2.0.0");
    assert_eq!(manifest["allowRollback"], true);
    assert_eq!(manifest["deviceType"], "lamp");
    assert_eq!(manifest["kind"], "firmware+web");
    assert_eq!(manifest["changelog"], "# 2.7.0\n- faster\n");
    assert!(manifest.get("expiresAt").is_none());
    let firmware = &manifest["parts"][0];
    assert_eq!(firmware["name"], "firmware.bin");
    assert_eq!(firmware["partition"], "app");
    assert_eq!(firmware["size"], bench.read("firmware.bin").len());
    let signature = inspected["signature"].as_str().unwrap();
    assert!(
        signature.starts_with("-----BEGIN PGP SIGNATURE-----"),
        "{signature}"
    );
}

#[test]
fn a_bundle_unpacks_with_stock_tar_and_its_image_passes_esptool() {
    let bench = Workbench::new();
    for target in [Target::Esp32Wroom, Target::Esp32Wrover, Target::Esp32c3] {
        let image = app(target).random_payload(60_000, 3).build();
        bench.put("firmware.bin", &image);
        let line = BOTH.replace("esp32-wroom", target.name());
        assert_eq!(bench.build(&format!("{line} --out x.jota")).code, Some(0));
        let folder = bench.path().join(target.name());
        fs::create_dir(&folder).unwrap();
        let unpacked = Command::new("tar")
            .args(["--zstd", "-xf", "../x.jota"])
            .current_dir(&folder)
            .status();
        assert!(unpacked.unwrap().success());
        let mut names: Vec<_> = fs::read_dir(&folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        assert_eq!(
            names,
            [
                "firmware.bin",
                "manifest.json",
                "manifest.json.asc",
                "web_spiffs.bin"
            ]
        );
        assert!(fs::read(folder.join("firmware.bin")).unwrap() == image);
        let web = fs::read(folder.join("web_spiffs.bin")).unwrap();
        assert_eq!(spiffs::check(&web, target.web_bytes_max()), Ok(()));
        let esptool = Command::new(python_with("esptool", ESPTOOL_VERSION).unwrap())
            .args(["-m", "esptool", "image-info"])
            .arg(folder.join("firmware.bin"))
            .env("NO_COLOR", "1")
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&esptool.stdout);
        assert!(esptool.status.success(), "{said}");
        // It exits with success for a wrong checksum too.
        assert!(
            said.contains("Checksum: ") && !said.contains("(invalid"),
            "{said}"
        );
        assert!(said.contains("App version: 2.7.0"), "{said}");
    }
}

#[test]
fn a_running_gpg_signs_and_whoever_has_gpg_can_check_it() {
    let bench = Workbench::new();
    let gpg = Gpg::new().unwrap();
    for algorithm in ["ed25519", "rsa3072"] {
        let user_id = format!("Releases <{algorithm}@example.com>");
        let key = gpg.generate(&user_id, algorithm, "never").unwrap();
        bench.put(&format!("keys/{algorithm}.asc"), &gpg.export(&key).unwrap());
        for name in [&key, &format!("{algorithm}@example.com")] {
            let line = BOTH.replace("signing/release.secret.asc", &format!("gpg:{name}"));
            let line = format!("bundle build {line} --out x.jota");
            let built = bench.run(&line, &[("GNUPGHOME", gpg.home().to_str().unwrap())]);
            assert_eq!(built.code, Some(0), "{built:?}");
            let verified = bench.verify("x.jota");
            assert_eq!(verified.code, Some(0), "{verified:?}");
            words(
                &verified.out,
                &[&format!("signed by {algorithm} ({key}) at ")],
            );
        }
        let unpacked = Command::new("tar")
            .args([
                "--zstd",
                "-xf",
                "x.jota",
                "manifest.json",
                "manifest.json.asc",
            ])
            .current_dir(bench.path())
            .status();
        assert!(unpacked.unwrap().success());
        let (signature, manifest) = (bench.read("manifest.json.asc"), bench.read("manifest.json"));
        assert!(gpg.verifies(&signature, &manifest).unwrap());
        assert!(!gpg.verifies(&signature, b"another").unwrap());
    }
    let line = BOTH.replace("signing/release.secret.asc", "gpg:nobody@example.com");
    let line = format!("bundle build {line} --out y.jota");
    let refused = bench.run(&line, &[("GNUPGHOME", gpg.home().to_str().unwrap())]);
    assert_eq!(refused.code, Some(2), "{refused:?}");
    assert!(refused.err.contains("nobody@example.com"), "{refused:?}");
    assert!(!bench.has("y.jota"));
}

#[test]
fn a_key_files_passphrase_comes_from_the_environment_or_a_terminal_and_is_never_said() {
    let bench = Workbench::new();
    let made = bench.run(
        "key generate --name locked --out signing",
        &[("AIRLIFT_KEY_PASSPHRASE", PASSPHRASE)],
    );
    assert_eq!(made.code, Some(0), "{made:?}");
    fs::copy(
        bench.path().join("signing/locked.asc"),
        bench.path().join("keys/locked.asc"),
    )
    .unwrap();
    let line = BOTH.replace("release.secret", "locked.secret");
    let line = format!("bundle build {line} --out x.jota");
    for wrong in ["", "not-the-passphrase"] {
        let refused = bench.run(&line, &[("AIRLIFT_KEY_PASSPHRASE", wrong)]);
        assert_eq!(refused.code, Some(2), "{refused:?}");
        assert!(
            refused.err.contains("signing/locked.secret.asc"),
            "{refused:?}"
        );
        assert!(
            refused.err.contains("AIRLIFT_KEY_PASSPHRASE"),
            "{refused:?}"
        );
        assert!(!refused.err.contains("not-the-passphrase"), "{refused:?}");
        assert!(!bench.has("x.jota"));
    }
    let built = bench.run(&line, &[("AIRLIFT_KEY_PASSPHRASE", PASSPHRASE)]);
    assert_eq!(built.code, Some(0), "{built:?}");
    assert!(!format!("{built:?}").contains(PASSPHRASE));
    words(&bench.verify("x.jota").out, &["signed by locked ("]);

    let question = "Passphrase of signing/locked.secret.asc: ";
    let typed = bench.on_terminal(&line, &[(question, PASSPHRASE)]);
    assert_eq!(typed.code, Some(0), "{typed:?}");
    assert!(!typed.out.contains(PASSPHRASE), "{typed:?}");
}

fn merged(target: Target) -> Vec<u8> {
    let table = PartitionTable::from_csv(target.table_csv()).unwrap();
    let mut binary = [0; PARTITION_TABLE_BYTES];
    table.to_binary(&mut binary);
    let bootloader = build_image::bootloader_like(chip(target));
    build_image::merged(&bootloader, &binary, &app(target).build())
}

#[test]
fn a_firmware_that_no_board_of_the_target_could_run_is_refused() {
    let bench = Workbench::new();
    let wroom = Target::Esp32Wroom;
    let slot = wroom.slot_bytes() as usize;
    let large = app(wroom).size(slot + 16, 1).build();
    let said_large = format!(
        "has {} bytes, a slot of esp32-wroom has {slot}: 16 too many",
        slot + 16
    );
    let mut damaged = app(wroom).random_payload(9000, 1).build();
    build_image::flip_unseen_by_checksum(&mut damaged, [4000, 4004], 1);
    for (firmware, said) in [
        (
            merged(wroom),
            "this is a merged image (bootloader, partition table and application",
        ),
        (merged(Target::Esp32c3), "take the application image alone"),
        (
            app(Target::Esp32c3).build(),
            "is built for ESP32-C3, the target esp32-wroom has the chip ESP32: build it for this chip",
        ),
        (large, &said_large),
        (
            b"\x7fELF".repeat(99),
            "begins with 0x7f instead of 0xe9; take the application image",
        ),
        (
            build_image::bootloader_like(chip(wroom)),
            "has no app descriptor",
        ),
        (
            app(wroom).without_hash().build(),
            "image without SHA-256; build it with one",
        ),
        (damaged, "its SHA-256 does not fit its content"),
        (
            app(wroom).build()[..300].to_vec(),
            "image cut off after 300 bytes",
        ),
        (Vec::new(), "the firmware is an empty file"),
    ] {
        bench.put("firmware.bin", &firmware);
        bench.refuses(BOTH, &["airlift: --firmware firmware.bin: ", said]);
    }
    fs::remove_file(bench.path().join("firmware.bin")).unwrap();
    bench.refuses(BOTH, &["airlift: can't read --firmware firmware.bin: "]);
    fs::create_dir(bench.path().join("firmware.bin")).unwrap();
    bench.refuses(BOTH, &["--firmware firmware.bin is no file"]);
}

#[test]
fn what_makes_no_sense_is_refused_with_what_to_do() {
    let bench = Workbench::new();
    let with = |from: &str, to: &str| BOTH.replace(from, to);
    for (line, said) in [
        (
            with("--firmware firmware.bin --web dist", ""),
            "<--firmware <FILE>|--web <DIR>|--web-image <FILE>>",
        ),
        (
            with("--web dist", "--web dist --web-image web.bin"),
            "cannot be used with",
        ),
        (
            with("esp32-wroom", "esp32"),
            "[possible values: raw, esp32-wroom, esp32-wrover, esp32c3]",
        ),
        (with("2.7.0", "2.7"), "2.7"),
        (with("2.7.0", "2.7.0 --min-version 2.8.0"), "2.8.0"),
        (
            with("2.7.0", "2.7.0 --device-type a/b"),
            "the deviceType \"a/b\" is none",
        ),
        (
            with("2.7.0", "2.7.0 --release-counter 0"),
            "--release-counter",
        ),
        (
            with("2.7.0", "2.7.0 --no-expiry --expires-in-days 9"),
            "cannot be used with",
        ),
        (
            with("CHANGES.md", "nowhere.md"),
            "can't read --changelog nowhere.md",
        ),
        (
            with("CHANGES.md", "long.md"),
            "--changelog long.md has more than 65536 bytes",
        ),
        (
            with("CHANGES.md", "firmware.bin"),
            "--changelog firmware.bin is not UTF-8",
        ),
        (
            with("signing/release.secret.asc", "nowhere.asc"),
            "nowhere.asc",
        ),
        (
            with("signing/release.secret.asc", "keys/release.asc"),
            "it holds no OpenPGP secret key",
        ),
        (
            with("2.7.0", "2.7.0 --out nowhere/x.jota"),
            "can't write nowhere/x.jota",
        ),
    ] {
        bench.put("long.md", &[b'x'; (64 << 10) + 1]);
        bench.refuses(&line, &[said]);
    }
}

#[test]
fn a_failed_build_leaves_the_bundle_that_was_there() {
    let bench = Workbench::new();
    assert_eq!(bench.build(BOTH).code, Some(0));
    let before = bench.read("gateway_v2.7.0.jota");
    bench.put("firmware.bin", b"none");
    bench.refuses(BOTH, &["begins with 0x6e"]);
    assert!(bench.read("gateway_v2.7.0.jota") == before);
    bench.put("firmware.bin", &app(Target::Esp32Wroom).build());
    bench.put("CHANGES.md", b"# 2.7.0\n- smaller\n");
    assert_eq!(bench.build(BOTH).code, Some(0));
    assert!(bench.read("gateway_v2.7.0.jota") != before);
}

#[test]
fn a_firmware_that_calls_itself_another_version_is_warned_about() {
    let bench = Workbench::new();
    for (own, warned) in [("2.6.9", true), ("v2.7.0", false), ("2.7.0", false)] {
        let image = app(Target::Esp32Wroom).version(own).build();
        bench.put("firmware.bin", &image);
        let built = bench.build(BOTH);
        assert_eq!(built.code, Some(0), "{built:?}");
        let said = "warning: the firmware calls itself 2.6.9, the bundle 2.7.0: ";
        assert_eq!(built.err.starts_with(said), warned, "{own}: {built:?}");
    }
}

#[test]
fn the_release_counter_is_the_time_and_a_bundle_expires_in_a_year_unless_told_otherwise() {
    let bench = Workbench::new();
    let day = 86_400;
    let manifest = |more: &str| {
        let built: Ended = bench.build(&format!("{BOTH} --json {more}"));
        built.json()["manifest"].clone()
    };
    let of = |manifest: &serde_json::Value, field: &str| manifest[field].as_i64().unwrap();
    let built = manifest("");
    let created = of(&built, "createdAt");
    assert_eq!(of(&built, "releaseCounter"), created);
    assert!(created > 1_700_000_000, "{created}");
    assert_eq!(of(&built, "expiresAt"), created + 365 * day);
    let built = manifest("--expires-in-days 30 --release-counter 3");
    assert_eq!(of(&built, "expiresAt"), of(&built, "createdAt") + 30 * day);
    assert_eq!(of(&built, "releaseCounter"), 3);
}

#[test]
fn a_large_firmware_shows_how_far_it_is_on_a_terminal() {
    let bench = Workbench::new();
    bench.put("firmware.bin", &vec![7; 40 << 20]);
    let line = BOTH.replace("esp32-wroom", "raw").replace("--web dist", "");
    let line = format!("bundle build {line}");
    let ended = bench.on_terminal(&line, &[]);
    assert_eq!(ended.code, Some(0), "{ended:?}");
    words(&ended.out, &["checks the firmware", "MiB of 40.00 MiB"]);
    let quiet = bench.run(&line, &[]);
    assert!(!quiet.err.contains("checks"), "{quiet:?}");
}

#[test]
fn the_changelog_may_come_from_standard_input() {
    let bench = Workbench::new();
    let line = BOTH.replace("CHANGES.md", "-");
    let ended = bench.with_input(&format!("bundle build {line} --json"), "# from a pipe\n");
    assert_eq!(ended.json()["manifest"]["changelog"], "# from a pipe\n");
}

#[test]
fn the_help_teaches_with_examples() {
    let bench = Workbench::new();
    for (line, said) in [
        ("--help", "airlift bundle build --help"),
        (
            "bundle --help",
            "airlift bundle verify gateway_v2.7.0.jota --trusted-keys keys",
        ),
        ("bundle build --help", "--sign gpg:releases@example.com"),
        ("bundle inspect --help", "jq -r .manifest.changelog"),
        ("bundle verify --help", "such as untrusted_key"),
        ("key --help", "airlift key list --trusted-keys keys"),
        ("key generate --help", "AIRLIFT_KEY_PASSPHRASE"),
    ] {
        let ended = bench.airlift(line);
        assert_eq!(ended.code, Some(0), "{line}");
        assert!(ended.out.contains(said), "{line}: {said}\n{}", ended.out);
    }
}
