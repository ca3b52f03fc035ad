//! What must never be taken in: each attack on a signed bundle, with its own code and status, leaves
//! nothing behind, and is counted, logged and told.

use std::{io::Write, net::SocketAddr};

use airlift_bundle::{Kind, MANIFEST_NAME, PartName, SIGNATURE_NAME};
use airlift_testkit::Process;
use tokio::{io::AsyncWriteExt, net::TcpStream};

use crate::{
    app::{Setup, TestApp, UPLOAD, eventually},
    bundles::{Keys, RELEASE, STRANGER, Sample, upload_bundle},
};

const BLOCK: usize = 512;
/// Of a tar header.
const CHECKSUM: std::ops::Range<usize> = 148..156;

fn untarred(bundle: &[u8]) -> Vec<u8> {
    zstd::decode_all(bundle).unwrap()
}

fn compressed(tar: &[u8]) -> Vec<u8> {
    zstd::encode_all(tar, 3).unwrap()
}

/// Where the header of a member begins.
fn header_of(tar: &[u8], name: &str) -> usize {
    let named = |block: &[u8]| block.starts_with(name.as_bytes()) && block[name.len()] == 0;
    let place = tar.chunks_exact(BLOCK).position(named);
    place.unwrap_or_else(|| panic!("no {name}")) * BLOCK
}

/// The bundle with a member under another name.
fn renamed(bundle: &[u8], name: &str, to: &str) -> Vec<u8> {
    let mut tar = untarred(bundle);
    let at = header_of(&tar, name);
    let header = &mut tar[at..at + BLOCK];
    header[..100].fill(0);
    header[..to.len()].copy_from_slice(to.as_bytes());
    header[CHECKSUM].fill(b' ');
    let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
    header[CHECKSUM].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    compressed(&tar)
}

/// The bundle with other bytes, as many, in a member.
fn replaced(bundle: &[u8], name: &str, bytes: &[u8]) -> Vec<u8> {
    let mut tar = untarred(bundle);
    let at = header_of(&tar, name) + BLOCK;
    tar[at..at + bytes.len()].copy_from_slice(bytes);
    compressed(&tar)
}

/// The bundle followed, in its frame, by so many zeros.
fn prolonged(bundle: &[u8], zeros: usize) -> Vec<u8> {
    let mut encoder = zstd::Encoder::new(Vec::new(), 3).unwrap();
    encoder.write_all(&untarred(bundle)).unwrap();
    let block = vec![0; 1 << 20];
    for _ in 0..zeros / block.len() {
        encoder.write_all(&block).unwrap();
    }
    encoder.finish().unwrap()
}

struct Attack {
    name: &'static str,
    bundle: Vec<u8>,
    status: u16,
    code: &'static str,
    /// A word of the message.
    says: &'static str,
}

fn attack(
    name: &'static str,
    bundle: Vec<u8>,
    (status, code): (u16, &'static str),
    says: &'static str,
) -> Attack {
    Attack {
        name,
        bundle,
        status,
        code,
        says,
    }
}

/// 1.0.2 with the counter 5 is there.
fn attacks(keys: &Keys) -> Vec<Attack> {
    let mut attacks = attacks_on_the_signature(keys);
    attacks.extend(attacks_behind_the_signature(keys));
    attacks.extend(attacks_by_names_and_bytes(keys));
    attacks
}

fn attacks_on_the_signature(keys: &Keys) -> Vec<Attack> {
    let good = Sample::new("1.0.3", 6);
    let sealed = keys.seal(&good);
    let signature = keys.gpg.sign(&[RELEASE], &good.manifest.to_json()).unwrap();
    let mut altered = good.clone();
    altered.manifest.version = "9.9.9".to_owned();
    let other = Sample::new("1.0.4", 7);
    let of_the_other = keys.gpg.sign(&[RELEASE], &other.manifest.to_json());
    let garbage = replaced(&sealed, SIGNATURE_NAME, b"-----BEGIN PGP NONSENSE--");
    vec![
        attack("unsigned", good.sealed(b""), (400, "unsigned"), "--sign"),
        attack(
            "signed by a stranger",
            keys.seal_by(STRANGER, &good),
            (400, "untrusted_key"),
            "no trusted key",
        ),
        attack(
            "manifest altered",
            altered.sealed(&signature),
            (400, "bad_signature"),
            "release",
        ),
        attack(
            "signature of another manifest",
            good.sealed(&of_the_other.unwrap()),
            (400, "bad_signature"),
            "release",
        ),
        attack(
            "signature garbled",
            garbage,
            (400, "bad_signature"),
            "garbled",
        ),
    ]
}

fn attacks_by_names_and_bytes(keys: &Keys) -> Vec<Attack> {
    let (sealed, firmware) = (keys.seal(&Sample::new("1.0.3", 6)), "firmware.bin");
    vec![
        attack(
            "a path out of the archive",
            renamed(&sealed, firmware, "../../etc/firmware.bin"),
            (400, "unsafe_path"),
            "etc",
        ),
        attack(
            "an absolute path",
            renamed(&sealed, firmware, "/firmware.bin"),
            (400, "unsafe_path"),
            "/firmware.bin",
        ),
        attack(
            "a member that no bundle has",
            renamed(&sealed, firmware, "firmware2.bin"),
            (400, "bundle_malformed"),
            "firmware2.bin",
        ),
        attack(
            "not an archive",
            compressed(&[b'x'; 4096]),
            (400, "bundle_malformed"),
            "",
        ),
        attack(
            "bytes behind the bundle",
            [sealed.clone(), b"more".to_vec()].concat(),
            (413, "bundle_too_large"),
            "",
        ),
    ]
}

fn attacks_behind_the_signature(keys: &Keys) -> Vec<Attack> {
    let good = Sample::new("1.0.3", 6);
    let sealed = keys.seal(&good);
    let firmware = PartName::Firmware.file_name();
    let mut expired = good.clone();
    expired.manifest.created_at = 1_700_000_000;
    expired.manifest.expires_at = Some(1_700_000_001);
    let mut chip = good.clone();
    chip.manifest.target = "esp32-wroom".to_owned();
    let manifest = String::from_utf8(good.manifest.to_json()).unwrap();
    let spaced = manifest.replacen(':', ": ", 1).into_bytes();
    vec![
        attack(
            "part swapped between two signed bundles",
            replaced(&sealed, firmware, &vec![7; good.firmware.len()]),
            (400, "part_mismatch"),
            firmware,
        ),
        attack(
            "an older signed bundle",
            keys.seal(&Sample::new("1.0.1", 4)),
            (409, "release_rollback"),
            "not above 5",
        ),
        attack(
            "the same counter for another version",
            keys.seal(&Sample::new("1.0.4", 5)),
            (409, "release_rollback"),
            "--allow-rollback",
        ),
        attack(
            "expired",
            keys.seal(&expired),
            (400, "bundle_expired"),
            "2023-11-14T22:13:21",
        ),
        attack(
            "endless",
            prolonged(&sealed, 64 << 20),
            (413, "bundle_too_large"),
            "end",
        ),
        attack(
            "truncated",
            sealed[..sealed.len() * 2 / 3].to_vec(),
            (400, "bundle_truncated"),
            "early",
        ),
        attack(
            "cut off behind the magic",
            sealed[..4].to_vec(),
            (400, "bundle_truncated"),
            "early",
        ),
        attack(
            "no image for the target's chip",
            keys.seal(&{
                chip.describe_parts();
                chip
            }),
            (400, "wrong_target"),
            "",
        ),
        attack(
            "a signed manifest that is not canonical",
            respelled(
                &sealed,
                &spaced,
                &keys.gpg.sign(&[RELEASE], &spaced).unwrap(),
            ),
            (400, "invalid_manifest"),
            "",
        ),
    ]
}

/// A bundle with another manifest and signature, of whatever lengths.
fn respelled(bundle: &[u8], manifest: &[u8], signature: &[u8]) -> Vec<u8> {
    let tar = untarred(bundle);
    let parts = header_of(&tar, PartName::Firmware.file_name());
    let mut other = Vec::new();
    for (name, bytes) in [(MANIFEST_NAME, manifest), (SIGNATURE_NAME, signature)] {
        let at = header_of(&tar, name);
        let mut header = tar[at..at + BLOCK].to_vec();
        header[124..136].copy_from_slice(format!("{:011o}\0", bytes.len()).as_bytes());
        header[CHECKSUM].fill(b' ');
        let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
        header[CHECKSUM].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        other.extend(header);
        other.extend(bytes);
        other.resize(other.len().next_multiple_of(BLOCK), 0);
    }
    other.extend(&tar[parts..]);
    compressed(&other)
}

async fn nothing_is_left(app: &TestApp, blobs: usize, attack: &str) {
    eventually(&format!("{attack}: nothing in staging"), async || {
        app.staged_files().is_empty().then_some(())
    })
    .await;
    assert_eq!(app.blob_files().len(), blobs, "{attack}");
}

#[tokio::test]
async fn each_attack_is_refused_by_its_code_and_leaves_nothing_but_a_count_and_an_alert() {
    let keys = Keys::new();
    let app = keys.server().await;
    upload_bundle(&app, &keys.seal(&Sample::new("1.0.2", 5)))
        .await
        .data();
    let blobs = app.blob_files().len();
    for attack in attacks(&keys) {
        let Attack {
            name, status, code, ..
        } = attack;
        println!("{name}");
        let refused = format!("airlift_bundles_refused_total{{reason=\"{code}\"}}");
        let alerts = format!(
            "airlift_alerts_total{{code=\"{}\",source=\"server\"}}",
            code.to_uppercase()
        );
        let before = (app.metric(&refused).await, app.metric(&alerts).await);
        let answer = upload_bundle(&app, &attack.bundle).await;
        let message = answer.refused(status, code);
        assert!(message.contains(attack.says), "{name}: {message}");
        nothing_is_left(&app, blobs, name).await;
        let after = (app.metric(&refused).await, app.metric(&alerts).await);
        assert_eq!(after, (before.0 + 1.0, before.1 + 1.0), "{name}");
    }
    let firmwares = app.get("/api/ota/firmware").await.data();
    assert_eq!(firmwares["items"].as_array().unwrap().len(), 1);
    // What they were made of is fine.
    upload_bundle(&app, &keys.seal(&Sample::new("1.0.3", 6)))
        .await
        .data();
    app.stop().await;
}

#[tokio::test]
async fn a_swapped_web_part_is_refused_though_the_firmware_was_read_already() {
    let keys = Keys::new();
    let app = keys.server().await;
    let good = Sample::of(Kind::FirmwareAndWeb, "1.0.2", 1);
    let other = vec![7; good.web.len()];
    let swapped = replaced(&keys.seal(&good), PartName::Web.file_name(), &other);
    let answer = upload_bundle(&app, &swapped).await;
    answer.refused(400, "part_mismatch");
    nothing_is_left(&app, 0, "swapped").await;
    app.stop().await;
}

#[tokio::test]
async fn a_bundle_that_says_so_may_be_an_older_release() {
    let keys = Keys::new();
    let app = keys.server().await;
    for (version, counter, back) in [("1.0.2", 5, false), ("1.0.1", 4, true), ("1.0.0", 5, true)] {
        let mut sample = Sample::new(version, counter);
        sample.manifest.allow_rollback = back;
        upload_bundle(&app, &keys.seal(&sample)).await.data();
    }
    // 5 is still the highest, and another device type has its own.
    let between = keys.seal(&Sample::new("1.0.3", 5));
    let answer = upload_bundle(&app, &between).await;
    answer.refused(409, "release_rollback");
    let mut other = Sample::new("1.0.3", 1);
    other.manifest.device_type = "esp32".to_owned();
    upload_bundle(&app, &keys.seal(&other)).await.data();
    app.stop().await;
}

async fn same_counter_at_once(setup: Setup, keys: &Keys) {
    let app = setup.start().await;
    let bundles: Vec<Vec<u8>> = (0..8)
        .map(|n| keys.seal(&Sample::of(Kind::FirmwareAndWeb, &format!("1.0.{n}"), 5)))
        .collect();
    let uploads = bundles.iter().map(|bundle| upload_bundle(&app, bundle));
    let answers = futures_util::future::join_all(uploads).await;
    let taken = answers.iter().filter(|answer| answer.status == 200).count();
    assert_eq!(taken, 1);
    for answer in answers.iter().filter(|answer| answer.status != 200) {
        answer.refused(409, "release_rollback");
    }
    nothing_is_left(&app, 4, "at once").await;
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_uploads_with_one_counter_at_once_one_is_taken() {
    let keys = Keys::new();
    same_counter_at_once(keys.setup(), &keys).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_uploads_with_one_counter_at_once_postgres_takes_one() {
    let keys = Keys::new();
    let setup = Setup {
        postgres: true,
        ..keys.setup()
    };
    same_counter_at_once(setup, &keys).await;
}

#[tokio::test]
async fn the_limit_of_uploads_holds_for_a_bundle_and_for_what_is_in_it() {
    const LIMIT: usize = 1 << 20;
    let keys = Keys::new();
    let setup = Setup {
        upload_bytes_max: Some(LIMIT as u64),
        ..keys.setup()
    };
    let app = setup.start().await;
    let mut sample = Sample::new("1.0.2", 1);
    sample.firmware = vec![0; LIMIT + 1];
    sample.describe_parts();
    let small = keys.seal(&sample);
    assert!(small.len() < LIMIT / 100);
    let message = upload_bundle(&app, &small).await.refused(413, "too_large");
    assert!(message.contains("1048576"), "{message}");
    nothing_is_left(&app, 0, "larger than allowed").await;
    sample.firmware.pop();
    sample.describe_parts();
    upload_bundle(&app, &keys.seal(&sample)).await.data();
    app.stop().await;
}

/// The beginning of an upload by hand; the rest of the file is the caller's.
async fn begin(addr: SocketAddr, bundle: &[u8]) -> TcpStream {
    let mut stream = TcpStream::connect(addr).await.unwrap();
    let begin = "--x\r\nContent-Disposition: form-data; name=\"file\"; filename=\"f\"\r\n\r\n";
    let head = format!(
        "POST {UPLOAD} HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\
         Content-Type: multipart/form-data; boundary=x\r\n\r\n{begin}",
        bundle.len() + begin.len() + 9
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    stream
}

/// A bundle whose part zstd can't make small.
fn large(keys: &Keys) -> Vec<u8> {
    let mut sample = Sample::new("1.0.2", 1);
    let mut state = 1_u64;
    let noise = std::iter::repeat_with(|| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (state >> 56) as u8
    });
    sample.firmware = noise.take(5 << 20).collect();
    sample.describe_parts();
    keys.seal(&sample)
}

#[tokio::test]
async fn a_bundle_that_breaks_off_leaves_no_file_and_is_no_refusal() {
    let keys = Keys::new();
    let app = keys.server().await;
    let bundle = large(&keys);
    let mut stream = begin(app.http_addr, &bundle).await;
    stream.write_all(&bundle[..4 << 20]).await.unwrap();
    eventually("a part being staged", async || {
        (!app.staged_files().is_empty()).then_some(())
    })
    .await;
    drop(stream);
    nothing_is_left(&app, 0, "broken off").await;
    let reason = "airlift_bundles_refused_total{reason=\"bundle_truncated\"}";
    assert_eq!(app.metric(reason).await, 0.0);
    upload_bundle(&app, &bundle).await.data();
    app.stop().await;
}

#[tokio::test]
async fn a_bundle_beyond_those_that_are_taken_in_at_once_is_told_to_come_again() {
    const BUNDLES_AT_ONCE: usize = 16;
    let keys = Keys::new();
    let mut setup = keys.setup();
    setup.options.uploads_max = Some(2 * BUNDLES_AT_ONCE as u32);
    let app = setup.start().await;
    let bundle = large(&keys);
    let mut begun = Vec::new();
    for _ in 0..BUNDLES_AT_ONCE {
        let mut stream = begin(app.http_addr, &bundle).await;
        stream.write_all(&bundle[..4 << 20]).await.unwrap();
        begun.push(stream);
    }
    eventually("all to be under way", async || {
        (app.staged_files().len() == BUNDLES_AT_ONCE).then_some(())
    })
    .await;
    (upload_bundle(&app, &bundle).await).refused(503, "too_many_uploads");
    begun.pop();
    eventually("a place", async || {
        (upload_bundle(&app, &bundle).await.status == 200).then_some(())
    })
    .await;
    begun.clear();
    nothing_is_left(&app, 3, "broken off").await;
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_crash_in_the_middle_of_a_bundle_leaves_is_gone_after_the_next_start() {
    let keys = Keys::new();
    let mut app = keys.setup().prepare();
    let program = env!("CARGO_BIN_EXE_airlift");
    let mut killed = Process::spawn(program, &app.arguments(), &[], "airlift").unwrap();
    eventually("a server that listens", async || {
        TcpStream::connect(app.http_addr).await.ok()
    })
    .await;
    app.ready().await;
    let bundle = large(&keys);
    let mut stream = begin(app.http_addr, &bundle).await;
    stream.write_all(&bundle[..4 << 20]).await.unwrap();
    eventually("a part being staged", async || {
        (!app.staged_files().is_empty()).then_some(())
    })
    .await;
    killed.kill9().unwrap();
    assert!(!app.staged_files().is_empty());
    app.run().await;
    app.ready().await;
    assert_eq!(app.staged_files(), [""; 0]);
    assert_eq!(app.blob_files(), [""; 0]);
    upload_bundle(&app, &bundle).await.data();
    app.stop().await;
}
