//! A gateway's own upload page, with real bundles, keys of gpg's and of ours, and curl as typed.

use std::{fs, path::PathBuf, process::Command};

use airlift_esp::Target;
use airlift_simflash::ImageBuilder;
use airlift_testkit::{Gpg, Process, Scratch, binary, free_port, program};

use super::server::{PATIENCE, Server};

const OLD: &str = "1.0.1";

/// A folder with keys and bundles, a server, and a gateway that trusts both keys.
struct Scene {
    bench: Scratch,
    gpg: Gpg,
    page: String,
    gateway: Process,
    _server: Server,
}

impl Scene {
    fn start() -> Scene {
        let bench = Scratch::new("page").unwrap();
        let gpg = Gpg::new().unwrap();
        let mqtt_port = free_port().unwrap();
        let args = [format!("--mqtt-listen=127.0.0.1:{mqtt_port}")];
        let server = Server::start(&bench.path().join("data"), &args, &[]);
        let page_port = free_port().unwrap();
        let keys = bench.path().join("keys");
        fs::create_dir(&keys).unwrap();
        airlift(
            &bench,
            &gpg,
            "key generate --name ours --no-passphrase --out signing",
        );
        fs::copy(bench.path().join("signing/ours.asc"), keys.join("ours.asc")).unwrap();
        let release = gpg.generate("release@example.com", "ed25519", "never");
        fs::write(keys.join("gpg.asc"), gpg.export(&release.unwrap()).unwrap()).unwrap();
        gpg.generate("stranger@example.com", "ed25519", "never")
            .unwrap();
        let args = [
            "--id=PAGED".to_owned(),
            format!("--mqtt=mqtt://127.0.0.1:{mqtt_port}"),
            format!("--firmware-version={OLD}"),
            "--board=esp32c3".to_owned(),
            format!("--trusted-keys={}", keys.display()),
            "--device-type=gateway".to_owned(),
            format!("--local-listen=127.0.0.1:{page_port}"),
            "--local-password=PASSWORD".to_owned(),
            "--reboot-seconds=0".to_owned(),
            "--heartbeat-seconds=1".to_owned(),
        ];
        let gateway = binary("airlift-gateway").unwrap();
        let gateway = Process::spawn(gateway, &args, &[], "PAGED").unwrap();
        Scene {
            bench,
            gpg,
            page: format!("http://127.0.0.1:{page_port}/api/ota/upload"),
            gateway,
            _server: server,
        }
    }

    /// Builds a bundle and takes its files out: the folder.
    fn files(&self, version: &str, counter: u32, key: &str) -> PathBuf {
        let image = ImageBuilder::new(Target::Esp32c3.chip().unwrap().0)
            .version(version)
            .project("page")
            .size(200_000, counter.into())
            .build();
        fs::write(self.bench.path().join("app.bin"), image).unwrap();
        fs::write(self.bench.path().join("CHANGES.md"), "- faster\n").unwrap();
        for line in [
            format!(
                "bundle build --target esp32c3 --firmware app.bin --version {version} \
                 --release-counter {counter} --changelog CHANGES.md --sign {key} --out {version}.jota"
            ),
            format!("bundle extract {version}.jota --out {version}"),
        ] {
            airlift(&self.bench, &self.gpg, &line);
        }
        self.bench.path().join(version)
    }

    /// Runs curl in a folder: the answer's status and body.
    fn curl(&self, folder: &PathBuf, forms: &str) -> (u16, String) {
        let output = Command::new(program("curl", "curl").unwrap())
            .current_dir(folder)
            .args([
                "-sS",
                "--max-time",
                "60",
                "-w",
                "%{http_code}",
                "-u",
                ":PASSWORD",
            ])
            .args(forms.split_whitespace().flat_map(|form| ["-F", form]))
            .arg(&self.page)
            .output()
            .unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(
            text.len() > 3,
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        let (body, status) = text.split_at(text.len() - 3);
        (status.parse().unwrap(), body.to_owned())
    }

    fn refused(&self, folder: &PathBuf, forms: &str, status: u16, words: &str) {
        let (said, body) = self.curl(folder, forms);
        assert_eq!(said, status, "{forms}: {body}");
        assert!(body.contains(words), "{forms}: {body} does not say {words}");
    }

    fn confirmed(&mut self, folder: &PathBuf, version: &str) {
        let (status, body) = self.curl(folder, AS_TYPED);
        let installed = "{\"status\":\"ok\",\"message\":\"Update installed; rebooting\"}\n";
        assert_eq!((status, body.as_str()), (200, installed));
        let confirmed = format!("version {version} is confirmed");
        self.gateway.wait_for_line(&confirmed, PATIENCE).unwrap();
    }
}

const AS_TYPED: &str =
    "manifest=@manifest.json signature=@manifest.json.asc firmware=@firmware.bin";

fn airlift(bench: &Scratch, gpg: &Gpg, line: &str) {
    let output = Command::new(binary("airlift").unwrap().canonicalize().unwrap())
        .current_dir(bench.path())
        .env("GNUPGHOME", gpg.home())
        .args(line.split_whitespace())
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{line}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
}

#[test]
fn a_gateway_that_trusts_keys_takes_over_its_page_what_they_signed_and_nothing_else() {
    let mut scene = Scene::start();
    let page = "serves its upload page";
    scene.gateway.wait_for_line(page, PATIENCE).unwrap();
    let first = scene.files("2.7.0", 20, "signing/ours.secret.asc");
    scene.refused(&first, "firmware=@firmware.bin", 422, "Upload failed\",\"cause\":\"this device takes signed bundles only; send manifest, signature, firmware");
    scene.refused(
        &first,
        "firmware=@firmware.bin manifest=@manifest.json signature=@manifest.json.asc",
        422,
        "this device takes signed bundles only",
    );
    scene.refused(
        &first,
        "signature=@manifest.json.asc manifest=@manifest.json firmware=@firmware.bin",
        400,
        "in this order: manifest, signature, firmware",
    );
    let foreign = scene.files("2.7.7", 27, "gpg:stranger@example.com");
    scene.refused(&foreign, AS_TYPED, 422, "UNTRUSTED_KEY");
    let mixed = format!(
        "manifest=@manifest.json signature=@manifest.json.asc firmware=@{}",
        foreign.join("firmware.bin").display()
    );
    scene.refused(
        &first,
        &mixed,
        422,
        "Update.end() failed\",\"cause\":\"DIGEST_MISMATCH",
    );
    let log = scene.gateway.log();
    assert!(!log.contains("reboots"), "{log}");

    scene.confirmed(&first, "2.7.0");
    let second = scene.files("2.8.0", 21, "gpg:release@example.com");
    scene.confirmed(&second, "2.8.0");
    scene.refused(
        &first,
        AS_TYPED,
        422,
        "RELEASE_ROLLBACK: release 20 is older than 21",
    );
    assert!(scene.gateway.is_running().unwrap());
}
