//! Images: what is taken, what is refused and when, and merged images.

use std::mem::size_of;

use airlift_firmware::flash::image::{
    ChipId, ImageError, ImageInfo, Looks, MergedDetector, Verifier, VerifyError, verify,
};
use airlift_simflash::{ImageBuilder, SimFlash, image as build};
use proptest::prelude::*;
use sha2::{Digest, Sha256};

use crate::tables::{DEFAULT_OTA, ESP32C3, binary, parse};

pub const C3: ChipId = ChipId::ESP32_C3;
const LIMIT: u32 = 1 << 20;

pub fn image(payload: usize) -> Vec<u8> {
    ImageBuilder::new(C3.0)
        .version("1.0.2")
        .project("gateway")
        .random_payload(payload, 7)
        .build()
}

/// The verdict on bytes that come in pieces of `piece` bytes.
fn in_pieces(bytes: &[u8], piece: usize, limit: u32) -> Result<ImageInfo, ImageError> {
    let mut verifier = Verifier::new(C3, limit);
    for bytes in bytes.chunks(piece) {
        verifier.update(bytes)?;
    }
    verifier.finish()
}

pub fn verdict(bytes: &[u8]) -> Result<ImageInfo, ImageError> {
    in_pieces(bytes, usize::MAX, LIMIT)
}

/// The verdict after a change that keeps checksum and SHA-256 right.
fn sealed(change: impl FnOnce(&mut [u8])) -> Result<ImageInfo, ImageError> {
    let mut bytes = image(100);
    change(&mut bytes);
    let _ = build::seal(&mut bytes);
    verdict(&bytes)
}

#[test]
fn an_image_tells_its_size_hash_version_and_project() {
    let bytes = image(5000);
    let info = verdict(&bytes).unwrap();
    let (content, hash) = bytes.split_at(bytes.len() - 32);
    assert_eq!(info.size as usize, bytes.len());
    assert_eq!(info.sha256, hash);
    assert_eq!(info.sha256[..], Sha256::digest(content)[..]);
    let descriptor = info.descriptor.unwrap();
    assert_eq!(descriptor.version, "1.0.2");
    assert_eq!(descriptor.project, "gateway");
    assert_eq!(descriptor.secure_version, 0);
}

#[test]
fn the_verifier_needs_little_beside_the_hash() {
    assert!(size_of::<Verifier>() <= size_of::<Sha256>() + 200);
}

#[test]
fn bytes_behind_the_image_are_ignored() {
    let mut bytes = image(300);
    let size = bytes.len() as u32;
    bytes.extend([0xFF; 5000]);
    for piece in [1, 7, 4096] {
        let info = in_pieces(&bytes, piece, size).unwrap();
        assert_eq!(info.size, size);
    }
}

#[test]
fn what_does_not_begin_as_an_image_is_refused_at_its_first_byte() {
    let mut verifier = Verifier::new(C3, LIMIT);
    assert_eq!(verifier.update(&[]), Ok(()));
    assert_eq!(verifier.update(b"<"), Err(ImageError::Magic(b'<')));
    assert_eq!(verdict(b"PK\x03\x04"), Err(ImageError::Magic(b'P')));
}

#[test]
fn headers_that_cannot_be_are_refused() {
    for count in [0, 17, 255] {
        assert_eq!(
            sealed(|bytes| bytes[1] = count),
            Err(ImageError::SegmentCount(count))
        );
    }
    let (found, expected) = (0, C3.0);
    let other_chip = sealed(|bytes| build::set_chip(bytes, build::ESP32).unwrap());
    assert_eq!(other_chip, Err(ImageError::Chip { found, expected }));
    for length in [1, 2, 3, 16 << 20, u32::MAX - 3] {
        let refused = sealed(|bytes| bytes[0x1C..0x20].copy_from_slice(&length.to_le_bytes()));
        assert_eq!(refused, Err(ImageError::SegmentLength(length)));
    }
}

#[test]
fn an_image_without_hash_is_refused_even_if_it_says_it_has_another_kind() {
    let bytes = ImageBuilder::new(C3.0).without_hash().build();
    assert_eq!(verdict(&bytes), Err(ImageError::HashMissing));
    assert_eq!(sealed(|bytes| bytes[23] = 2), Err(ImageError::HashMissing));
}

#[test]
fn damage_that_the_checksum_shows_is_named_so_and_the_rest_is_left_to_the_hash() {
    let good = image(100);
    let mut bytes = good.clone();
    build::flip(&mut bytes, 200, 3);
    let end = bytes.len() - 33;
    let (found, expected) = (good[end], good[end] ^ 8);
    assert_eq!(
        verdict(&bytes),
        Err(ImageError::Checksum { found, expected })
    );

    let mut bytes = good.clone();
    build::flip_unseen_by_checksum(&mut bytes, [200, 300], 3);
    assert_eq!(verdict(&bytes), Err(ImageError::HashWrong));
    // The entry address is in no segment, and the hash's own bytes are in no hash.
    for at in [4, good.len() - 1] {
        let mut bytes = good.clone();
        build::flip(&mut bytes, at, 0);
        assert_eq!(verdict(&bytes), Err(ImageError::HashWrong), "{at}");
    }
}

#[test]
fn an_image_that_ends_early_is_refused_wherever_it_ends() {
    let bytes = image(100);
    for length in 0..bytes.len() {
        let refused = verdict(&bytes[..length]);
        assert_eq!(refused, Err(ImageError::Truncated(length as u32)));
    }
}

#[test]
fn an_image_may_fill_its_place_and_is_else_refused_as_soon_as_its_headers_show_it() {
    let bytes = image(4000);
    let limit = bytes.len() as u32;
    assert!(in_pieces(&bytes, 100, limit).is_ok());
    for limit in [0, 23, 24, 71, 72, 4000, limit - 1] {
        let mut verifier = Verifier::new(C3, limit);
        let refused = verifier.update(&bytes[..0x20]);
        // The length of the second segment comes only behind the first.
        let refused = refused.and_then(|()| verifier.update(&bytes[0x20..bytes.len() - 48]));
        assert_eq!(refused, Err(ImageError::TooLong { limit }), "{limit}");
    }
}

#[test]
fn an_image_once_refused_is_not_taken_any_more() {
    let good = image(600);
    let mut short_of_hash = good.clone();
    short_of_hash[23] = 0;
    let mut odd = good.clone();
    odd[0x1C] ^= 1;
    for (bytes, limit) in [
        (&good, good.len() as u32 - 16),
        (&good, 30),
        (&short_of_hash, LIMIT),
        (&odd, LIMIT),
    ] {
        let mut verifier = Verifier::new(C3, limit);
        let first = verifier.update(bytes);
        assert!(first.is_err());
        for _ in 0..300 {
            assert_eq!(verifier.update(&good), first);
        }
        assert!(!verifier.is_complete());
        assert!(verifier.finish().is_err());
    }
}

#[test]
fn an_app_without_descriptor_is_sound_but_tells_nothing() {
    let bootloader = build::bootloader_like(C3.0);
    assert_eq!(verdict(&bootloader).unwrap().descriptor, None);
    let short = build::from_elf_segments(C3.0, 0, &[(0, &[1; 64])], "", "").unwrap();
    assert!(verdict(&short).unwrap().descriptor.is_some());
    // A magic number in front of a segment too short for the rest is chance.
    let mut bytes = image(0);
    assert!(sealed(|_| ()).unwrap().descriptor.is_some());
    bytes[0x20] ^= 1;
    build::seal(&mut bytes).unwrap();
    assert_eq!(verdict(&bytes).unwrap().descriptor, None);
}

#[test]
fn names_in_a_descriptor_end_at_nul_or_where_they_are_no_text() {
    let named = |name: &[u8]| {
        let info = sealed(|bytes| {
            bytes[build::VERSION_AT..build::PROJECT_AT].fill(0);
            bytes[build::VERSION_AT..][..name.len()].copy_from_slice(name);
        });
        info.unwrap().descriptor.unwrap().version
    };
    assert_eq!(named(b""), "");
    assert_eq!(named("ü1\0rest".as_bytes()), "ü1");
    assert_eq!(named(b"1.0\xFF2"), "1.0");
    assert_eq!(named(&[b'7'; 32]), "7".repeat(32).as_str());
}

#[test]
fn an_image_in_the_flash_is_verified_where_it_lies() {
    let bytes = image(10_000);
    let mut flash = SimFlash::new(0x3_0000);
    flash.load(0x1_0000, &bytes);
    let info = verify(&mut flash, 0x1_0000, 0x1_0000, C3).unwrap();
    assert_eq!(Ok(info), verdict(&bytes));
    let read = flash.counters().bytes_read;
    assert!(read < bytes.len() as u64 + 256, "{read} bytes read");
    let exactly = bytes.len() as u32;
    assert!(verify(&mut flash, 0x1_0000, exactly, C3).is_ok());
    assert!(verify(&mut flash, 0x1_0000, exactly + 3, C3).is_ok());
    let limit = exactly - 16;
    let refused = verify(&mut flash, 0x1_0000, exactly - 1, C3);
    assert_eq!(
        refused,
        Err(VerifyError::Image(ImageError::TooLong { limit }))
    );

    let blank = verify(&mut flash, 0x2_0000, 0x1_0000, C3);
    assert_eq!(blank, Err(VerifyError::Image(ImageError::Magic(0xFF))));
    flash.flip_bit(0x1_1000, 5);
    let flipped = verify(&mut flash, 0x1_0000, 0x1_0000, C3);
    assert!(matches!(
        flipped,
        Err(VerifyError::Image(ImageError::Checksum { .. }))
    ));
    let beyond = verify(&mut flash, 0x3_0000, 0x1_0000, C3);
    assert!(matches!(beyond, Err(VerifyError::Flash(_))), "{beyond:?}");
    let nothing = verify(&mut flash, 0x1_0000, 0, C3);
    assert_eq!(nothing, Err(VerifyError::Image(ImageError::Truncated(0))));
}

fn merged(chip: ChipId, csv: &str) -> Vec<u8> {
    let app = ImageBuilder::new(chip.0).random_payload(2000, 3).build();
    build::merged(&build::bootloader_like(chip.0), &binary(&parse(csv)), &app)
}

fn looks(bytes: &[u8]) -> Looks {
    MergedDetector::default().update(bytes)
}

/// So much of a file tells: up to the table's first entry and the magic of the next.
const TOLD_BYTES: usize = 0x8000 + 34;

#[test]
fn merged_images_are_recognised_and_applications_are_not() {
    for (chip, csv) in [
        (ChipId::ESP32, DEFAULT_OTA),
        (C3, ESP32C3),
        (ChipId::ESP32_S3, DEFAULT_OTA),
        (ChipId::ESP32_C6, DEFAULT_OTA),
    ] {
        let file = merged(chip, csv);
        assert_eq!(looks(&file), Looks::Merged, "{chip:?}");
        assert_eq!(looks(&file[..TOLD_BYTES]), Looks::Merged, "{chip:?}");
    }
    // The ESP32's shows itself at its bootloader, the others' at the table.
    let file = merged(ChipId::ESP32, DEFAULT_OTA);
    assert_eq!(looks(&file[..0x1000]), Looks::Padding);
    assert_eq!(looks(&file[..0x1001]), Looks::Merged);
    // Merged without the padding, its table is 0x1000 lower.
    assert_eq!(looks(&file[0x1000..]), Looks::Merged);
    let file = merged(C3, ESP32C3);
    assert_eq!(looks(&file[..TOLD_BYTES - 1]), Looks::App);
    assert_eq!(looks(&image(100_000)), Looks::App);
    assert_eq!(looks(&[0xFF; 0x1_0000]), Looks::Other(0xFF));
    assert_eq!(looks(&[]), Looks::Padding);
}

#[test]
fn an_application_that_has_a_tables_first_bytes_at_that_place_is_still_one() {
    let mut bytes = image(100_000);
    bytes[0x8000..0x8002].copy_from_slice(&[0xAA, 0x50]);
    build::seal(&mut bytes).unwrap();
    assert_eq!(looks(&bytes), Looks::App);
}

#[test]
fn a_table_without_a_bootloader_where_one_belongs_is_no_merged_image() {
    let mut file = merged(C3, ESP32C3);
    file[0] = 0;
    assert_eq!(looks(&file), Looks::Other(0));
    let mut file = merged(ChipId::ESP32, DEFAULT_OTA);
    file[0x800] = 0xE9;
    assert_eq!(looks(&file), Looks::Other(0xFF));
}

/// Why the upload page has to ask: on a chip whose bootloader begins at 0 nothing else would notice.
#[test]
fn a_merged_image_verifies_as_the_bootloader_in_front_of_it() {
    let file = merged(C3, ESP32C3);
    let info = verdict(&file).unwrap();
    assert_eq!(info.size as usize, build::bootloader_like(C3.0).len());
    assert_eq!(info.descriptor, None);
}

#[test]
fn the_detector_has_decided_no_later_than_behind_the_tables_begin() {
    let file = merged(C3, ESP32C3);
    let mut detector = MergedDetector::default();
    detector.update(&file[..TOLD_BYTES - 1]);
    assert!(!detector.is_decided() && detector.looks() == Looks::App);
    detector.update(&file[TOLD_BYTES - 1..TOLD_BYTES]);
    assert!(detector.is_decided() && detector.looks() == Looks::Merged);
    let mut detector = MergedDetector::default();
    detector.update(b"no image");
    assert!(detector.is_decided() && detector.looks() == Looks::Other(b'n'));
    // A table may lie as high as 0x10000.
    let app = image(100_000);
    let mut detector = MergedDetector::default();
    detector.update(&app[..0x1_0021]);
    assert!(!detector.is_decided());
    detector.update(&app[0x1_0021..0x1_0022]);
    assert!(detector.is_decided() && detector.looks() == Looks::App);
}

/// Cuts `bytes` at these places.
fn pieces<'a>(bytes: &'a [u8], cuts: &[prop::sample::Index]) -> Vec<&'a [u8]> {
    let mut places: Vec<_> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
    places.extend([0, bytes.len()]);
    places.sort_unstable();
    places
        .windows(2)
        .map(|ends| &bytes[ends[0]..ends[1]])
        .collect()
}

proptest! {
    #[test]
    fn the_verdict_does_not_depend_on_how_the_bytes_come(
        payload in 0..3000usize,
        flip in prop::option::of((any::<prop::sample::Index>(), 0..8u8)),
        cuts: Vec<prop::sample::Index>,
    ) {
        let mut bytes = image(payload);
        if let Some((at, bit)) = flip {
            let at = at.index(bytes.len());
            build::flip(&mut bytes, at, bit);
        }
        let mut verifier = Verifier::new(C3, LIMIT);
        let fed = pieces(&bytes, &cuts).into_iter().try_for_each(|piece| verifier.update(piece));
        let in_pieces = fed.and_then(|()| verifier.finish());
        prop_assert_eq!(&in_pieces, &verdict(&bytes));
        prop_assert_eq!(in_pieces.is_ok(), flip.is_none());
    }

    #[test]
    fn every_flipped_bit_of_an_image_is_noticed(at: prop::sample::Index, bit in 0..8u8) {
        let mut bytes = image(200);
        let at = at.index(bytes.len());
        build::flip(&mut bytes, at, bit);
        prop_assert!(verdict(&bytes).is_err());
    }

    #[test]
    fn no_header_makes_it_panic(mut bytes: Vec<u8>, count: u8, limit: u32, cuts: Vec<prop::sample::Index>) {
        bytes.splice(..0, [0xE9, count]);
        if let Some(chip) = bytes.get_mut(12..24) {
            chip.copy_from_slice(&[5, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]);
        }
        let mut verifier = Verifier::new(C3, limit);
        let fed = pieces(&bytes, &cuts).into_iter().try_for_each(|piece| verifier.update(piece));
        prop_assert!(fed.and_then(|()| verifier.finish()).is_err());
    }

    #[test]
    fn no_segment_length_makes_it_panic(lengths in prop::collection::vec(0..64u32, 1..16), limit: u32) {
        let data = [0; 256];
        let segments: Vec<_> = lengths.iter().map(|words| (0, &data[..*words as usize * 4])).collect();
        let Ok(bytes) = build::from_elf_segments(C3.0, 0, &segments, "", "") else {
            return Ok(());
        };
        let fits = bytes.len() as u64 <= u64::from(limit);
        let refused = in_pieces(&bytes, 5, limit);
        prop_assert_eq!(refused.is_ok(), fits, "{:?}", refused);
        let huge = in_pieces(&bytes, 5, u32::MAX);
        prop_assert_eq!(huge.map(|info| info.size as usize), Ok(bytes.len()));
    }

    #[test]
    fn the_detector_does_not_depend_on_how_the_bytes_come(cuts: Vec<prop::sample::Index>, is_esp32: bool) {
        let file = if is_esp32 { merged(ChipId::ESP32, DEFAULT_OTA) } else { merged(C3, ESP32C3) };
        let mut detector = MergedDetector::default();
        for piece in pieces(&file, &cuts) {
            detector.update(piece);
        }
        prop_assert_eq!(detector.looks(), Looks::Merged);
    }

    #[test]
    fn no_bytes_make_the_detector_panic(bytes: Vec<u8>, times in 1..400usize) {
        let mut detector = MergedDetector::default();
        for _ in 0..times {
            detector.update(&bytes);
        }
        let _ = detector.is_decided();
    }
}
