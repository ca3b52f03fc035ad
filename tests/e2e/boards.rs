//! The firmware on boards: the RISC-V machine of stock QEMU, killed at any moment, and the image for
//! the ESP32-C3.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use airlift_testkit::{ESPTOOL_VERSION, Process, binary, free_port, program, python_with};
use rand::{Rng, SeedableRng, rngs::StdRng};
use serde_json::Value;
use tempfile::TempDir;

use super::{
    qemu_flash::{self, Settings},
    server::{Api, PATIENCE, Server, eventually},
};

const ID: &str = "QEMU1";
const OLD: &str = "1.0.1";
const NEW: &str = "1.0.2";
/// Moments within updates at which QEMU is killed.
const KILLS: u32 = 10;
/// A whole update takes about a second.
const KILL_AFTER_MS_MAX: u64 = 900;

/// A file that `firmware/*/build.sh` makes.
fn built(path: &str) -> PathBuf {
    let file = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("target")
        .join(path);
    assert!(
        file.is_file(),
        "{} is not built: run ./test.sh or `just boards`",
        file.display()
    );
    file
}

fn elf(name: &str) -> PathBuf {
    built(&format!(
        "qemu-riscv32/riscv32imac-unknown-none-elf/release/{name}"
    ))
}

/// A server and a board that is provisioned for it.
struct Lab {
    board: Process,
    _server: Server,
    api: Api,
    /// Removed after the processes are gone.
    _folder: TempDir,
}

impl Lab {
    fn start(rollback: bool) -> Lab {
        let folder = tempfile::tempdir().unwrap();
        let (http, mqtt) = (free_port().unwrap(), free_port().unwrap());
        let args = [
            "serve".to_owned(),
            format!("--listen=127.0.0.1:{http}"),
            format!("--data-dir={}", folder.path().display()),
            format!("--mqtt-listen=127.0.0.1:{mqtt}"),
            // The host, as the board sees it.
            format!("--public-url=http://10.0.2.2:{http}"),
        ];
        let process = Process::spawn(binary("airlift").unwrap(), &args, &[], "airlift").unwrap();
        let url = format!("http://127.0.0.1:{http}");
        let mut server = Server { process, url };
        server.wait_until_serving();
        let api = Api::new(&[&server.url]);
        let settings = Settings {
            id: ID,
            mqtt_host: "10.0.2.2",
            mqtt_port: mqtt,
            token: "",
            prefix: "hanqi",
            page_pass: "",
            rollback,
        };
        let image = qemu_flash::image(&elf("app"), OLD);
        let units = qemu_flash::make_flash(&image, &settings);
        let files = [0, 1].map(|unit| folder.path().join(format!("pf{unit}.bin")));
        qemu_flash::write_flash(&units, [&files[0], &files[1]]).unwrap();
        let board = Process::spawn(
            program("qemu-system-riscv32", "qemu-system-misc").unwrap(),
            &qemu_args(&files),
            &[],
            "qemu",
        )
        .unwrap();
        let mut lab = Lab {
            _folder: folder,
            _server: server,
            api,
            board,
        };
        lab.wait_for(&format!("airlift: heartbeat, version {OLD}"));
        lab
    }

    fn wait_for(&mut self, line: &str) {
        self.board.wait_for_line(line, PATIENCE).unwrap();
    }

    /// Uploads the app as this version and releases it.
    async fn release(&self, version: &str) {
        let image = qemu_flash::image(&elf("app"), version);
        self.api.release(version, &image).await;
    }

    async fn task(&self) -> Value {
        let path = format!("/api/ota/task/{ID}");
        self.api.get(&path).await.unwrap_or_default()
    }

    async fn task_that(&self, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let mut task = Value::Null;
        eventually(what, PATIENCE, async || {
            task = self.task().await;
            wanted(&task)
        })
        .await;
        task
    }

    /// Power off at this moment, and on again.
    fn cut_power(&mut self) {
        self.board.kill9().unwrap();
        self.board.start_again().unwrap();
    }
}

fn qemu_args(files: &[PathBuf; 2]) -> Vec<String> {
    let mut args: Vec<String> = "-M virt -m 2M -bios none -accel tcg,tb-size=32 -display none \
         -monitor none -serial stdio -netdev user,id=n0 -device virtio-net-device,netdev=n0 \
         -global virtio-mmio.force-legacy=false"
        .split_whitespace()
        .map(str::to_owned)
        .collect();
    args.push("-device".into());
    args.push(format!(
        "loader,file={},cpu-num=0",
        elf("bootloader").display()
    ));
    for (unit, file) in files.iter().enumerate() {
        args.push("-drive".into());
        args.push(format!(
            "if=pflash,unit={unit},format=raw,file={}",
            file.display()
        ));
    }
    args
}

#[tokio::test(flavor = "multi_thread")]
async fn the_board_takes_a_command_pulls_the_image_switches_its_slot_and_proves_itself() {
    for rollback in [false, true] {
        let mut lab = Lab::start(rollback);
        lab.release(NEW).await;
        lab.api.trigger(ID, NEW).await;
        lab.wait_for(&format!("bootloader: starts ota_1, version {NEW}"));
        lab.wait_for(&format!("airlift: version {NEW} is confirmed"));
        let task = lab
            .task_that("the server has the proof", |task| {
                !task["confirmedAt"].is_null()
            })
            .await;
        assert_eq!(task["status"], "completed", "{task}");
        let stack = lab.board.log();
        let stack = stack.lines().rfind(|line| line.contains("airlift: stack"));
        println!("rollback {rollback}: {}", stack.unwrap_or_default());
        // What is confirmed stays over a power cut.
        lab.cut_power();
        lab.wait_for(&format!("airlift: heartbeat, version {NEW}"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_update_survives_ten_power_cuts_at_random_moments() {
    let seed = std::env::var("AIRLIFT_SEED").map_or_else(
        |_| rand::random(),
        |seed| seed.parse::<u64>().expect("AIRLIFT_SEED is a number"),
    );
    println!("AIRLIFT_SEED={seed}");
    let mut random = StdRng::seed_from_u64(seed);
    for rollback in [false, true] {
        let mut lab = Lab::start(rollback);
        let (mut kills, mut runs) = (0, OLD.to_owned());
        let mut ends = Vec::new();
        for number in 2.. {
            let version = format!("1.0.{number}");
            lab.release(&version).await;
            lab.api.trigger(ID, &version).await;
            while kills < KILLS && !has_ended(&lab.task().await) {
                let ms = random.random_range(0..KILL_AFTER_MS_MAX);
                tokio::time::sleep(Duration::from_millis(ms)).await;
                if !has_ended(&lab.task().await) {
                    lab.cut_power();
                    kills += 1;
                }
            }
            let task = lab.task_that("the task ends", has_ended).await;
            let log = lab.board.log();
            assert!(!log.contains("no bootable image"), "a brick: {log}");
            if task["status"] == "completed" {
                runs = version;
            } else {
                panic!("{task}\n{log}");
            }
            ends.push(format!("{} {}", task["toVersion"], task["status"]));
            if kills == KILLS {
                break;
            }
        }
        lab.cut_power();
        lab.wait_for(&format!("airlift: heartbeat, version {runs}"));
        println!(
            "rollback {rollback}: {kills} kills within updates; {}",
            ends.join(", ")
        );
    }
}

/// Whether the update is proven, or failed.
fn has_ended(task: &Value) -> bool {
    !task["confirmedAt"].is_null() || task["status"] == "failed"
}

#[test]
fn the_image_for_the_esp32_c3_is_valid() {
    let image = built("esp32c3/riscv32imc-unknown-none-elf/release/airlift-esp32c3.bin");
    let output = Command::new(python_with("esptool", ESPTOOL_VERSION).unwrap())
        .args(["-m", "esptool", "image-info"])
        .arg(&image)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}");
    // It exits with success for a bad image, too.
    assert_eq!(said.matches("(valid)").count(), 2, "{said}");
    assert!(!said.contains("(invalid"), "{said}");
    let bytes = fs::read(&image).unwrap();
    let chip = airlift_firmware::flash::image::ChipId::ESP32_C3;
    let mut verifier = airlift_firmware::flash::image::Verifier::new(chip, 0x1E_0000);
    verifier.update(&bytes).unwrap();
    let info = verifier.finish().unwrap();
    let descriptor = info.descriptor.expect("it has an app descriptor");
    println!("{} bytes, version {}", info.size, descriptor.version);
    assert_eq!(descriptor.project, "airlift-esp32c3");
}
