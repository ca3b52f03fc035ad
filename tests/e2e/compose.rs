//! `docker-compose.yml` and the settings it asks for.

use std::{
    fs,
    process::{Command, Output, Stdio},
};

use airlift_testkit::program;

use super::production::{repository, text};

/// The settings of `.env.example`, each with a value, but for `without`.
fn filled_in(without: Option<&str>) -> String {
    fs::read_to_string(repository(".env.example"))
        .unwrap()
        .lines()
        .filter_map(|line| line.split_once('='))
        .filter(|(key, _)| !key.starts_with('#') && Some(*key) != without)
        .map(|(key, value)| match value {
            "" => format!("{key}=value\n"),
            value => format!("{key}={value}\n"),
        })
        .collect()
}

/// What `docker-compose config` says to `docker-compose.yml` with these settings and no others.
fn compose_config(settings: &str) -> Output {
    let folder = tempfile::tempdir().unwrap();
    let env_file = folder.path().join("env");
    fs::write(&env_file, settings).unwrap();
    Command::new(program("docker-compose", "docker-compose").unwrap())
        .args(["--file", text(&repository("docker-compose.yml"))])
        .args(["--env-file", text(&env_file), "config"])
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("HOME", folder.path())
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

#[test]
fn docker_compose_takes_the_file_with_all_settings_and_not_with_one_missing() {
    let all = filled_in(None);
    let output = compose_config(&all);
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{complaint}");
    let config = String::from_utf8(output.stdout).unwrap();
    for service in [
        "proxy",
        "airlift",
        "postgres",
        "mosquitto",
        "s3",
        "prometheus",
        "grafana",
    ] {
        assert!(
            config.contains(&format!("\n  {service}:\n")),
            "{service}\n{config}"
        );
    }

    std::thread::scope(|scope| {
        for key in all.lines().filter_map(|line| line.split('=').next()) {
            scope.spawn(move || {
                let output = compose_config(&filled_in(Some(key)));
                let complaint = String::from_utf8_lossy(&output.stderr);
                assert!(!output.status.success(), "it does without {key}");
                assert!(complaint.contains(".env.example"), "{key}: {complaint}");
            });
        }
    });
}
