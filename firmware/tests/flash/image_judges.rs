//! The same images judged by esptool, `esp-bootloader-esp-idf` and the bootloader model; where they
//! differ from us, a test says how.

use airlift_firmware::flash::{
    image::{ChipId, ImageError, Verifier},
    partition_table::PARTITION_TABLE_OFFSET,
};
use airlift_simflash::{App, Bootloader, ImageBuilder, Images, Kind, SimFlash, image as build};
use esp_bootloader_esp_idf::partitions::{
    AppPartitionSubType, Error, PARTITION_TABLE_MAX_LEN, PartitionType, read_partition_table,
};

use crate::{
    esptool,
    image::{C3, image, verdict},
    other_flash,
    tables::{WITH_FACTORY, binary, parse},
};

const FACTORY: u32 = 0x1_0000;

/// The SHA-256 that the other crate reads and verifies.
fn other_crate(image: &[u8]) -> Result<[u8; 32], Error> {
    let table = binary(&parse(WITH_FACTORY));
    let contents: [(u32, &[u8]); 2] = [(PARTITION_TABLE_OFFSET, &table), (FACTORY, image)];
    other_flash::with(&contents, |flash| {
        let mut buffer = [0; PARTITION_TABLE_MAX_LEN];
        let table = read_partition_table(flash, &mut buffer)?;
        let factory = PartitionType::App(AppPartitionSubType::Factory);
        table.find_partition(factory)?.unwrap().sha256(flash)
    })
}

/// Whether the bootloader would start it.
fn model(image: &[u8]) -> bool {
    let mut flash = SimFlash::new(256 * 1024);
    flash.load(PARTITION_TABLE_OFFSET, &binary(&parse(WITH_FACTORY)));
    flash.load(FACTORY, image);
    let bootloader = Bootloader {
        kind: Kind::Stock,
        chip_id: C3.0,
        images: Images::Esp,
    };
    bootloader.boot(&mut flash).unwrap().app == App::Factory
}

fn changed(change: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut bytes = image(600);
    change(&mut bytes);
    bytes
}

#[test]
fn all_judges_take_good_images_and_read_from_them_what_we_read() {
    for payload in [0, 4, 1000, 1012, 40_000] {
        let bytes = image(payload);
        let info = verdict(&bytes).unwrap();
        let descriptor = info.descriptor.unwrap();
        let esptool = esptool::image_info(&bytes);
        assert!(esptool.is_good(), "{}", esptool.output);
        assert_eq!(
            esptool.field("App version"),
            Some(descriptor.version.as_str())
        );
        assert_eq!(
            esptool.field("Project name"),
            Some(descriptor.project.as_str())
        );
        assert_eq!(esptool.field("Chip ID"), Some("5 (ESP32-C3)"));
        let hash = format!("{} (valid)", hex(&info.sha256));
        assert_eq!(esptool.field("Validation hash"), Some(hash.as_str()));
        assert_eq!(other_crate(&bytes), Ok(info.sha256));
        assert!(model(&bytes));
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn esptool_takes_images_for_the_chips_that_we_know() {
    for (chip, name) in [
        (ChipId::ESP32, "0 (ESP32)"),
        (ChipId::ESP32_S3, "9 (ESP32-S3)"),
        (ChipId::ESP32_C3, "5 (ESP32-C3)"),
        (ChipId::ESP32_C6, "13 (ESP32-C6)"),
        (ChipId::ESP32_S2, "2 (ESP32-S2)"),
        (ChipId::ESP32_C2, "12 (ESP32-C2)"),
        (ChipId::ESP32_H2, "16 (ESP32-H2)"),
        (ChipId::ESP32_P4, "18 (ESP32-P4)"),
    ] {
        let bytes = ImageBuilder::new(chip.0).random_payload(100, 1).build();
        let esptool = esptool::image_info(&bytes);
        assert!(esptool.is_good(), "{}", esptool.output);
        assert_eq!(esptool.field("Chip ID"), Some(name));
        let mut verifier = Verifier::new(chip, u32::MAX);
        verifier.update(&bytes).unwrap();
        assert_eq!(
            verifier.finish().map(|info| info.size as usize),
            Ok(bytes.len())
        );
    }
}

#[test]
fn damage_is_seen_by_esptool_and_by_us() {
    let length = image(600).len();
    let cases = [
        ("magic", changed(|bytes| bytes[0] = 0xE8)),
        ("no segments", changed(|bytes| bytes[1] = 0)),
        ("one segment less", changed(|bytes| bytes[1] = 1)),
        ("17 segments", changed(|bytes| bytes[1] = 17)),
        ("entry address", changed(|bytes| bytes[4] ^= 4)),
        ("segment length", changed(|bytes| bytes[0x1C] ^= 4)),
        ("descriptor", changed(|bytes| bytes[0x31] ^= 1)),
        ("payload", changed(|bytes| bytes[500] ^= 0x80)),
        (
            "two bits",
            changed(|bytes| build::flip_unseen_by_checksum(bytes, [300, 301], 1)),
        ),
        ("checksum", changed(|bytes| bytes[length - 33] ^= 1)),
        ("hash", changed(|bytes| bytes[length - 1] ^= 1)),
        (
            "cut in the hash",
            changed(|bytes| bytes.truncate(length - 1)),
        ),
        (
            "cut before it",
            changed(|bytes| bytes.truncate(length - 32)),
        ),
        ("cut in a segment", changed(|bytes| bytes.truncate(200))),
        ("erased", vec![0xFF; 4096]),
    ];
    for (what, bytes) in cases {
        assert!(verdict(&bytes).is_err(), "{what}");
        let esptool = esptool::image_info(&bytes);
        assert!(!esptool.is_good(), "{what}: {}", esptool.output);
        assert!(!model(&bytes), "{what}");
    }
}

/// It exits with success, so that a script that looks at the exit code alone ships bad images.
#[test]
fn esptool_says_in_words_alone_that_checksum_and_hash_are_wrong() {
    let bytes = changed(|bytes| bytes[500] ^= 0x80);
    let output = esptool::image_info(&bytes).output;
    let words = output.lines().filter(|line| line.contains("(invalid"));
    assert_eq!(words.count(), 2, "{output}");
}

/// The checksum is one byte: damage in two places passes in one of 256 cases, and the bootloader
/// starts it. That is why we demand the hash.
#[test]
fn differs_esptool_and_the_others_take_images_without_hash_and_we_do_not() {
    let good = ImageBuilder::new(C3.0)
        .random_payload(600, 7)
        .without_hash()
        .build();
    let mut damaged = good.clone();
    build::flip_unseen_by_checksum(&mut damaged, [300, 301], 1);
    for bytes in [good, damaged] {
        assert!(esptool::image_info(&bytes).is_good());
        assert!(other_crate(&bytes).is_ok());
        assert!(model(&bytes));
        assert_eq!(verdict(&bytes), Err(ImageError::HashMissing));
    }
}

/// The bootloader and the other crate take any number but 0 in that place for "yes"; for esptool it
/// is then no image of this kind at all.
#[test]
fn differs_only_1_says_for_us_that_a_hash_is_there() {
    let bytes = changed(|bytes| {
        bytes[23] = 2;
        build::seal(bytes).unwrap();
    });
    assert!(other_crate(&bytes).is_ok());
    assert!(model(&bytes));
    assert!(!esptool::image_info(&bytes).is_good());
    assert_eq!(verdict(&bytes), Err(ImageError::HashMissing));
}

/// esptool names the chip, but does not know which one we have.
#[test]
fn differs_esptool_and_the_other_crate_take_an_image_for_another_chip() {
    let bytes = ImageBuilder::new(ChipId::ESP32.0)
        .random_payload(600, 7)
        .build();
    assert!(esptool::image_info(&bytes).is_good());
    assert!(other_crate(&bytes).is_ok());
    let (found, expected) = (0, 5);
    assert_eq!(verdict(&bytes), Err(ImageError::Chip { found, expected }));
    assert!(!model(&bytes));
}

/// The number is ours, made up for QEMU's machine; esptool then takes the file for an ESP8266's.
#[test]
fn differs_esptool_does_not_know_the_chip_id_of_the_virtual_machine() {
    let bytes = ImageBuilder::new(ChipId::VIRT.0).build();
    assert!(!esptool::image_info(&bytes).is_good());
    let mut verifier = Verifier::new(ChipId::VIRT, 1 << 20);
    verifier.update(&bytes).unwrap();
    assert!(verifier.finish().is_ok());
}

/// It reads the hash alone, which covers the checksum; only a maker of images gets it wrong.
#[test]
fn differs_the_other_crate_does_not_look_at_the_checksum() {
    let bytes = changed(|bytes| {
        let end = bytes.len() - 32;
        bytes[end - 1] ^= 1;
        rehash(bytes);
    });
    assert!(other_crate(&bytes).is_ok());
    assert!(matches!(verdict(&bytes), Err(ImageError::Checksum { .. })));
    assert!(!esptool::image_info(&bytes).is_good());
    assert!(!model(&bytes));
}

/// Hashes anew what stands before the hash.
fn rehash(bytes: &mut [u8]) {
    use sha2::{Digest, Sha256};
    let (content, hash) = bytes.split_at_mut(bytes.len() - 32);
    hash.copy_from_slice(&Sha256::digest(content));
}

/// The bootloader copies whole words and refuses other lengths; esptool rounds them up.
#[test]
fn differs_esptool_takes_segments_that_are_no_whole_words() {
    let mut bytes = vec![
        0xE9, 1, 2, 0x20, 0, 0, 0x38, 0x40, 0xEE, 0, 0, 0, 5, 0, 0, 0, 0,
    ];
    bytes.extend([0xFF, 0xFF, 0, 0, 0, 0, 1]);
    bytes.extend(0x4038_0000u32.to_le_bytes());
    bytes.extend(6u32.to_le_bytes());
    bytes.extend([0; 6]);
    bytes.resize(47, 0);
    bytes.push(0xEF);
    bytes.extend([0; 32]);
    rehash(&mut bytes);
    assert_eq!(verdict(&bytes), Err(ImageError::SegmentLength(6)));
    assert!(!model(&bytes));
    let esptool = esptool::image_info(&bytes);
    assert!(esptool.is_good(), "{}", esptool.output);
}
