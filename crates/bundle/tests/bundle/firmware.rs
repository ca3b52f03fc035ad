//! Files that are offered as a firmware.

use airlift_bundle::{
    Error, Refusal,
    image::{FirmwareCheck, FirmwareInfo},
};
use airlift_esp::{
    Target,
    image::ChipId,
    partition_table::{PARTITION_TABLE_BYTES, PartitionTable},
};
use airlift_simflash::{ImageBuilder, image as build};
use proptest::prelude::*;

const BOARDS: [Target; 3] = [Target::Esp32Wroom, Target::Esp32Wrover, Target::Esp32c3];

fn chip(target: Target) -> u16 {
    target.chip().unwrap().0
}

fn firmware(target: Target) -> ImageBuilder {
    ImageBuilder::new(chip(target))
        .version("2.7.0")
        .project("jxct")
}

fn check(target: Target, bytes: &[u8], piece: usize) -> Result<FirmwareInfo, Error> {
    let mut check = FirmwareCheck::new(target);
    for piece in bytes.chunks(piece) {
        check.update(piece)?;
    }
    check.finish()
}

/// The refusal, which is the same however the bytes come.
fn refused(target: Target, bytes: &[u8]) -> Error {
    let whole = check(target, bytes, usize::MAX).unwrap_err();
    for piece in [1, 4096, 0x8021] {
        assert_eq!(check(target, bytes, piece), Err(whole.clone()), "{piece}");
    }
    whole
}

fn assert_wrong(error: &Error, words: &str) {
    assert_eq!(error.refusal, Refusal::WrongTarget, "{error}");
    assert!(error.message.contains(words), "{error}");
}

#[test]
fn a_firmware_for_the_board_says_its_version_and_project() {
    for target in BOARDS {
        let bytes = firmware(target).random_payload(50_000, 1).build();
        let expected = FirmwareInfo {
            size: bytes.len() as u64,
            version: Some("2.7.0".to_owned()),
            project: Some("jxct".to_owned()),
        };
        for piece in [1, 1000, usize::MAX] {
            assert_eq!(check(target, &bytes, piece), Ok(expected.clone()));
        }
    }
}

#[test]
fn a_firmware_may_fill_its_slot_and_not_a_byte_more() {
    for target in BOARDS {
        let slot = target.slot_bytes() as usize;
        let mut bytes = firmware(target).size(slot, 1).build();
        assert!(check(target, &bytes, 4096).is_ok());
        bytes.push(0);
        let error = check(target, &bytes, usize::MAX).unwrap_err();
        assert_eq!(error.refusal, Refusal::TooLarge);
        let said = FirmwareCheck::check_size(target, bytes.len() as u64).unwrap_err();
        assert_eq!(said.refusal, Refusal::TooLarge);
        let words = format!(
            "the firmware has {} bytes, a slot of {} has {slot}: 1 too many",
            slot + 1,
            target.name()
        );
        assert!(said.message.contains(&words), "{said}");
        assert_eq!(FirmwareCheck::check_size(target, slot as u64), Ok(()));
    }
}

#[test]
fn a_firmware_for_another_chip_is_refused_by_its_name() {
    let bytes = firmware(Target::Esp32c3).random_payload(100_000, 1).build();
    assert_wrong(
        &refused(Target::Esp32Wroom, &bytes),
        "is built for ESP32-C3, the target esp32-wroom has the chip ESP32:",
    );
    let bytes = ImageBuilder::new(ChipId::ESP32_S3.0).build();
    assert_wrong(
        &refused(Target::Esp32c3, &bytes),
        "is built for ESP32-S3, the target esp32c3 has the chip ESP32-C3:",
    );
    let bytes = ImageBuilder::new(999).build();
    assert_wrong(
        &refused(Target::Esp32c3, &bytes),
        "is built for an unknown chip (id 999),",
    );
}

#[test]
fn a_merged_image_is_refused_whatever_its_chip() {
    for of in BOARDS {
        let table = PartitionTable::from_csv(of.table_csv()).unwrap();
        let mut binary = [0; PARTITION_TABLE_BYTES];
        table.to_binary(&mut binary);
        let app = firmware(of).random_payload(100_000, 1).build();
        let merged = build::merged(&build::bootloader_like(chip(of)), &binary, &app);
        for target in BOARDS {
            assert_wrong(&refused(target, &merged), "this is a merged image");
        }
        // Merged without the padding in front.
        assert_wrong(&refused(of, &merged[chip_begin(of)..]), "a merged image");
    }
}

/// Where the bootloader lies.
fn chip_begin(target: Target) -> usize {
    match target.chip() {
        Some(ChipId::ESP32) => 0x1000,
        _ => 0,
    }
}

#[test]
fn what_is_no_application_image_is_refused_with_advice() {
    let target = Target::Esp32Wroom;
    assert_wrong(&refused(target, b"\x7fELF and more"), "begins with 0x7f");
    assert_wrong(&refused(target, b"PK\x03\x04"), "not the ELF file");
    assert_wrong(&refused(target, &[0xFF; 0x3000]), "begins with 0xff");
    assert_wrong(
        &refused(target, &build::bootloader_like(chip(target))),
        "has no app descriptor",
    );
    let without_hash = firmware(target).without_hash().build();
    assert_wrong(&refused(target, &without_hash), "image without SHA-256");
    let empty = FirmwareCheck::new(target).finish().unwrap_err();
    assert_wrong(&empty, "an empty file");
}

#[test]
fn a_firmware_that_is_cut_off_or_damaged_is_refused() {
    let target = Target::Esp32Wrover;
    let bytes = firmware(target).random_payload(80_000, 1).build();
    for length in [1, 24, 4000, bytes.len() - 1] {
        assert_wrong(&refused(target, &bytes[..length]), "cut off after");
    }
    let mut damaged = bytes.clone();
    build::flip_unseen_by_checksum(&mut damaged, [4000, 4004], 3);
    assert_wrong(&refused(target, &damaged), "its SHA-256 does not fit");
}

#[test]
fn on_a_pc_any_bytes_are_a_firmware() {
    for bytes in [&b"x"[..], b"\x7fELF", &[0xFF; 9000]] {
        let info = check(Target::Raw, bytes, 1000).unwrap();
        assert_eq!(info.size, bytes.len() as u64);
        assert_eq!((info.version, info.project), (None, None));
    }
    assert!(FirmwareCheck::new(Target::Raw).finish().is_err());
    let slot = u64::from(Target::Raw.slot_bytes());
    assert!(FirmwareCheck::check_size(Target::Raw, slot + 1).is_err());
}

proptest! {
    #[test]
    fn no_flipped_bit_goes_unnoticed_however_the_bytes_come(
        at: prop::sample::Index,
        bit in 0..8u8,
        piece in 1..5000usize,
    ) {
        let target = Target::Esp32c3;
        let mut bytes = firmware(target).random_payload(3000, 1).build();
        let at = at.index(bytes.len());
        build::flip(&mut bytes, at, bit);
        prop_assert!(check(target, &bytes, piece).is_err());
    }
}
