//! The manifest: what the server accepts, the device reads as the same.

use airlift_bundle::{Kind, MANIFEST_HEAD_BYTES_MAX, Manifest, Release};
use airlift_esp::Target;

use super::{edit, samples};

/// The first byte says what the others are.
pub fn run(data: &[u8]) {
    let [form, rest @ ..] = data else { return };
    match form % 3 {
        0 => check(rest),
        1 => check(&edit(&sound(*form).to_json(), rest)),
        _ => check_fields(fields(sound(*form), rest)),
    }
}

pub fn seeds() -> Vec<Vec<u8>> {
    let mut seeds = Vec::new();
    for kind in Kind::ALL {
        let manifest = samples::manifest(kind).to_json();
        seeds.push([&[0], manifest.as_slice()].concat());
    }
    // The schema's digit; the version and the changelog.
    seeds.push(b"\x01\x00\x0a\x01\x012".to_vec());
    seeds.push(b"\x02\x022.7.1\x0btext".to_vec());
    seeds
}

/// The manifest that is changed.
fn sound(form: u8) -> Manifest {
    samples::manifest(Kind::ALL[usize::from(form / 3) % Kind::ALL.len()])
}

fn check(bytes: &[u8]) {
    let read = Release::read(bytes);
    match Manifest::parse(bytes) {
        Ok(manifest) => {
            assert_eq!(manifest.check(), Ok(()));
            assert_eq!(manifest.to_json(), bytes);
            let head = &bytes[..bytes.len().min(MANIFEST_HEAD_BYTES_MAX)];
            let expected = Ok(samples::release(&manifest));
            assert_eq!(read, expected);
            assert_eq!(Release::read(head), expected);
        }
        // Nobody signs it; but should it be signed, the device must not be harmed.
        Err(_) => {
            if let Ok(release) = read {
                check_release(&release);
            }
        }
    }
}

/// What holds of all that a device reads.
fn check_release(release: &Release) {
    let target = Target::parse(&release.target).expect("a known target");
    let names = release.kind.parts();
    for (part, name, bytes_max) in [
        (&release.firmware, "firmware.bin", target.slot_bytes()),
        (&release.web, "web_spiffs.bin", target.web_bytes_max()),
    ] {
        assert_eq!(
            part.is_some(),
            names.iter().any(|part| part.file_name() == name)
        );
        let size = part.as_ref().map_or(1, |part| part.size);
        assert!((1..=u64::from(bytes_max)).contains(&size));
    }
}

/// The sound manifest with fields of the bytes' choice: a field's number, a length, and its text.
fn fields(mut manifest: Manifest, mut bytes: &[u8]) -> Manifest {
    while let [field, length, rest @ ..] = bytes {
        let (text, rest) = rest.split_at(rest.len().min(usize::from(*length)));
        bytes = rest;
        let number = text
            .iter()
            .fold(0, |number, &byte| number << 8 | u64::from(byte));
        let text = String::from_utf8_lossy(text).into_owned();
        let part = usize::from(field >> 4) % manifest.parts.len().max(1);
        let part = manifest.parts.get_mut(part);
        match (field % 16, part) {
            (0, _) => manifest.schema = number as u32,
            (1, _) => manifest.device_type = text,
            (2, _) => manifest.version = text,
            (3, _) => {
                let known = Target::ALL.get(number as usize % 8);
                manifest.target = known.map_or(text, |target| target.name().into());
            }
            (4, _) => manifest.kind = text,
            (5, _) => manifest.release_counter = number,
            (6, _) => manifest.allow_rollback = number % 2 == 1,
            (7, _) => manifest.min_version = Some(text).filter(|text| !text.is_empty()),
            (8, _) => manifest.created_at = number as i64,
            (9, _) => manifest.expires_at = Some(number as i64).filter(|&at| at != 0),
            (10, _) => manifest.parts.reverse(),
            (11, _) => manifest.changelog.push_str(&text),
            (12, Some(part)) => part.name = text,
            (13, Some(part)) => part.size = number,
            (14, Some(part)) => part.sha256 = text,
            (15, Some(part)) => part.md5 = text,
            _ => {}
        }
    }
    manifest
}

fn check_fields(manifest: Manifest) {
    let bytes = manifest.to_json();
    let expected = manifest.check().map(|()| manifest);
    assert_eq!(Manifest::parse(&bytes), expected);
    check(&bytes);
}
