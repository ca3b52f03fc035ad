use super::*;

#[test]
fn the_default_file_names_every_key() {
    let text = include_str!("../../config/default.toml");
    let keys: std::collections::BTreeSet<String> = text
        .lines()
        .filter_map(|line| line.trim_start_matches("# ").split_once(" = "))
        .map(|(key, _)| key.to_owned())
        .collect();
    let toml::Value::Table(all) = toml::Value::try_from(every_key()).unwrap() else {
        panic!("options are a table");
    };
    assert_eq!(keys, all.keys().cloned().collect());
    let uncommented: String = text
        .lines()
        .filter_map(|line| line.strip_prefix("# ").filter(|line| line.contains(" = ")))
        .map(|line| format!("{line}\n"))
        .collect();
    Options::from_toml(&uncommented).unwrap();
}

fn every_key() -> Options {
    Options {
        sources: BTreeMap::new(),
        listen: Some(([127, 0, 0, 1], 1).into()),
        public_url: Some(String::new()),
        data_dir: Some(PathBuf::new()),
        database_url: Some(String::new()),
        blob_url: Some(String::new()),
        mqtt_listen: Some(([127, 0, 0, 1], 1).into()),
        mqtt_url: Some(String::new()),
        topic_prefix: Some(String::new()),
        trusted_keys: Some(PathBuf::new()),
        require_signature: Some(RequireSignature::Auto),
        insecure_open: Some(false),
        tls_cert: Some(PathBuf::new()),
        tls_key: Some(PathBuf::new()),
        device_ca: Some(PathBuf::new()),
        public_downloads: Some(false),
        download_url_hours: Some(1),
        requests_per_second: Some(1),
        uploads_max: Some(1),
        connections_max: Some(1),
        trusted_proxies: Some(Vec::new()),
        gateway_messages_per_second: Some(1),
        session_hours: Some(1),
        oidc_issuer: Some(String::new()),
        oidc_client_id: Some(String::new()),
        oidc_client_secret_file: Some(PathBuf::new()),
        oidc_role_claim: Some(String::new()),
        oidc_default_role: Some(String::new()),
        upload_bytes_max: Some(1),
        download_bytes_per_second: Some(NonZeroU64::MIN),
        task_timeout_seconds: Some(1),
        pending_timeout_seconds: Some(1),
        confirm_timeout_seconds: Some(1),
        history_days: Some(1),
        event_days: Some(1),
        heartbeat_interval_seconds: Some(1),
        heartbeats_keep_hours: Some(1),
        announce_hours: Some(1),
        log_format: Some(LogFormat::Text),
        log: Some(String::new()),
    }
}

#[test]
fn every_key_is_listed_with_its_value_and_where_it_comes_from() {
    let file = Options::from_toml("history-days = 7\nlog = \"debug\"").unwrap();
    let mut flags = Options {
        log: Some("warn".into()),
        trusted_proxies: Some(vec![
            "10.0.0.0/8".parse().unwrap(),
            "::1/128".parse().unwrap(),
        ]),
        ..Options::default()
    };
    flags
        .sources
        .insert("trusted-proxies".into(), Source::Environment);
    let listed = flags.over(file).resolve().unwrap().listed();
    let names: Vec<&str> = listed.iter().map(|option| option.name.as_str()).collect();
    let toml::Value::Table(all) = toml::Value::try_from(every_key()).unwrap() else {
        panic!("options are a table");
    };
    let keys: Vec<&str> = names
        .iter()
        .map(|name| name.trim_start_matches('-'))
        .collect();
    let expected: std::collections::BTreeSet<&str> = all.keys().map(String::as_str).collect();
    assert_eq!(
        keys.iter()
            .copied()
            .collect::<std::collections::BTreeSet<_>>(),
        expected
    );
    assert_eq!(keys.len(), expected.len());
    for (name, value, source) in [
        ("--history-days", Some("7"), Source::File),
        ("--log", Some("warn"), Source::CommandLine),
        (
            "--trusted-proxies",
            Some("10.0.0.0/8,::1/128"),
            Source::Environment,
        ),
        ("--listen", Some("127.0.0.1:8018"), Source::Default),
        ("--blob-url", Some("file:./data/blobs"), Source::Default),
        ("--require-signature", Some("auto"), Source::Default),
        ("--mqtt-url", None, Source::Default),
    ] {
        let option = listed.iter().find(|option| option.name == name).unwrap();
        assert_eq!(
            (option.value.as_deref(), option.source),
            (value, source),
            "{name}"
        );
        assert!(!option.help.is_empty(), "{name}");
    }
}

#[test]
fn addresses_that_others_can_reach_are_told_apart() {
    let flags = |listen: &str, mqtt_listen: &str| -> Vec<&str> {
        let options = Options {
            listen: Some(listen.parse().unwrap()),
            mqtt_listen: Some(mqtt_listen.parse().unwrap()),
            ..Options::default()
        };
        let addresses = options.resolve().unwrap().public_addresses();
        addresses.into_iter().map(|(flag, _)| flag).collect()
    };
    assert_eq!(flags("127.0.0.1:1", "[::1]:2"), [""; 0]);
    assert_eq!(flags("0.0.0.0:1", "127.0.0.1:2"), ["--listen"]);
    assert_eq!(flags("127.0.0.1:1", "[::]:2"), ["--mqtt-listen"]);
}

#[test]
fn a_key_that_is_unknown_or_senseless_is_refused() {
    assert!(Options::from_toml("download-bytes-per-second = 0").is_err());
    assert!(Options::from_toml("lissten = \"127.0.0.1:1\"").is_err());
    assert_eq!(
        Options::from_toml("public_url = \"http://a\"")
            .unwrap()
            .public_url,
        Some("http://a".into())
    );
    for options in [
        Options {
            public_url: Some("ftp://a".into()),
            ..Options::default()
        },
        Options {
            topic_prefix: Some("a/#".into()),
            ..Options::default()
        },
        Options {
            require_signature: Some(RequireSignature::Always),
            ..Options::default()
        },
        Options {
            task_timeout_seconds: Some(0),
            ..Options::default()
        },
        Options {
            history_days: Some(0),
            ..Options::default()
        },
        Options {
            heartbeat_interval_seconds: Some(86_401),
            ..Options::default()
        },
        Options {
            heartbeats_keep_hours: Some(0),
            ..Options::default()
        },
        Options {
            announce_hours: Some(8_785),
            ..Options::default()
        },
        Options {
            event_days: Some(36_526),
            ..Options::default()
        },
    ] {
        assert!(options.resolve().is_err());
    }
}
