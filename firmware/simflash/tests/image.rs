//! Built images are what the format says, and the damaging helpers damage what they say.

use airlift_simflash::image::{self, ESP32, ESP32C3, ImageBuilder, ImageError};
use airlift_simflash::table::{self, APP, APP_FACTORY, APP_OTA_0, Entry};
use airlift_simflash::{App, Bootloader, Images, Kind, SimFlash};
use sha2::{Digest, Sha256};

/// Whether the bootloader model starts this image on this chip.
fn is_bootable(image: &[u8], chip_id: u16) -> bool {
    let size = image.len().next_multiple_of(0x1_0000) as u32;
    let entry = Entry::new("factory", APP, APP_FACTORY, 0x1_0000, size);
    let mut flash = SimFlash::new(0x1_0000 + size as usize);
    flash.load(table::TABLE_OFFSET, &table::to_binary(&[entry]));
    flash.load(0x1_0000, image);
    let bootloader = Bootloader {
        kind: Kind::Stock,
        chip_id,
        images: Images::Esp,
    };
    bootloader.boot(&mut flash).unwrap().app == App::Factory
}

fn sample() -> Vec<u8> {
    ImageBuilder::new(ESP32C3)
        .version("1.0.2")
        .project("lamp")
        .random_payload(5000, 1)
        .build()
}

#[test]
fn an_image_carries_its_descriptor_where_the_format_wants_it() {
    let image = sample();
    assert_eq!(image[0], 0xE9);
    assert_eq!(image[0x20..0x24], 0xABCD_5432_u32.to_le_bytes());
    assert_eq!(&image[0x30..0x36], b"1.0.2\0");
    assert_eq!(&image[0x50..0x55], b"lamp\0");
    assert_eq!(image::version(&image).as_deref(), Some("1.0.2"));
    assert_eq!(image::chip_id(&image), ESP32C3);
    let (content, hash) = image.split_at(image.len() - 32);
    assert_eq!(Sha256::digest(content)[..], *hash);
    assert!(is_bootable(&image, ESP32C3));
    assert!(!is_bootable(&image, ESP32));
}

#[test]
fn the_payload_follows_the_descriptor_and_is_filled_up_to_words() {
    let image = ImageBuilder::new(ESP32).payload(&[1, 2, 3, 4, 5]).build();
    assert_eq!(image[0x120..0x128], [1, 2, 3, 4, 5, 0, 0, 0]);
    assert!(is_bootable(&image, ESP32));
}

#[test]
fn an_image_has_exactly_the_size_wished_for_with_and_without_hash() {
    for size in [512, 4096, 4096 + 16, 100_000, 1_000_000] {
        let with = ImageBuilder::new(ESP32).size(size, 7).build();
        let without = ImageBuilder::new(ESP32)
            .size(size, 7)
            .without_hash()
            .build();
        assert_eq!((with.len(), without.len()), (size, size));
        assert!(is_bootable(&with, ESP32) && is_bootable(&without, ESP32));
    }
}

#[test]
#[should_panic(expected = "too few")]
fn a_size_smaller_than_the_payload_panics() {
    ImageBuilder::new(ESP32)
        .payload(&[0; 600])
        .size(512, 7)
        .build();
}

#[test]
fn every_flipped_bit_is_seen_with_a_hash() {
    let image = sample();
    for at in (8..image.len()).step_by(37) {
        let mut damaged = image.clone();
        image::flip(&mut damaged, at, (at % 8) as u8);
        // The one field that turns the check of the hash off.
        assert!(at == 23 || !is_bootable(&damaged, ESP32C3), "byte {at}");
    }
}

#[test]
fn a_double_flip_passes_the_checksum_but_not_the_hash() {
    for (builder, bootable) in [
        (ImageBuilder::new(ESP32C3), false),
        (ImageBuilder::new(ESP32C3).without_hash(), true),
    ] {
        let mut image = builder.random_payload(5000, 1).build();
        let whole = image.clone();
        image::flip_unseen_by_checksum(&mut image, [1000, 2000], 5);
        assert_ne!(image, whole);
        assert_eq!(is_bootable(&image, ESP32C3), bootable);
    }
}

#[test]
fn an_image_made_one_for_another_chip_is_valid_there_only() {
    let mut image = sample();
    image::set_chip(&mut image, ESP32).unwrap();
    assert!(is_bootable(&image, ESP32));
    assert!(!is_bootable(&image, ESP32C3));
}

#[test]
fn a_changed_version_leaves_a_valid_image_that_differs_nowhere_else() {
    let original = ImageBuilder::new(ESP32C3)
        .version("1.10.100")
        .size(9008, 1)
        .build();
    let mut image = original.clone();
    image.extend([0x77; 50]);
    image::set_version(&mut image, "2.0.0").unwrap();
    assert_eq!(image::version(&image).as_deref(), Some("2.0.0"));
    assert!(is_bootable(&image, ESP32C3));
    assert_eq!(image[9008..], [0x77; 50], "what follows the image stays");
    let changed = (0..9008 - 33).filter(|&at| image[at] != original[at]);
    assert!(changed.clone().count() > 0);
    assert!(changed.into_iter().all(|at| (0x30..0x50).contains(&at)));
    image::set_version(&mut image, "1.10.100").unwrap();
    assert_eq!(image[..9008], original);
}

#[test]
fn a_version_is_not_put_into_what_has_no_place_for_it() {
    let mut bootloader = image::bootloader_like(ESP32C3);
    let kept = bootloader.clone();
    let set = |image: &mut Vec<u8>, version| image::set_version(image, version);
    assert_eq!(set(&mut bootloader, "1.0.0"), Err(ImageError::NoDescriptor));
    assert_eq!(bootloader, kept);
    let mut image = sample();
    let long = "1.0.0-a.very.long.pre.release.32";
    assert_eq!(set(&mut image, long), Err(ImageError::TextTooLong(32)));
    assert_eq!(set(&mut image, &long[1..]), Ok(()));
    image.truncate(image.len() - 1);
    assert_eq!(set(&mut image, "1.0.0"), Err(ImageError::NotAnImage));
    assert_eq!(
        set(&mut vec![0xE9; 10], "1.0.0"),
        Err(ImageError::NotAnImage)
    );
}

#[test]
fn load_segments_become_an_image_with_a_descriptor_in_front() {
    let code = [0x11; 1001];
    let segments: [(u32, &[u8]); 3] = [
        (0x8000_0000, &code),
        (0x8001_0000, &[]),
        (0x8002_0000, &[5; 8]),
    ];
    let image = image::from_elf_segments(0xF001, 0x8000_0004, &segments, "3.2.1", "virt").unwrap();
    assert_eq!(image[1], 3, "descriptor, code, data");
    assert_eq!(image[4..8], 0x8000_0004_u32.to_le_bytes());
    assert_eq!(image::version(&image).as_deref(), Some("3.2.1"));
    assert_eq!(
        image[0x18..0x1C],
        [0; 4],
        "the descriptor is loaded nowhere"
    );
    assert_eq!(image[0x120..0x124], 0x8000_0000_u32.to_le_bytes());
    assert_eq!(image[0x124..0x128], 1004_u32.to_le_bytes());
    assert!(is_bootable(&image, 0xF001));
}

#[test]
fn a_descriptor_in_the_first_segment_is_kept() {
    let donor = ImageBuilder::new(ESP32)
        .version("9.9.9")
        .project("kept")
        .build();
    let mut first = donor[0x20..0x120].to_vec();
    first.extend([0xAB; 64]);
    let segments: [(u32, &[u8]); 1] = [(0x8000_0000, &first)];
    let image = image::from_elf_segments(0xF001, 0, &segments, "1.2.3", "").unwrap();
    assert_eq!(image[1], 1);
    assert_eq!(image::version(&image).as_deref(), Some("1.2.3"));
    assert_eq!(&image[0x50..0x55], b"kept\0");
    assert_eq!(image[0x120..0x160], [0xAB; 64]);
    assert!(is_bootable(&image, 0xF001));
}

#[test]
fn more_than_16_segments_are_refused() {
    let segments: Vec<(u32, &[u8])> = (0..16)
        .map(|number| (0x8000_0000 + number, &[0; 4][..]))
        .collect();
    let made = |count| image::from_elf_segments(1, 0, &segments[..count], "1", "x");
    assert_eq!(made(16), Err(ImageError::TooManySegments(17)));
    assert!(is_bootable(&made(15).unwrap(), 1));
}

#[test]
fn a_merged_image_has_its_parts_where_the_chip_looks_for_them() {
    let entries = [
        Entry::new("ota_0", APP, APP_OTA_0, 0x2_0000, 0x1_0000),
        Entry::new("factory", APP, APP_FACTORY, 0x1_0000, 0x1_0000),
    ];
    for (chip_id, offset) in [(ESP32C3, 0), (ESP32, 0x1000)] {
        let bootloader = image::bootloader_like(chip_id);
        let app = ImageBuilder::new(chip_id).size(4096, 1).build();
        let table = table::to_binary(&entries);
        let file = image::merged(&bootloader, &table, &app);
        assert_eq!(file.len(), 0x1_0000 + app.len());
        assert!(file[..offset].iter().all(|&byte| byte == 0xFF));
        assert_eq!(file[offset..offset + bootloader.len()], bootloader);
        assert_eq!(file[0x8000..0x8000 + table.len()], table);
        assert_eq!(file[0x1_0000..], app);
        let only_slots = image::merged(&bootloader, &table::to_binary(&entries[..1]), &app);
        assert_eq!(only_slots[0x2_0000..], app);
    }
}
