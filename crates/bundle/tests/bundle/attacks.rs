//! Each attack on the archive, and the word for it.

use std::io::{self, Read};

use airlift_bundle::{Archive, Kind, Manifest, ReadError, Refusal};

use crate::fuzz::samples::{
    self, Bundle, append, bundle, bundle_of, header, noise, seal, tar, zstd,
};

type Members = Vec<(String, Vec<u8>)>;

fn members() -> Members {
    bundle(Kind::FirmwareAndWeb).members()
}

fn member(name: &str) -> (String, Vec<u8>) {
    (name.into(), b"evil".to_vec())
}

/// How the reader ends.
fn end_of(input: impl Read) -> Refusal {
    let error = Bundle::read(input, 4096).expect_err("the attack succeeds");
    error
        .refusal()
        .unwrap_or_else(|| panic!("the input does not fail: {error}"))
}

fn refused(what: &str, refusal: Refusal, members: &[(String, Vec<u8>)]) {
    assert_eq!(end_of(zstd(&tar(members)).as_slice()), refusal, "{what}");
}

/// The sound archive with a header changed after the fact, its checksum made right.
fn refused_header(what: &str, refusal: Refusal, member: usize, change: impl FnOnce(&mut [u8])) {
    let mut tar = Vec::new();
    let mut change = Some(change);
    for (number, (name, bytes)) in members().iter().enumerate() {
        let mut header = header(name.as_bytes(), bytes.len() as u64, b'0');
        if number == member {
            (change.take().expect("once"))(&mut header);
            seal(&mut header);
        }
        append(&mut tar, &header, bytes);
    }
    tar.resize(tar.len() + 1024, 0);
    assert_eq!(end_of(zstd(&tar).as_slice()), refusal, "{what}");
}

#[test]
fn the_sound_bundle_is_none_of_the_attacks() {
    assert!(Bundle::read(zstd(&tar(&members())).as_slice(), 4096).is_ok());
}

#[test]
fn names_that_lead_out_of_the_bundle() {
    let names = [
        "../firmware.bin",
        "..",
        ".",
        "/etc/passwd",
        "a/../../b",
        "./manifest.json",
        "..\\b",
        "C:\\b",
        "C:b",
        "firmware.bin/",
        ".bashrc",
        "-rf",
        "a b",
        "fi\nrm",
        "\u{202e}nib",
        "",
    ];
    for name in names {
        for place in 0..=members().len() {
            let mut members = members();
            members.insert(place, member(name));
            let mut tar = Vec::new();
            for (name, bytes) in &members {
                append(
                    &mut tar,
                    &header(name.as_bytes(), bytes.len() as u64, b'0'),
                    bytes,
                );
            }
            tar.resize(tar.len() + 1024, 0);
            let refusal = end_of(zstd(&tar).as_slice());
            assert_eq!(refusal, Refusal::UnsafePath, "{name:?} as member {place}");
        }
    }
    refused_header("a NUL in the name", Refusal::UnsafePath, 2, |h| {
        h[50..52].copy_from_slice(b"/x")
    });
    refused_header("a folder before the name", Refusal::UnsafePath, 2, |h| {
        h[345..355].copy_from_slice(b"/etc/../..");
    });
    refused_header("a name without end", Refusal::Malformed, 2, |h| {
        h[..100].fill(b'a')
    });
}

#[test]
fn links_folders_devices_and_other_forms_of_tar() {
    for (kind, what) in [
        (b'1', "a hard link"),
        (b'2', "a symbolic link"),
        (b'3', "a device"),
        (b'5', "a folder"),
        (b'6', "a pipe"),
        (b'7', "a contiguous file"),
        (b'S', "a sparse file"),
        (b'x', "a PAX header"),
        (b'g', "a global PAX header"),
        (b'L', "a long name"),
        (b'K', "a long link"),
        (b'V', "a volume"),
        (0, "an old file"),
    ] {
        for member in 0..members().len() {
            refused_header(what, Refusal::Malformed, member, |h| h[156] = kind);
        }
    }
    refused_header("a link's target", Refusal::Malformed, 2, |h| {
        h[157..168].copy_from_slice(b"/etc/shadow");
    });
    refused_header("a symbolic link out", Refusal::Malformed, 2, |h| {
        h[156] = b'2';
        h[157..166].copy_from_slice(b"../../etc");
    });
    refused_header("no magic", Refusal::Malformed, 2, |h| h[257..265].fill(0));
    refused_header("another magic", Refusal::Malformed, 2, |h| h[262] = b'1');
}

#[test]
fn sizes_that_are_no_numbers() {
    for (what, size) in [
        ("base 256", &b"\x80\0\0\0\0\0\0\0\0\0\x05\xdc"[..]),
        ("negative", b"-0000002734\0"),
        ("no digits", b"\0\0\0\0\0\0\0\0\0\0\0\0"),
        ("spaces", b"       2734\0"),
        ("decimal", b"00000001500\0"),
        ("hex", b"0000000x5dc\0"),
        ("digits alone", b"000000002734"),
    ] {
        let refusal = match what {
            "decimal" => Refusal::PartMismatch,
            _ => Refusal::Malformed,
        };
        refused_header(what, refusal, 2, |h| h[124..136].copy_from_slice(size));
    }
}

#[test]
fn members_twice_unknown_missing_or_out_of_order() {
    use Refusal::{Malformed, PartMismatch, Truncated};
    type Change = fn(&mut Members);
    let table: [(&str, Refusal, Change); 15] = [
        ("the manifest twice", Malformed, |m| {
            m.insert(1, m[0].clone())
        }),
        ("a second manifest behind the signature", Malformed, |m| {
            m.insert(2, m[0].clone())
        }),
        ("a second manifest at the end", Malformed, |m| {
            m.push(m[0].clone())
        }),
        ("the signature twice", Malformed, |m| {
            m.insert(2, m[1].clone())
        }),
        ("a second signature at the end", Malformed, |m| {
            m.push(m[1].clone())
        }),
        ("the firmware twice", Malformed, |m| {
            m.insert(3, m[2].clone())
        }),
        ("another firmware at the end", Malformed, |m| {
            m.push(member("firmware.bin"))
        }),
        ("the signature first", Malformed, |m| m.swap(0, 1)),
        ("the parts out of order", Malformed, |m| m.swap(2, 3)),
        ("the signature behind the parts", Malformed, |m| {
            m[1..].rotate_left(1)
        }),
        ("something unknown behind the manifest", Malformed, |m| {
            m.insert(1, member("run.sh"))
        }),
        ("something unknown at the end", Malformed, |m| {
            m.push(member("run.sh"))
        }),
        ("no manifest", Malformed, |m| drop(m.remove(0))),
        ("no firmware", Malformed, |m| drop(m.remove(2))),
        ("no web part", PartMismatch, |m| drop(m.pop())),
    ];
    for (what, refusal, change) in table {
        let mut members = members();
        change(&mut members);
        refused(what, refusal, &members);
    }
    refused("nothing at all", Malformed, &[]);
    assert_eq!(end_of(zstd(b"").as_slice()), Truncated, "not even an end");
    let mut smuggled = bundle(Kind::Firmware).members();
    smuggled.push(member("web_spiffs.bin"));
    refused(
        "a part that the manifest does not name",
        PartMismatch,
        &smuggled,
    );
}

#[test]
fn parts_of_another_signed_bundle() {
    let ours = bundle(Kind::FirmwareAndWeb);
    let other = bundle_of(ours.manifest.clone(), vec![noise(5, 1500), noise(6, 700)]);
    let longer = bundle_of(ours.manifest.clone(), vec![noise(5, 1501), noise(6, 699)]);
    for (what, from) in [("of the same size", other), ("of another size", longer)] {
        for part in 0..2 {
            let mut mixed = ours.clone();
            mixed.parts[part].clone_from(&from.parts[part]);
            refused(what, Refusal::PartMismatch, &mixed.members());
        }
    }
}

#[test]
fn digests_that_contradict_each_other() {
    let mut bundle = bundle(Kind::Firmware);
    let sound = bundle.manifest.clone();
    bundle.manifest.parts[0].md5 = "00".repeat(16);
    refused("a wrong MD5", Refusal::PartMismatch, &bundle.members());
    bundle.manifest = sound;
    bundle.manifest.parts[0].sha256 = "00".repeat(32);
    refused("a wrong SHA-256", Refusal::PartMismatch, &bundle.members());
}

#[test]
fn manifests_that_are_none() {
    for bytes in [&b""[..], b"{}", b"null", b"\xff\xfe", b"[[[[[[[["] {
        let mut members = members();
        members[0].1 = bytes.to_vec();
        refused("no manifest", Refusal::InvalidManifest, &members);
    }
    let mut members = members();
    let text = String::from_utf8(members[0].1.clone()).expect("UTF-8");
    members[0].1 = text.replace("firmware.bin", "../../rc.loc").into_bytes();
    refused("a path in the manifest", Refusal::UnsafePath, &members);
}

/// A header that announces `size` bytes behind the first `behind` members, and zeros for ever.
fn endless(behind: usize, name: &str, size: u64) -> impl Read {
    let mut tar = tar(&members()[..behind]);
    tar.truncate(tar.len() - 1024);
    tar.extend_from_slice(&header(name.as_bytes(), size, b'0'));
    let mut encoder = zstd::Encoder::new(Vec::new(), 1).expect("memory does not fail");
    io::Write::write_all(&mut encoder, &tar).expect("memory does not fail");
    io::Write::flush(&mut encoder).expect("memory does not fail");
    // A block of 128 KiB of zeros in four bytes (RFC 8878, 3.1.1.2), for ever.
    let begun = io::Cursor::new(encoder.get_ref().clone());
    begun.chain(Repeat(&[0x02, 0x00, 0x10, 0x00], 0))
}

/// Repeats a few bytes for ever.
struct Repeat(&'static [u8], usize);

impl Read for Repeat {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        for byte in buffer.iter_mut() {
            *byte = self.0[self.1 % self.0.len()];
            self.1 += 1;
        }
        Ok(buffer.len())
    }
}

#[test]
fn data_without_end_stops_at_the_limit() {
    const GIB: u64 = 1 << 30;
    for (what, input) in [
        ("manifest", endless(0, "manifest.json", GIB)),
        ("signature", endless(1, "manifest.json.asc", GIB)),
        (
            "signature, a byte more",
            endless(1, "manifest.json.asc", 4097),
        ),
        ("firmware", endless(2, "firmware.bin", 8 * GIB - 1)),
        (
            "firmware, a byte more than its slot",
            endless(2, "firmware.bin", 0x13_0001),
        ),
        ("web", endless(3, "web_spiffs.bin", GIB)),
    ] {
        assert_eq!(end_of(input), Refusal::TooLarge, "{what}");
    }
    let part = endless(2, "firmware.bin", 1501);
    assert_eq!(
        end_of(part),
        Refusal::PartMismatch,
        "a part longer than its manifest says"
    );
    let shorter = endless(2, "firmware.bin", 1499);
    assert_eq!(
        end_of(shorter),
        Refusal::PartMismatch,
        "a part shorter than its manifest says"
    );
}

#[test]
fn an_end_without_end_stops_at_the_limit() {
    let whole = |tar: &[u8]| {
        let mut encoder = zstd::Encoder::new(Vec::new(), 1).expect("memory does not fail");
        io::Write::write_all(&mut encoder, tar).expect("memory does not fail");
        io::Write::flush(&mut encoder).expect("memory does not fail");
        io::Cursor::new(encoder.get_ref().clone())
    };
    let tar = tar(&members());
    let zeros = whole(&tar).chain(Repeat(&[0x02, 0x00, 0x10, 0x00], 0));
    assert_eq!(end_of(zeros), Refusal::TooLarge, "zero blocks for ever");
    // Raw blocks of nothing.
    let nothing = whole(&tar).chain(Repeat(&[0x00, 0x00, 0x00], 0));
    assert_eq!(end_of(nothing), Refusal::TooLarge, "empty blocks for ever");
    let nothing = whole(&tar[..700]).chain(Repeat(&[0x00, 0x00, 0x00], 0));
    assert_eq!(
        end_of(nothing),
        Refusal::TooLarge,
        "empty blocks in the manifest"
    );
    let frame = io::Cursor::new(zstd(&tar)).chain(Repeat(&[0], 0));
    assert_eq!(
        end_of(frame),
        Refusal::TooLarge,
        "bytes behind the frame for ever"
    );
}

#[test]
fn data_behind_the_end() {
    let sound = tar(&members());
    let frame = zstd(&sound);
    let skippable = [&[0x50, 0x2a, 0x4d, 0x18, 4, 0, 0, 0][..], b"evil"].concat();
    for (what, bytes) in [
        ("a byte", [&frame[..], b"x"].concat()),
        ("a second frame", [&frame[..], &frame].concat()),
        ("an empty frame", [&frame[..], &zstd(b"")].concat()),
        ("a skippable frame", [&frame[..], &skippable].concat()),
        (
            "bytes in the frame",
            zstd(&[&sound[..], &[b'x'; 512]].concat()),
        ),
        (
            "a member in the frame",
            zstd(&[&sound[..], &sound].concat()),
        ),
        (
            "too many zero blocks",
            zstd(&[&sound[..], &[0; 20 * 512]].concat()),
        ),
    ] {
        assert_eq!(end_of(bytes.as_slice()), Refusal::TooLarge, "{what}");
    }
    for (what, bytes) in [
        ("half a block", [&sound[..], &[0; 100]].concat()),
        ("half an end", sound[..sound.len() - 512].to_vec()),
        ("no end", sound[..sound.len() - 1024].to_vec()),
    ] {
        assert_eq!(
            end_of(zstd(&bytes).as_slice()),
            Refusal::Truncated,
            "{what}"
        );
    }
    let mut hidden = sound.clone();
    let end = hidden.len() - 512;
    hidden[end + 7] = b'x';
    assert_eq!(
        end_of(zstd(&hidden).as_slice()),
        Refusal::Malformed,
        "a byte in the end"
    );
    let mut hidden = sound;
    // The manifest's last block is filled up with zeros.
    let manifest_end = 512 + members()[0].1.len().next_multiple_of(512);
    hidden[manifest_end - 1] = b'x';
    assert_eq!(
        end_of(zstd(&hidden).as_slice()),
        Refusal::Malformed,
        "a byte behind a member"
    );
}

/// A frame whose checksum is another's.
fn zstd_garbled(frame: &[u8]) -> Vec<u8> {
    let mut frame = frame.to_vec();
    let last = frame.len() - 1;
    frame[last] ^= 1;
    frame
}

#[test]
fn what_is_no_zstd_frame() {
    let sound = tar(&members());
    let frame = zstd(&sound);
    let skippable = [&[0x50, 0x2a, 0x4d, 0x18, 4, 0, 0, 0][..], b"evil"].concat();
    let mut dictionary = frame.clone();
    // A dictionary's number of one byte.
    dictionary[4] |= 1;
    for (what, bytes) in [
        ("a plain tar", sound.clone()),
        ("gzip", b"\x1f\x8b\x08\0\0\0\0\0\0\x03".to_vec()),
        ("zip", b"PK\x03\x04".to_vec()),
        ("an ESP32 image", b"\xe9\x05\x02\x20".to_vec()),
        ("zstd of old", b"\x27\xb5\x2f\xfd\0\0\0\0".to_vec()),
        (
            "a skippable frame first",
            [skippable, frame.clone()].concat(),
        ),
        ("a dictionary", dictionary),
        (
            "a block of no kind",
            b"\x28\xb5\x2f\xfd\x00\x58\x06\x00\x00".to_vec(),
        ),
        ("a frame with another checksum", zstd_garbled(&frame)),
        ("zstd of something else", zstd(&noise(4, 5000))),
    ] {
        assert_eq!(end_of(bytes.as_slice()), Refusal::Malformed, "{what}");
    }
}

#[test]
fn a_frame_that_wants_more_memory_than_a_bundle_needs() {
    // A window of 16 MiB: the descriptor of RFC 8878, 3.1.1.1.2; then one empty block, the last.
    let frame = [
        0x28,
        0xb5,
        0x2f,
        0xfd,
        0x00,
        (24 - 10) << 3,
        0x01,
        0x00,
        0x00,
    ];
    let error = Archive::open(&frame[..])
        .map(drop)
        .expect_err("too much memory");
    assert!(error.to_string().contains("too much memory"), "{error}");
    assert_eq!(error.refusal(), Some(Refusal::Malformed));
    // Of 8 MiB: it is only empty.
    let frame = [
        0x28,
        0xb5,
        0x2f,
        0xfd,
        0x00,
        (23 - 10) << 3,
        0x01,
        0x00,
        0x00,
    ];
    assert_eq!(end_of(&frame[..]), Refusal::Truncated);
}

#[test]
fn a_manifest_that_is_altered_is_another_one_and_the_signature_is_not_its() {
    // The archive cannot know; it hands out both, and whoever holds the keys sees it.
    let ours = bundle(Kind::Firmware);
    let mut altered = ours.clone();
    altered.manifest = Manifest {
        version: "9.9.9".into(),
        ..samples::manifest(Kind::Firmware)
    };
    altered = Bundle {
        signature: ours.signature.clone(),
        ..bundle_of(altered.manifest, altered.parts)
    };
    let bytes = altered.write();
    let archive = Archive::open(bytes.as_slice()).map_err(|error: ReadError| error.to_string());
    let archive = archive.expect("a bundle");
    assert_ne!(archive.manifest_bytes(), ours.manifest.to_json());
    assert_eq!(archive.signature(), ours.signature);
}
