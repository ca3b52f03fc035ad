//! The bootloader model starts what the real one was seen to start.

use airlift_simflash::bootloader::otadata_entry;
use airlift_simflash::image::{self, ESP32C3, ImageBuilder};
use airlift_simflash::table::{self, APP, APP_FACTORY, APP_OTA_0, DATA, DATA_NVS, DATA_OTA, Entry};
use airlift_simflash::{App, Booted, Bootloader, Images, Kind, SimError, SimFlash};

const NEW: u32 = 0;
const PENDING_VERIFY: u32 = 1;
const VALID: u32 = 2;
const INVALID: u32 = 3;
const ABORTED: u32 = 4;
const UNDEFINED: u32 = u32::MAX;

const FLASH_BYTES: usize = 0x7_0000;
const OTADATA: u32 = 0xE000;
const FACTORY: u32 = 0x1_0000;
const SLOTS: [u32; 3] = [0x2_0000, 0x4_0000, 0x6_0000];
const SLOT_BYTES: u32 = 0x1_0000;

const STOCK: Bootloader = Bootloader {
    kind: Kind::Stock,
    chip_id: ESP32C3,
    images: Images::Esp,
};
const ROLLBACK: Bootloader = Bootloader {
    kind: Kind::Rollback,
    ..STOCK
};

fn image(number: u64) -> Vec<u8> {
    ImageBuilder::new(ESP32C3)
        .random_payload(9000, number)
        .build()
}

/// A delivered device: valid applications everywhere, otadata blank.
fn device(factory: bool, slots: usize) -> SimFlash {
    let mut entries = vec![
        Entry::new("nvs", DATA, DATA_NVS, 0x9000, 0x5000),
        Entry::new("otadata", DATA, DATA_OTA, OTADATA, 0x2000),
    ];
    let mut flash = SimFlash::new(FLASH_BYTES);
    if factory {
        entries.push(Entry::new("factory", APP, APP_FACTORY, FACTORY, SLOT_BYTES));
        flash.load(FACTORY, &image(99));
    }
    for (number, &offset) in SLOTS.iter().enumerate().take(slots) {
        let subtype = APP_OTA_0 + number as u8;
        entries.push(Entry::new(
            &format!("ota_{number}"),
            APP,
            subtype,
            offset,
            SLOT_BYTES,
        ));
        flash.load(offset, &image(number as u64));
    }
    flash.load(table::TABLE_OFFSET, &table::to_binary(&entries));
    flash
}

fn put_entry(flash: &mut SimFlash, which: u32, seq: u32, state: u32) {
    flash.load(OTADATA + which * 0x1000, &otadata_entry(seq, state));
}

/// Entry 0 selects ota_0 and is valid, entry 1 is as given.
fn selected(seq: u32, state: u32) -> SimFlash {
    let mut flash = device(true, 2);
    put_entry(&mut flash, 0, 1, VALID);
    put_entry(&mut flash, 1, seq, state);
    flash
}

fn state(flash: &SimFlash, which: u32) -> u32 {
    let bytes = flash.bytes(OTADATA + which * 0x1000 + 24, 4);
    u32::from_le_bytes(bytes.try_into().unwrap())
}

/// What is booted by a bootloader that leaves the flash alone.
#[track_caller]
fn assert_boots(flash: &SimFlash, bootloader: Bootloader, app: App) -> Booted {
    let mut copy = flash.clone();
    let booted = bootloader.boot(&mut copy).unwrap();
    assert_eq!(booted.app, app, "{:?}", booted.refused);
    assert_eq!(copy.operations(), flash.operations(), "it wrote");
    booted
}

#[test]
fn the_crc_of_sequence_number_1_is_the_one_measured() {
    assert_eq!(otadata_entry(1, VALID)[28..], 0x4743_989A_u32.to_le_bytes());
}

#[test]
fn a_new_pending_or_undefined_entry_boots_its_slot_and_stays() {
    for state in [NEW, PENDING_VERIFY, VALID, UNDEFINED] {
        let booted = assert_boots(&selected(2, state), STOCK, App::Ota(1));
        assert_eq!((booted.offset, booted.size), (SLOTS[1], SLOT_BYTES));
        assert!(booted.refused.is_empty());
    }
}

#[test]
fn an_invalid_or_aborted_entry_or_one_with_a_bad_crc_does_not_count() {
    for state in [INVALID, ABORTED] {
        assert_boots(&selected(2, state), STOCK, App::Ota(0));
    }
    let mut flash = selected(2, VALID);
    flash.flip_bit(OTADATA + 0x1000 + 28, 0);
    assert_boots(&flash, STOCK, App::Ota(0));
}

#[test]
fn a_damaged_image_falls_back_to_the_lower_slot() {
    let other_chip = ImageBuilder::new(image::ESP32)
        .random_payload(9000, 1)
        .build();
    let mut cases: Vec<_> = (0..4).map(|_| image(1)).collect();
    image::flip(&mut cases[0], 5000, 3);
    image::flip(&mut cases[1], 0, 0);
    let in_hash = cases[2].len() - 1;
    image::flip(&mut cases[2], in_hash, 7);
    image::flip_unseen_by_checksum(&mut cases[3], [4000, 7000], 2);
    cases.push(other_chip);
    for (number, damaged) in cases.iter().enumerate() {
        let mut flash = selected(2, VALID);
        flash.load(SLOTS[1], damaged);
        let booted = assert_boots(&flash, STOCK, App::Ota(0));
        assert_eq!(booted.refused.len(), 1, "case {number}");
    }
}

#[test]
fn without_an_appended_hash_corruption_that_keeps_the_checksum_is_unseen() {
    let mut damaged = ImageBuilder::new(ESP32C3)
        .random_payload(9000, 1)
        .without_hash()
        .build();
    image::flip_unseen_by_checksum(&mut damaged, [4000, 7000], 2);
    let mut flash = selected(2, VALID);
    flash.load(SLOTS[1], &damaged);
    assert_boots(&flash, STOCK, App::Ota(1));
    flash.flip_bit(SLOTS[1] + 4000, 0);
    assert_boots(&flash, STOCK, App::Ota(0));
}

#[test]
fn two_bad_slots_or_no_usable_entry_boot_the_factory_application() {
    let mut flash = selected(2, VALID);
    flash.flip_bit(SLOTS[0] + 600, 0);
    flash.flip_bit(SLOTS[1] + 600, 0);
    let booted = assert_boots(&flash, STOCK, App::Factory);
    assert_eq!((booted.offset, booted.size), (FACTORY, SLOT_BYTES));

    assert_boots(&device(true, 2), STOCK, App::Factory);

    let mut flash = selected(2, VALID);
    flash.flip_bit(OTADATA + 28, 0);
    flash.flip_bit(OTADATA + 0x1000 + 28, 0);
    assert_boots(&flash, STOCK, App::Factory);
}

#[test]
fn the_higher_sequence_number_wins_modulo_the_number_of_slots() {
    let mut flash = device(true, 2);
    put_entry(&mut flash, 0, 3, VALID);
    put_entry(&mut flash, 1, 2, VALID);
    assert_boots(&flash, STOCK, App::Ota(0));
    let mut flash = device(true, 3);
    put_entry(&mut flash, 0, 5, VALID);
    put_entry(&mut flash, 1, 9, VALID);
    assert_boots(&flash, STOCK, App::Ota(2));
}

#[test]
fn without_factory_a_blank_otadata_boots_the_first_slot_and_is_noted() {
    let mut flash = device(false, 2);
    assert_eq!(STOCK.boot(&mut flash).unwrap().app, App::Ota(0));
    assert_eq!(flash.bytes(OTADATA, 32), otadata_entry(1, VALID));
    assert_eq!(flash.bytes(OTADATA + 0x1000, 32), [0xFF; 32]);
    assert_boots(&flash, STOCK, App::Ota(0));
}

#[test]
fn without_factory_two_bad_crcs_boot_the_first_slot_that_is_good() {
    let mut flash = device(false, 2);
    for which in 0..2 {
        put_entry(&mut flash, which, 2, VALID);
        flash.flip_bit(OTADATA + which * 0x1000 + 30, 0);
    }
    assert_boots(&flash, STOCK, App::Ota(0));
    flash.flip_bit(SLOTS[0], 0);
    assert_boots(&flash, STOCK, App::Ota(1));
}

#[test]
fn after_lower_slots_and_factory_the_higher_slots_are_tried_and_then_it_is_a_brick() {
    let mut flash = device(false, 2);
    put_entry(&mut flash, 0, 1, VALID);
    flash.flip_bit(SLOTS[0], 0);
    assert_boots(&flash, STOCK, App::Ota(1));
    flash.flip_bit(SLOTS[1], 0);
    let booted = assert_boots(&flash, STOCK, App::None);
    assert_eq!((booted.size, booted.refused.len()), (0, 2));
}

#[test]
fn a_damaged_partition_table_is_a_brick() {
    let mut flash = selected(2, VALID);
    flash.flip_bit(table::TABLE_OFFSET + 4, 0);
    assert_boots(&flash, STOCK, App::None);
}

#[test]
fn an_image_that_says_it_is_longer_than_its_partition_is_refused() {
    let long = ImageBuilder::new(ESP32C3)
        .size(SLOT_BYTES as usize + 16, 1)
        .build();
    let mut flash = selected(2, VALID);
    flash.load(SLOTS[1], &long);
    assert_boots(&flash, STOCK, App::Ota(0));
    let fitting = ImageBuilder::new(ESP32C3)
        .size(SLOT_BYTES as usize, 1)
        .build();
    flash.load(SLOTS[1], &fitting);
    assert_boots(&flash, STOCK, App::Ota(1));
}

#[test]
fn a_board_without_image_format_boots_any_contents() {
    let raw = Bootloader {
        images: Images::Any,
        ..STOCK
    };
    let mut flash = selected(2, NEW);
    flash.load(SLOTS[1], &[0; 100]);
    assert_boots(&flash, raw, App::Ota(1));
}

#[test]
fn with_rollback_a_new_image_gets_one_boot_to_confirm_itself() {
    let mut flash = selected(2, NEW);
    assert_eq!(ROLLBACK.boot(&mut flash).unwrap().app, App::Ota(1));
    assert_eq!(
        (state(&flash, 0), state(&flash, 1)),
        (VALID, PENDING_VERIFY)
    );
    assert_eq!(
        flash.bytes(OTADATA + 0x1000, 32),
        otadata_entry(2, PENDING_VERIFY)
    );
    assert_eq!(ROLLBACK.boot(&mut flash).unwrap().app, App::Ota(0));
    assert_eq!((state(&flash, 0), state(&flash, 1)), (VALID, ABORTED));
    assert_boots(&flash, ROLLBACK, App::Ota(0));
}

#[test]
fn with_rollback_valid_and_undefined_images_boot_again_and_again() {
    for state in [VALID, UNDEFINED] {
        assert_boots(&selected(2, state), ROLLBACK, App::Ota(1));
    }
}

#[test]
fn with_rollback_a_new_image_that_does_not_verify_is_aborted_at_the_next_boot() {
    let mut flash = selected(2, NEW);
    flash.flip_bit(SLOTS[1] + 600, 0);
    assert_eq!(ROLLBACK.boot(&mut flash).unwrap().app, App::Ota(0));
    assert_eq!(state(&flash, 1), PENDING_VERIFY);
    assert_eq!(ROLLBACK.boot(&mut flash).unwrap().app, App::Ota(0));
    assert_eq!(state(&flash, 1), ABORTED);
}

#[test]
fn a_power_cut_in_the_bootloader_is_reported_and_the_next_boot_starts_a_valid_application() {
    let raw = Bootloader {
        images: Images::Any,
        ..ROLLBACK
    };
    for bootloader in [ROLLBACK, raw] {
        for seed in 0..100 {
            let pending = [NEW, PENDING_VERIFY][seed as usize % 2];
            for operation in 1..=2 {
                let mut flash = selected(2, pending);
                flash.cut_after(operation, seed);
                assert_eq!(bootloader.boot(&mut flash), Err(SimError::PowerCut));
                assert_eq!(flash.cuts_fired(), 1);
                flash.power_on();
                let app = bootloader.boot(&mut flash).unwrap().app;
                assert!(
                    matches!(app, App::Ota(_)),
                    "seed {seed}, operation {operation}: {app:?}"
                );
            }
        }
    }
}

#[test]
fn a_worn_out_flash_still_boots() {
    let mut flash = selected(2, PENDING_VERIFY);
    flash.fail_writes(1);
    assert_eq!(ROLLBACK.boot(&mut flash).unwrap().app, App::Ota(0));
    assert_eq!(flash.failures_fired(), 1);
}
