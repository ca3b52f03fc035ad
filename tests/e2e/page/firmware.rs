//! Firmware: what the page reads of a file before the upload, the upload, the release, the comparison.

use std::{fs, path::PathBuf, process::Command};

use airlift_simflash::{
    ImageBuilder,
    image::{self, DESCRIPTOR_AT, ESP32, ESP32C3},
    table::{self, Entry},
};
use airlift_testkit::{Process, Scratch, binary, free_port};
use md5::Md5;
use reqwest::multipart::{Form, Part};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::{
    super::server::{Api, PATIENCE, Server, eventually},
    nothing, run,
};

const IDF: &str = "v5.3.1";

/// A server, and a folder for what is uploaded.
struct Bench {
    scratch: Scratch,
    server: Server,
    api: Api,
    mqtt_port: u16,
}

impl Bench {
    fn new() -> Bench {
        Bench::with(|_| Vec::new())
    }

    /// `args` may make files that the server needs.
    fn with(args: impl FnOnce(&Scratch) -> Vec<String>) -> Bench {
        let scratch = Scratch::new("firmware").unwrap();
        let mqtt_port = free_port().unwrap();
        let mut all = vec![format!("--mqtt-listen=127.0.0.1:{mqtt_port}")];
        all.extend(args(&scratch));
        let server = Server::start(&scratch.path().join("data"), &all, &[]);
        let api = Api::new(&[&server.url]);
        Bench {
            scratch,
            server,
            api,
            mqtt_port,
        }
    }

    fn file(&self, name: &str, content: &[u8]) -> PathBuf {
        let path = self.scratch.path().join(name);
        fs::write(&path, content).unwrap();
        path
    }

    /// Runs a scenario that asks for the gateway's firmware of this version.
    async fn run(&self, scenario: &str, version: &str, input: Value) {
        let path = format!("/api/ota/firmware/{version}");
        run(scenario, &self.server.url, input, async |_: &str| {
            self.api.get(&path).await.unwrap_or(Value::Null)
        })
        .await;
    }

    async fn upload(&self, image: &[u8], fields: &[(&'static str, &str)]) {
        let mut form = Form::new();
        for (name, value) in fields {
            form = form.text(*name, (*value).to_owned());
        }
        let form = form.part("file", Part::bytes(image.to_vec()).file_name("app.bin"));
        let url = format!("{}/api/ota/firmware/upload", self.server.url);
        let request = reqwest::Client::new().post(url).multipart(form);
        assert_eq!(request.send().await.unwrap().status(), 200);
    }
}

fn airlift(scratch: &Scratch, line: &str) {
    let output = Command::new(binary("airlift").unwrap())
        .current_dir(scratch.path())
        .args(line.split_whitespace())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{line}: {said}");
}

/// An application of `bytes` bytes as ESP-IDF's build writes it.
fn app(chip: u16, version: &str, bytes: usize) -> Vec<u8> {
    let mut app = ImageBuilder::new(chip)
        .version(version)
        .project("gateway")
        .size(bytes, 8)
        .build();
    let mut put = |at: usize, text: &[u8]| app[at..at + text.len()].copy_from_slice(text);
    // From chip revision 0.3 on; secure version 3.
    put(15, &3_u16.to_le_bytes());
    put(DESCRIPTOR_AT + 4, &3_u32.to_le_bytes());
    put(DESCRIPTOR_AT + 80, b"14:03:22");
    put(DESCRIPTOR_AT + 96, b"Nov  3 2025");
    put(DESCRIPTOR_AT + 112, IDF.as_bytes());
    image::seal(&mut app).unwrap();
    app
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_is_read_before_it_is_uploaded_and_a_release_can_be_undone() {
    let bench = Bench::new();
    let app = app(ESP32C3, "2.7.0", 400_000);
    let path = bench.file("app.bin", &app);
    let input = json!({ "image": {
        "path": path,
        "name": "app.bin",
        "version": "2.7.0",
        "sha256": hex::encode(Sha256::digest(&app)),
        "md5": hex::encode(Md5::digest(&app)),
        "says": {
            "Chip": "ESP32-C3",
            "Chip revision": "v0.3 or later",
            "Project": "gateway",
            "Version in the image": "2.7.0",
            "ESP-IDF": IDF,
            "Compiled": "Nov 3 2025 14:03:22",
            "Secure version": "3",
        },
    }});
    bench.run("upload", "2.7.0", input).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bundle_names_its_signer_before_the_upload_and_a_strangers_is_refused() {
    let bench = Bench::with(|scratch| {
        fs::create_dir(scratch.path().join("trusted")).unwrap();
        for name in ["release-2026", "stranger"] {
            airlift(
                scratch,
                &format!("key generate --name {name} --no-passphrase --out signing"),
            );
        }
        let key = scratch.path().join("signing/release-2026.asc");
        fs::copy(key, scratch.path().join("trusted/release-2026.asc")).unwrap();
        let trusted = scratch.path().join("trusted");
        vec![format!("--trusted-keys={}", trusted.display())]
    });
    bench.file("app.bin", &app(ESP32C3, "2.8.0", 400_000));
    bench.file("CHANGES.md", b"- **faster**\n");
    for (name, key) in [("trusted", "release-2026"), ("stranger", "stranger")] {
        airlift(
            &bench.scratch,
            &format!(
                "bundle build --target esp32c3 --firmware app.bin --version 2.8.0 --release-counter 28 \
                 --changelog CHANGES.md --sign signing/{key}.secret.asc --out {name}.jota"
            ),
        );
    }
    let input = json!({
        "trusted": bench.scratch.path().join("trusted.jota"),
        "stranger": bench.scratch.path().join("stranger.jota"),
        "version": "2.8.0",
        "counter": 28,
    });
    bench.run("bundle", "2.8.0", input).await;
}

const HOSTILE_CHANGELOG: &str = r#"# Hi <img src=x onerror="globalThis.hacked=1">

<script>globalThis.hacked = 1; fetch("http://evil.example/")</script>

[click](javascript:globalThis.hacked=1) [data](data:text/html,x) ![pixel](http://evil.example/p.png)
[ok](https://example.com/a "title")

<iframe src="http://evil.example/"></iframe>

<a href="https://example.com" onclick="globalThis.hacked=1">raw</a> &lt;b&gt; &#x3c;i&#62; `<u>` &constructor;

<https://example.com/b> <mailto:a@example.com> [local](/api/ota/logout)
"#;

#[tokio::test(flavor = "multi_thread")]
async fn html_and_script_in_a_changelog_and_a_description_stay_text() {
    let bench = Bench::new();
    let description = "<b>bold</b><img src=x onerror=alert(1)><script>globalThis.hacked=1</script>";
    let fields = [
        ("version", "6.6.6"),
        ("description", description),
        ("changelog", HOSTILE_CHANGELOG),
    ];
    bench.upload(b"any bytes", &fields).await;
    let input = json!({
        "version": "6.6.6",
        "description": description,
        "stays": [
            "<img src=x onerror=",
            "<script>globalThis.hacked = 1;",
            "<iframe src=",
            "onclick=\"globalThis.hacked=1\"",
            "<b> <i>",
            "<u>",
            "&constructor;",
        ],
        "links": [
            "http://evil.example/p.png",
            "https://example.com/a",
            "https://example.com/b",
            "mailto:a@example.com",
        ],
    });
    run("hostile", &bench.server.url, input, nothing).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_versions_are_compared_with_the_gateways_that_run_them() {
    let bench = Bench::new();
    let (first, second) = (app(ESP32, "1.0.0", 300_000), app(ESP32C3, "1.1.0", 330_000));
    bench
        .upload(&first, &[("version", "1.0.0"), ("changelog", "the first")])
        .await;
    let fields = [
        ("version", "1.1.0"),
        ("changelog", "the second"),
        ("minVersion", "1.0.0"),
    ];
    bench.upload(&second, &fields).await;
    let args = [
        "--id=COMPARED".to_owned(),
        format!("--mqtt=mqtt://127.0.0.1:{}", bench.mqtt_port),
        "--firmware-version=1.0.0".to_owned(),
        "--device-type=gateway".to_owned(),
    ];
    let gateway = binary("airlift-gateway").unwrap();
    let _gateway = Process::spawn(gateway, &args, &[], "COMPARED").unwrap();
    eventually("the gateway is heard of", PATIENCE, async || {
        let found = bench.api.get("/api/ota/gateways/COMPARED").await;
        found.is_some_and(|it| it["currentVersion"] == "1.0.0" && it["deviceType"] == "gateway")
    })
    .await;
    let digest = |image: &[u8]| hex::encode(Sha256::digest(image));
    let input = json!({
        "versions": ["1.0.0", "1.1.0"],
        "chip": "ESP32",
        "rows": {
            "Status": ["draft", "draft", "same"],
            "Size": ["293 KiB", "322 KiB", "29.3 KiB more (10%)"],
            "SHA-256": [digest(&first), digest(&second), "differs"],
            "Chip": ["ESP32", "ESP32-C3", "differs"],
            "ESP-IDF": [IDF, IDF, "same"],
            "Lowest version to come from": ["–", "1.0.0", "differs"],
            "Signature": ["not signed", "not signed", "same"],
            "Gateways that run it": ["1", "0", ""],
        },
    });
    run("compare", &bench.server.url, input, nothing).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_application_image_is_warned_of_and_can_be_uploaded() {
    let bench = Bench::new();
    let app = app(ESP32C3, "3.0.0", 100_000);
    let entries = [
        Entry::new("nvs", table::DATA, 2, 0x9000, 0x5000),
        Entry::new("factory", table::APP, 0, 0x1_0000, 0x10_0000),
    ];
    let merged = image::merged(
        &image::bootloader_like(ESP32C3),
        &table::to_binary(&entries),
        &app,
    );
    let mut damaged = app.clone();
    image::flip(&mut damaged, 50_000, 3);
    // zstd, and in it no archive but 600 letters.
    let none = [
        &[0x28, 0xB5, 0x2F, 0xFD, 0, 0, 0xC1, 0x12, 0][..],
        &[b'x'; 600],
    ]
    .concat();
    let files: Vec<_> = [
        ("page.bin", &b"<!doctype html>"[..], "no application image"),
        ("merged.bin", &merged, "a merged image"),
        ("cut.bin", &app[..60_000], "cut off"),
        ("damaged.bin", &damaged, "its checksum does not fit"),
        ("bootloader.bin", &image::bootloader_like(ESP32C3), "no app descriptor"),
        ("unhashed.bin", &ImageBuilder::new(ESP32).without_hash().build(), "without SHA-256"),
        ("empty.bin", &[], "The file is empty"),
        ("none.jota", &none, "begins like a bundle"),
    ]
    .into_iter()
    .map(|(name, content, warning)| {
        json!({ "path": bench.file(name, content), "name": name, "warning": warning })
    })
    .collect();
    let input = json!({ "files": files, "kept": "page.bin", "version": "1.0.0" });
    bench.run("wrong-file", "1.0.0", input).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_apis_description_works_under_the_policy_of_all_pages() {
    let bench = Bench::new();
    run("docs", &bench.server.url, json!({}), nothing).await;
}
