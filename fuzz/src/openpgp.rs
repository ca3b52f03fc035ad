//! Signatures: whatever the bytes, nothing passes that nobody signed, and device and server give the
//! same word. The keys in `openpgp/` were made by gpg; their secret halves are gone.

use std::{env, fs, process, sync::OnceLock};

use airlift_bundle::{Refusal, TrustedKey, Verification, keys::TrustedKeys};
use base64ct::{Base64, Encoding};

use super::edit;

/// What the signatures are of.
const SIGNED: &[u8] = br#"{"schema":1}"#;
/// And what they are not of.
const ALTERED: &[u8] = br#"{"schema":2}"#;
/// When they were made, and when they are looked at, Unix seconds.
const SIGNED_AT: i64 = 1_706_745_600;
const NOW: i64 = 1_800_000_000;

const ED25519_KEYS: [(&str, &str); 2] = [
    ("one", include_str!("openpgp/one.asc")),
    ("two", include_str!("openpgp/two.asc")),
];
const RSA_KEYS: [(&str, &str); 1] = [("three", include_str!("openpgp/three.asc"))];
const SIGNATURES: [&str; 7] = [
    include_str!("openpgp/one.sig.asc"),
    include_str!("openpgp/two.sig.asc"),
    include_str!("openpgp/three.sig.asc"),
    include_str!("openpgp/sha512.sig.asc"),
    include_str!("openpgp/notation.sig.asc"),
    include_str!("openpgp/several.sig.asc"),
    include_str!("openpgp/stranger.sig.asc"),
];

/// The first byte says what the others are.
pub fn run(data: &[u8]) {
    let [form, rest @ ..] = data else { return };
    let sound = SIGNATURES[usize::from(form / 5) % SIGNATURES.len()];
    let file = match form % 5 {
        0 => rest.to_vec(),
        1 => armor(rest),
        2 => edit(sound.as_bytes(), rest),
        3 => edit(&dearmor(sound), rest),
        _ => armor(&edit(&dearmor(sound), rest)),
    };
    check(&file);
}

pub fn seeds() -> Vec<Vec<u8>> {
    let mut seeds = Vec::new();
    for (number, signature) in SIGNATURES.iter().enumerate() {
        let form = 5 * number as u8;
        seeds.push([&[0], signature.as_bytes()].concat());
        seeds.push([&[1], dearmor(signature).as_slice()].concat());
        seeds.extend([2, 3, 4].map(|edited| vec![form + edited]));
    }
    let several = SIGNATURES[..3].concat();
    seeds.push([&[0], several.as_bytes()].concat());
    seeds
}

fn dearmor(armored: &str) -> Vec<u8> {
    let (_, body) = armored.split_once("\n\n").expect("a body");
    let lines = body
        .lines()
        .take_while(|line| !line.starts_with(['=', '-']));
    Base64::decode_vec(&lines.collect::<String>()).expect("base64")
}

fn armor(bytes: &[u8]) -> Vec<u8> {
    let text = Base64::encode_string(bytes);
    let lines = text
        .as_bytes()
        .chunks(64)
        .map(|line| [line, b"\n"].concat());
    [
        &b"-----BEGIN PGP SIGNATURE-----\n\n"[..],
        &lines.collect::<Vec<_>>().concat(),
        b"-----END PGP SIGNATURE-----\n",
    ]
    .concat()
}

/// Who is trusted.
struct Trust {
    /// Ed25519 keys alone: server and devices know the same ones.
    ed25519: TrustedKeys,
    devices: Vec<TrustedKey>,
    /// Of the server, with an RSA key.
    all: TrustedKeys,
}

fn trust() -> &'static Trust {
    static TRUST: OnceLock<Trust> = OnceLock::new();
    TRUST.get_or_init(|| {
        let ed25519 = trusted(&ED25519_KEYS);
        let devices = ed25519.for_devices();
        assert_eq!(devices.len(), 3, "two keys and a subkey");
        let all = trusted(&[&ED25519_KEYS[..], &RSA_KEYS].concat());
        Trust {
            ed25519,
            devices,
            all,
        }
    })
}

fn trusted(keys: &[(&str, &str)]) -> TrustedKeys {
    let name = format!("airlift-fuzz-{}-{}", process::id(), keys.len());
    let folder = env::temp_dir().join(name);
    fs::create_dir_all(&folder).expect("a folder for keys");
    for (name, key) in keys {
        fs::write(folder.join(format!("{name}.asc")), key).expect("a key is written");
    }
    let keys = TrustedKeys::read(&folder);
    fs::remove_dir_all(&folder).expect("the folder goes");
    keys.expect("gpg's keys")
}

/// Fingerprint of who signed, upper-case hex.
type Answer = Result<(String, i64), Refusal>;

fn device(file: &[u8], keys: &[TrustedKey], manifest: &[u8]) -> Answer {
    let mut verification = Verification::begin(file, keys)?;
    for piece in manifest.chunks(5) {
        verification.update(piece);
    }
    let signed = verification.finish()?;
    Ok((
        hex::encode_upper(keys[signed.key].fingerprint),
        signed.signed_at,
    ))
}

fn server(file: &[u8], keys: &TrustedKeys, manifest: &[u8]) -> Answer {
    let signer = keys.verify(manifest, file, NOW);
    let signer = signer.map_err(|error| error.refusal)?;
    Ok((signer.fingerprint, signer.signed_at))
}

fn check(file: &[u8]) {
    let Trust {
        ed25519,
        devices,
        all,
    } = trust();
    for manifest in [SIGNED, ALTERED] {
        let answers = [
            device(file, devices, manifest),
            server(file, ed25519, manifest),
        ];
        assert_eq!(answers[0], answers[1], "device and server");
        let [_, ours] = answers;
        // All that is left to whoever has no key: the signatures that are there.
        for (_, signed_at) in [ours, server(file, all, manifest)].into_iter().flatten() {
            assert_eq!((manifest, signed_at), (SIGNED, SIGNED_AT));
        }
        assert!(device(file, &[], manifest).is_err(), "trusted nobody");
    }
}
