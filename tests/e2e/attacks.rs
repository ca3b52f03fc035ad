//! What an attacker may try with signed bundles, each attack once at the server's upload and once at
//! a gateway that a hostile server feeds. Server and gateway name it by one word, and no byte of a
//! part reaches the gateway before its release is proven.

mod hostile;

use airlift_bundle::{Kind, PartName};
use airlift_testkit::{Process, binary, free_port};
use serde_json::{Value, json};

use self::hostile::{Answer, Hostile, Lie};
use super::{
    announcements::{ALERTS, Listener},
    forge::{Forge, Pieces, compressed, jota, tar},
    server::{Api, PATIENCE, Server, eventually},
};

const OLD: &str = "1.0.0";
const NEW: &str = "1.2.0";
const GATEWAY: &str = "ATTACKED";

struct Scene {
    forge: Forge,
    server: Server,
    api: Api,
    alerts: Listener,
    mqtt_port: u16,
    _folder: tempfile::TempDir,
}

impl Scene {
    async fn start() -> Scene {
        let forge = Forge::new();
        let folder = tempfile::tempdir().unwrap();
        let mqtt_port = free_port().unwrap();
        let args = [
            format!("--mqtt-listen=127.0.0.1:{mqtt_port}"),
            format!("--trusted-keys={}", forge.trusted().display()),
        ];
        let server = Server::start(folder.path(), &args, &[]);
        Scene {
            api: Api::new(&[&server.url]),
            alerts: Listener::start(mqtt_port),
            forge,
            server,
            mqtt_port,
            _folder: folder,
        }
    }

    /// Uploads a file; status and answer.
    async fn upload(&self, file: Vec<u8>) -> (u16, Value) {
        let part = reqwest::multipart::Part::bytes(file).file_name("bundle.jota");
        let form = reqwest::multipart::Form::new().part("file", part);
        let url = format!("{}/api/ota/firmware/upload", self.server.url);
        let request = reqwest::Client::new().post(url).multipart(form);
        let answer = request.send().await.unwrap();
        (answer.status().as_u16(), answer.json().await.unwrap())
    }

    async fn upload_and_release(&self, bundle: &Pieces, version: &str) -> Value {
        let (status, mut answer) = self.upload(bundle.jota()).await;
        assert_eq!(status, 200, "{answer}");
        let path = format!("/api/ota/firmware/{version}/release");
        self.api.post(&path, &json!({})).await;
        answer["data"].take()
    }

    async fn alerted(&self, code: &str, source: &str) {
        eventually(&format!("an alert of {code}"), PATIENCE, async || {
            self.alerts.heard(ALERTS).iter().any(|alert| {
                let alert: Value = serde_json::from_str(alert).unwrap();
                alert["alert"] == "signature_failure"
                    && alert["code"] == code
                    && alert["source"] == source
            })
        })
        .await;
    }
}

/// An upload that is refused: what it is, the archive, the code, the status.
pub type Refused = (&'static str, Vec<u8>, &'static str, u16);

pub fn uploads_of_forgeries(forge: &Forge) -> Vec<Refused> {
    let genuine = forge.bundle(Kind::FirmwareAndWeb, NEW, 20, |_| {});
    let other = forge.bundle(Kind::FirmwareAndWeb, "1.1.9", 19, |_| {});
    let changed = |change: &dyn Fn(&mut Pieces)| {
        let mut pieces = genuine.clone();
        change(&mut pieces);
        pieces.jota()
    };
    let members = genuine.members();
    vec![
        ("a plain image", vec![7; 1000], "unsigned", 400),
        (
            "no signature",
            jota(&[members[0], members[2], members[3]]),
            "unsigned",
            400,
        ),
        (
            "an empty signature",
            changed(&|pieces| pieces.signature.clear()),
            "unsigned",
            400,
        ),
        (
            "signed by a stranger",
            changed(&|pieces| pieces.signature = forge.sign_as_stranger(&pieces.manifest)),
            "untrusted_key",
            400,
        ),
        (
            "an altered manifest",
            changed(&|pieces| {
                let text = String::from_utf8(pieces.manifest.clone()).unwrap();
                let altered = text.replace("\"releaseCounter\":20", "\"releaseCounter\":21");
                assert_ne!(altered, text);
                pieces.manifest = altered.into();
            }),
            "bad_signature",
            400,
        ),
        (
            "a part of another signed bundle",
            changed(&|pieces| pieces.parts[0] = other.parts[0].clone()),
            "part_mismatch",
            400,
        ),
    ]
}

pub fn uploads_of_what_is_old_or_malformed(forge: &Forge) -> Vec<Refused> {
    let genuine = forge.bundle(Kind::FirmwareAndWeb, NEW, 20, |_| {});
    let members = genuine.members();
    let with = |name: &'static str| {
        let mut members = members.clone();
        members[3].0 = name;
        jota(&members)
    };
    let genuine_archive = genuine.jota();
    let zeros = vec![0; 64 << 20];
    let endless = compressed(&tar(&[("manifest.json", &zeros)]));
    let longer = jota(&[members[0], members[1], ("firmware.bin", &zeros)]);
    vec![
        (
            "an older signed bundle",
            forge.bundle(Kind::Firmware, "1.0.5", 5, |_| {}).jota(),
            "release_rollback",
            409,
        ),
        (
            "an expired bundle",
            forge
                .bundle(Kind::Firmware, NEW, 20, |manifest| {
                    manifest.expires_at = Some(manifest.created_at + 60);
                })
                .jota(),
            "bundle_expired",
            400,
        ),
        ("endless data", endless, "bundle_too_large", 413),
        (
            "a part larger than its manifest says",
            longer,
            "part_mismatch",
            400,
        ),
        (
            "a truncated bundle",
            genuine_archive[..genuine_archive.len() - 20].to_vec(),
            "bundle_truncated",
            400,
        ),
        (
            "a name that climbs out",
            with("../../etc/cron.d/x"),
            "unsafe_path",
            400,
        ),
        ("an absolute name", with("/etc/passwd"), "unsafe_path", 400),
        (
            "no image for the target's chip",
            forge
                .bundle(Kind::Firmware, NEW, 20, |manifest| {
                    manifest.target = "esp32-wroom".into();
                })
                .jota(),
            "wrong_target",
            400,
        ),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn every_attack_on_the_upload_is_refused_by_its_name_and_leaves_nothing() {
    let scene = Scene::start().await;
    let before = scene.forge.bundle(Kind::Firmware, "1.1.0", 10, |_| {});
    scene.upload_and_release(&before, "1.1.0").await;
    let known = scene.api.list("/api/ota/firmware", "").await.unwrap();
    let blobs = || walk(&scene._folder.path().join("blobs"));
    let stored = blobs();
    assert!(!stored.is_empty());
    let mut uploads = uploads_of_forgeries(&scene.forge);
    uploads.extend(uploads_of_what_is_old_or_malformed(&scene.forge));
    for (attack, archive, code, expected) in uploads {
        let (status, answer) = scene.upload(archive).await;
        assert_eq!(answer["code"], code, "{attack}: {answer}");
        assert_eq!(status, expected, "{attack}: {answer}");
        println!("{attack}: {status} {code}: {}", answer["message"]);
        scene.alerted(&code.to_uppercase(), "server").await;
    }
    assert_eq!(
        scene.api.list("/api/ota/firmware", "").await.unwrap(),
        known
    );
    eventually("nothing is left behind", PATIENCE, async || {
        blobs() == stored
    })
    .await;
    // It is not that nothing passes.
    let genuine = scene.forge.bundle(Kind::FirmwareAndWeb, NEW, 20, |_| {});
    scene.upload_and_release(&genuine, NEW).await;
}

/// Every file below a folder.
fn walk(folder: &std::path::Path) -> Vec<std::path::PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.path().is_dir() {
            files.extend(walk(&entry.path()));
        } else {
            files.push(entry.path());
        }
    }
    files.sort();
    files
}

/// One attack on the gateway.
struct Attack {
    name: &'static str,
    code: &'static str,
    /// Bytes of parts may come: what is wrong shows in them alone.
    in_the_parts: bool,
    lie: Lie,
}

/// An attack that is noticed before a byte of a part.
fn before_parts(name: &'static str, code: &'static str, lie: Lie) -> Attack {
    Attack {
        name,
        code,
        in_the_parts: false,
        lie,
    }
}

/// An attack that only the bytes of a part show.
fn in_parts(name: &'static str, code: &'static str, lie: Lie) -> Attack {
    Attack {
        in_the_parts: true,
        ..before_parts(name, code, lie)
    }
}

fn forgeries(forge: &Forge, genuine: &Pieces) -> Vec<Attack> {
    let serve = Lie::serving;
    let stranger = forge.sign_as_stranger(&genuine.manifest);
    let altered = String::from_utf8(genuine.manifest.clone()).unwrap();
    let altered = altered.replace("\"releaseCounter\":20", "\"releaseCounter\":99");
    let other = forge.bundle(Kind::FirmwareAndWeb, "1.1.9", 19, |_| {});
    vec![
        before_parts(
            "unsigned: a command without a manifest",
            "UNSIGNED",
            serve(genuine.clone()).command(|data| {
                for field in ["manifestUrl", "signatureUrl", "kind", "parts"] {
                    data.as_object_mut().unwrap().remove(field);
                }
            }),
        ),
        before_parts(
            "unsigned: an empty signature",
            "UNSIGNED",
            serve(genuine.clone()).file("manifest.json.asc", Answer::Bytes(Vec::new())),
        ),
        before_parts(
            "signed by a stranger",
            "UNTRUSTED_KEY",
            serve(genuine.clone()).file("manifest.json.asc", Answer::Bytes(stranger)),
        ),
        before_parts(
            "the manifest altered",
            "BAD_SIGNATURE",
            serve(genuine.clone()).file("manifest.json", Answer::Bytes(altered.into())),
        ),
        before_parts(
            "mix and match: the manifest of another bundle",
            "BAD_SIGNATURE",
            serve(genuine.clone()).file("manifest.json", Answer::Bytes(other.manifest.clone())),
        ),
        before_parts(
            "mix and match: the command announces another bundle's part",
            "PART_MISMATCH",
            serve(genuine.clone()).announcing(&other),
        ),
        in_parts(
            "mix and match: the bytes are another bundle's",
            "DIGEST_MISMATCH",
            serve(genuine.clone()).file(
                "firmware.bin",
                Answer::Bytes(other.part(PartName::Firmware).to_vec()),
            ),
        ),
        in_parts(
            "mix and match: the web part is another bundle's",
            "DIGEST_MISMATCH",
            serve(genuine.clone()).file(
                "web_spiffs.bin",
                Answer::Bytes(other.part(PartName::Web).to_vec()),
            ),
        ),
    ]
}

fn old_cut_and_endless_data(forge: &Forge, genuine: &Pieces) -> Vec<Attack> {
    let serve = Lie::serving;
    vec![
        before_parts(
            "freeze: an expired bundle",
            "BUNDLE_EXPIRED",
            serve(forge.bundle(Kind::Firmware, NEW, 20, |manifest| {
                manifest.expires_at = Some(manifest.created_at + 60);
            })),
        ),
        before_parts(
            "endless data: the manifest",
            "BUNDLE_TOO_LARGE",
            serve(genuine.clone()).file("manifest.json", Answer::Endless),
        ),
        before_parts(
            "endless data: the signature",
            "BUNDLE_TOO_LARGE",
            serve(genuine.clone()).file("manifest.json.asc", Answer::Endless),
        ),
        in_parts(
            "endless data: a part",
            "DIGEST_MISMATCH",
            serve(genuine.clone()).file("firmware.bin", Answer::Endless),
        ),
        before_parts(
            "truncated: half a manifest",
            "BUNDLE_TRUNCATED",
            serve(genuine.clone()).file(
                "manifest.json",
                Answer::Bytes(genuine.manifest[..genuine.manifest.len() / 2].to_vec()),
            ),
        ),
        before_parts(
            "truncated: half a signature",
            "BUNDLE_TRUNCATED",
            serve(genuine.clone()).file(
                "manifest.json.asc",
                Answer::Bytes(genuine.signature[..genuine.signature.len() / 2].to_vec()),
            ),
        ),
        before_parts(
            "a part whose name climbs out",
            "UNSAFE_PATH",
            serve(genuine.clone())
                .command(|data| data["parts"][1]["name"] = json!("../../web_spiffs.bin")),
        ),
        before_parts(
            "the wrong target",
            "WRONG_TARGET",
            serve(forge.bundle(Kind::Firmware, NEW, 20, |manifest| {
                manifest.target = "esp32-wroom".into();
            })),
        ),
        before_parts(
            "below the lowest version it may be installed from",
            "MIN_VERSION",
            serve(forge.bundle(Kind::Firmware, NEW, 20, |manifest| {
                manifest.min_version = Some("1.1.0".into());
            })),
        ),
    ]
}

/// Orders an upgrade whose command the server holds back, and gives the gateway a hostile one under
/// its id instead; the task once it ended.
async fn play(scene: &Scene, hostile: &Hostile, version: &str, lie: &Lie) -> Value {
    let later = airlift::domain::Clock::System.now() + chrono::TimeDelta::hours(1);
    let order = json!({"version": version, "scheduledAt": later, "forceUpgrade": true});
    let path = format!("/api/ota/upgrade/{GATEWAY}");
    let task = scene.api.post(&path, &order).await;
    let msg_id = task["msgId"].as_str().unwrap();
    hostile.lie(lie);
    hostile.command(scene.mqtt_port, GATEWAY, msg_id, lie).await;
    let path = format!("/api/ota/task/{GATEWAY}");
    let mut seen = Value::Null;
    eventually("the upgrade ends", PATIENCE, async || {
        seen = scene.api.get(&path).await.unwrap();
        assert_eq!(seen["msgId"], msg_id);
        seen["status"] == "failed" || !seen["confirmedAt"].is_null()
    })
    .await;
    seen
}

#[tokio::test(flavor = "multi_thread")]
async fn every_attack_on_a_gateway_is_refused_by_its_name_before_a_byte_of_a_part() {
    let scene = Scene::start().await;
    let hostile = Hostile::start().await;
    let folder = tempfile::tempdir().unwrap();
    let flash = folder.path().join("flash.img");
    let args = [
        format!("--id={GATEWAY}"),
        format!("--mqtt=mqtt://127.0.0.1:{}", scene.mqtt_port),
        format!("--firmware-version={OLD}"),
        format!("--flash={}", flash.display()),
        format!("--trusted-keys={}", scene.forge.trusted().display()),
        "--reboot-seconds=0".to_owned(),
        "--heartbeat-seconds=1".to_owned(),
    ];
    let gateway = binary("airlift-gateway").unwrap();
    let gateway = Process::spawn(gateway, &args, &[], GATEWAY).unwrap();
    let older = scene.forge.bundle(Kind::Firmware, "1.1.0", 10, |_| {});
    let genuine = scene.forge.bundle(Kind::FirmwareAndWeb, NEW, 20, |_| {});
    scene.upload_and_release(&older, "1.1.0").await;
    scene.upload_and_release(&genuine, NEW).await;

    let mut attacks = forgeries(&scene.forge, &genuine);
    attacks.extend(old_cut_and_endless_data(&scene.forge, &genuine));
    for attack in attacks {
        let task = play(&scene, &hostile, NEW, &attack.lie).await;
        assert_eq!(task["errorCode"], attack.code, "{}: {task}", attack.name);
        let bytes = hostile.part_bytes();
        let is_clean = attack.in_the_parts == (bytes > 0);
        assert!(is_clean, "{}: {bytes} bytes of parts", attack.name);
        assert!(gateway.log().contains(attack.code), "{}", attack.name);
        if !attack.in_the_parts {
            scene.alerted(attack.code, "gateway").await;
        }
        println!("{}: {}: {}", attack.name, attack.code, task["errorMessage"]);
        assert!(!gateway.log().contains("reboots"), "{}", attack.name);
    }

    // The real one passes, and then none before it does.
    let task = play(&scene, &hostile, NEW, &Lie::serving(genuine.clone())).await;
    assert!(!task["confirmedAt"].is_null(), "{task}");
    let replay = Lie::serving(older.clone());
    let task = play(&scene, &hostile, "1.1.0", &replay).await;
    assert_eq!(task["errorCode"], "RELEASE_ROLLBACK", "{task}");
    assert_eq!(hostile.part_bytes(), 0);
    scene.alerted("RELEASE_ROLLBACK", "gateway").await;
}
