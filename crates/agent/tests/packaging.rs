//! What the Debian package is made of. The package itself is built by `just deb`.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use airlift_testkit::Scratch;

const AGENT: &str = env!("CARGO_BIN_EXE_airlift-agent");
const UNIT: &str = "airlift-agent.service";

fn here() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn unit() -> String {
    fs::read_to_string(here().join(UNIT)).unwrap()
}

fn debian() -> toml::Table {
    let manifest = fs::read_to_string(here().join("Cargo.toml")).unwrap();
    let manifest: toml::Table = manifest.parse().unwrap();
    manifest["package"]["metadata"]["deb"]
        .as_table()
        .unwrap()
        .clone()
}

/// What systemd says of a unit; nothing if all is well.
fn complaints(unit: &str) -> String {
    let folder = Scratch::new("unit").unwrap();
    let path = folder.path().join(UNIT);
    // The program is where it was built, not where it will be installed.
    fs::write(&path, unit.replace("/usr/bin/airlift-agent", AGENT)).unwrap();
    let verified = Command::new("systemd-analyze")
        .args(["verify", "--man=no", "--recursive-errors=no"])
        .arg(&path)
        .output()
        .expect("systemd-analyze: apt-get install systemd");
    let said = String::from_utf8_lossy(&verified.stderr).into_owned();
    // It also speaks of this machine's other units.
    let ours: Vec<&str> = said.lines().filter(|line| line.contains(UNIT)).collect();
    if ours.is_empty() && !verified.status.success() {
        return said;
    }
    ours.join("\n")
}

#[test]
fn systemd_takes_the_unit_and_would_say_what_is_wrong_with_it() {
    assert_eq!(complaints(&unit()), "");
    for (from, to) in [
        ("WatchdogSec=180", "WatchdogSec=often"),
        ("KillMode=", "KilMode="),
        ("@obsolete", "@obsolet"),
    ] {
        assert!(unit().contains(from), "{from}");
        assert_ne!(complaints(&unit().replace(from, to)), "", "{to}");
    }
}

#[test]
fn every_file_of_the_debian_package_is_there() {
    let debian = debian();
    let license = debian["license-file"][0].as_str().unwrap();
    let mut sources = vec![license];
    for asset in debian["assets"].as_array().unwrap() {
        let source = asset[0].as_str().unwrap();
        match source.strip_prefix("target/release/") {
            Some(program) => {
                let built = Path::new(AGENT).file_name().unwrap();
                assert_eq!(built, program);
                let installed = format!("ExecStart=/{}{program} ", asset[1].as_str().unwrap());
                assert!(unit().contains(&installed), "{installed}");
            }
            None => sources.push(source),
        }
    }
    assert_eq!(sources.len(), 3, "{sources:?}");
    for source in sources {
        assert!(here().join(source).is_file(), "{source}");
    }
    // cargo-deb takes a unit that is named like the package.
    let units = debian["systemd-units"]["unit-scripts"].as_str().unwrap();
    let unit = format!("{}.service", debian["name"].as_str().unwrap());
    assert!(here().join(units).join(unit).is_file());
}
