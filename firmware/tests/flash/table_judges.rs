//! The same partition tables judged by `esp-idf-part`, `esp-bootloader-esp-idf` and the bootloader
//! model; where they differ from us, a test says how and why.

use std::panic;

use airlift_firmware::flash::partition_table::{
    PARTITION_TABLE_OFFSET, PartitionTable, TableError,
};
use airlift_simflash::table as model;
use esp_bootloader_esp_idf::partitions::{self, read_partition_table};
use proptest::prelude::*;

use crate::{
    other_flash,
    table::sound_csv,
    tables::{ALL, RAW, WITH_FACTORY, binary, parse},
};

/// Label, type, subtype, offset, size, flags.
type Fields = (String, u8, u8, u32, u32, u32);

fn ours(table: &PartitionTable) -> Vec<Fields> {
    let fields = |p: &airlift_firmware::flash::partition_table::Partition| {
        let (type_, subtype) = p.kind.to_bytes();
        (
            p.label.as_str().to_owned(),
            type_,
            subtype,
            p.offset,
            p.size,
            p.flags,
        )
    };
    table.iter().map(fields).collect()
}

fn theirs(table: &esp_idf_part::PartitionTable) -> Vec<Fields> {
    let fields = |p: &esp_idf_part::Partition| {
        let (type_, subtype) = (p.ty().into(), p.subtype().into());
        (
            p.name(),
            type_,
            subtype,
            p.offset(),
            p.size(),
            p.flags().bits(),
        )
    };
    table.partitions().iter().map(fields).collect()
}

fn esp_idf_part(csv: &str) -> Result<esp_idf_part::PartitionTable, esp_idf_part::Error> {
    esp_idf_part::PartitionTable::try_from_str(csv)
}

/// What the judge says of a table, None if it panics.
fn unless_it_panics<R>(judge: impl FnOnce() -> R + panic::UnwindSafe) -> Option<R> {
    panic::catch_unwind(judge).ok()
}

#[test]
fn esp_idf_part_reads_our_csv_and_our_binary_as_we_do() {
    for (name, csv, _) in ALL.into_iter().filter(|(_, csv, _)| *csv != RAW) {
        let table = parse(csv);
        assert_eq!(theirs(&esp_idf_part(csv).unwrap()), ours(&table), "{name}");
        let bytes = binary(&table);
        let read = esp_idf_part::PartitionTable::try_from_bytes(bytes).unwrap();
        assert_eq!(theirs(&read), ours(&table), "{name}");
    }
}

#[test]
fn esp_idf_part_writes_the_same_binary_byte_for_byte_and_we_read_it() {
    for (name, csv, _) in ALL.into_iter().filter(|(_, csv, _)| *csv != RAW) {
        let written = esp_idf_part(csv).unwrap().to_bin().unwrap();
        assert_eq!(written, binary(&parse(csv)), "{name}");
        assert_eq!(
            PartitionTable::from_binary(&written),
            Ok(parse(csv)),
            "{name}"
        );
    }
}

#[test]
fn the_csv_that_esp_idf_part_writes_is_read() {
    for (name, csv, _) in ALL.into_iter().filter(|(_, csv, _)| *csv != RAW) {
        let written = esp_idf_part(csv).unwrap().to_csv().unwrap();
        assert_eq!(
            PartitionTable::from_csv(&written),
            Ok(parse(csv)),
            "{name}\n{written}"
        );
    }
}

#[test]
fn the_other_bootloader_crate_and_the_bootloader_model_read_our_binary_as_we_do() {
    for (name, csv, flash_bytes) in ALL {
        let table = parse(csv);
        let bytes = binary(&table);
        let expected = ours(&table);

        let contents: [(u32, &[u8]); 1] = [(PARTITION_TABLE_OFFSET, &bytes)];
        let read: Vec<Fields> = other_flash::with(&contents, |flash| {
            let mut buffer = [0; partitions::PARTITION_TABLE_MAX_LEN];
            let table = read_partition_table(flash, &mut buffer).unwrap();
            let fields = |p: partitions::PartitionEntry| {
                let label = p.label_as_str().to_owned();
                (
                    label,
                    p.raw_type(),
                    p.raw_subtype(),
                    p.offset(),
                    p.len(),
                    p.flags(),
                )
            };
            table.iter().map(fields).collect()
        });
        assert_eq!(read, expected, "{name}");

        let entries = model::parse(&bytes, flash_bytes as usize).unwrap();
        let fields = |p: model::Entry| (p.label, p.kind, p.subtype, p.offset, p.size, 0);
        assert_eq!(
            entries.into_iter().map(fields).collect::<Vec<_>>(),
            expected,
            "{name}"
        );
    }
}

proptest! {
    #[test]
    fn esp_idf_part_agrees_on_any_sound_table(csv in sound_csv()) {
        let table = parse(&csv);
        let read = esp_idf_part(&csv).unwrap();
        prop_assert_eq!(theirs(&read), ours(&table));
        prop_assert_eq!(read.to_bin().unwrap(), binary(&table));
    }
}

#[test]
fn both_refuse_what_overlaps_or_is_misaligned_or_doubled() {
    for csv in [
        "x,app,factory,0x18000,1M,",
        "x,app,factory,0x10000,1M,\ny,data,fat,0x9001,4K,",
        "x,app,factory,0x10000,1M,\ny,data,fat,0x20000,4K,",
        "x,app,factory,0x10000,1M,\nx,data,fat,,4K,",
        "x,app,factory,0x10000,1M,\ny,app,factory,,1M,",
        "x,app,factory,0x10000,1M,\na,data,ota,,8K,\nb,data,ota,,8K,",
        "x,app,factory,0x10000,1M,\na,data,ota,,4K,",
        "x,app,nonsense,0x10000,1M,",
        "x,app,factory,0x10000,1M,nonsense",
        "x,app,factory,0x10000,,",
    ] {
        assert!(esp_idf_part(csv).is_err(), "{csv}");
        assert!(PartitionTable::from_csv(csv).is_err(), "{csv}");
    }
}

/// The ROM maps 16 MB of flash, so that no chip could run an app in the PC gateway's 1 GiB slots.
/// A PC has no such limit, and the tables are data for all boards: the limit is not ours to keep.
#[test]
fn differs_esp_idf_part_refuses_apps_over_16_mb_and_we_take_them_for_the_pc() {
    let refused = esp_idf_part(RAW);
    assert!(
        matches!(refused, Err(esp_idf_part::Error::PartitionTooLarge(_))),
        "{refused:?}"
    );
    assert!(PartitionTable::from_csv(RAW).is_ok());
}

/// ESP-IDF's own tool aligns it to 4 KiB, as we do.
#[test]
fn differs_esp_idf_part_aligns_a_blank_data_offset_to_4_bytes_and_then_refuses_it() {
    let csv = "odd,data,fat,,0x1004,\nnext,data,fat,,4K,\nx,app,factory,,1M,";
    let refused = esp_idf_part(csv);
    assert!(
        matches!(refused, Err(esp_idf_part::Error::UnalignedPartition)),
        "{refused:?}"
    );
    assert_eq!(parse(csv).find("next").map(|p| p.offset), Some(0xB000));
}

/// ESP-IDF's own tool takes the unit behind either, and a blank subtype as "undefined".
#[test]
fn differs_esp_idf_part_knows_neither_units_on_hexadecimal_numbers_nor_blank_subtypes() {
    let app = "x,app,factory,0x10000,1M,\n";
    for line in ["y,data,fat,,0x10K,", "y,data,,,16K,"] {
        let csv = format!("{app}{line}");
        assert!(esp_idf_part(&csv).is_err(), "{line}");
        assert_eq!(
            parse(&csv).find("y").map(|p| p.size),
            Some(0x4000),
            "{line}"
        );
    }
}

/// ESP-IDF lets users have subtypes of their own (0x40 to 0xFE), and later versions have more flags.
#[test]
fn differs_esp_idf_part_panics_on_subtypes_and_flags_it_does_not_know() {
    let own = |subtype, flags: u8| {
        let mut bytes = model::to_binary(&[
            model::Entry::new("x", 0, 0, 0x1_0000, 0x1_0000),
            model::Entry::new("y", 1, subtype, 0x2_0000, 0x1000),
        ]);
        bytes[32 + 28] = flags;
        // Without the MD5, which would not fit any more.
        bytes[64..96].fill(0xFF);
        bytes
    };
    for (subtype, flags, agrees) in [(0x81, 0, true), (0x40, 0, false), (0x81, 4, false)] {
        let bytes = own(subtype, flags);
        assert!(PartitionTable::from_binary(&bytes).is_ok());
        let judged = unless_it_panics(|| esp_idf_part::PartitionTable::try_from_bytes(bytes));
        assert_eq!(
            judged.is_some_and(|read| read.is_ok()),
            agrees,
            "{subtype:#x} {flags}"
        );
    }
}

/// An app partition or none is the board's affair; ESP-IDF's own tool does not ask either.
#[test]
fn differs_esp_idf_part_demands_an_app_partition() {
    let csv = "nvs,data,nvs,,20K,";
    let refused = esp_idf_part(csv);
    assert!(
        matches!(refused, Err(esp_idf_part::Error::NoAppPartition)),
        "{refused:?}"
    );
    assert!(PartitionTable::from_csv(csv).is_ok());
}

/// Two tables of one name cannot be told apart on the device, so the cut-off name is an error here.
#[test]
fn differs_esp_idf_part_cuts_long_names_off_and_we_refuse_them() {
    let csv = "a_name_of_17_byte,app,factory,0x10000,1M,";
    let read = esp_idf_part(csv).unwrap();
    assert_eq!(read.partitions()[0].name(), "a_name_of_17_byt");
    assert!(PartitionTable::from_csv(csv).is_err());
}

/// The bootloader takes otadata modulo the number of slots and would look for one that is missing;
/// what lies on the table itself is gone with the first erase; NVS needs three sectors.
#[test]
fn differs_esp_idf_part_passes_slot_gaps_partitions_on_the_table_and_tiny_nvs() {
    for csv in [
        "a,app,ota_0,,64K,\nb,app,ota_2,,64K,",
        "a,app,ota_0,,64K,\nb,app,ota_1,,64K,\nc,app,ota_1,,64K,",
        "nvs,data,nvs,0x8000,16K,\na,app,ota_0,,64K,",
        "nvs,data,nvs,0x9000,8K,\na,app,ota_0,,64K,",
        "x,app,factory,0x10000,0x10004,",
        "b,app,ota_0,0x20000,64K,\na,data,fat,0x9000,4K,",
        "x,app,factory,,1M,\na,data,ota,,8K,readonly",
    ] {
        assert!(esp_idf_part(csv).is_ok(), "{csv}");
        assert!(PartitionTable::from_csv(csv).is_err(), "{csv}");
    }
}

/// With its feature `validation` it would; without, it takes what the flash gives. We always look.
#[test]
fn differs_the_other_bootloader_crate_as_built_here_ignores_the_md5() {
    let mut bytes = binary(&parse(WITH_FACTORY));
    bytes[8] ^= 0x10;
    assert_eq!(PartitionTable::from_binary(&bytes), Err(TableError::Digest));
    let contents: [(u32, &[u8]); 1] = [(PARTITION_TABLE_OFFSET, &bytes)];
    let entries = other_flash::with(&contents, |flash| {
        let mut buffer = [0; partitions::PARTITION_TABLE_MAX_LEN];
        read_partition_table(flash, &mut buffer).map(|table| table.len())
    });
    assert_eq!(entries, Ok(5));
}

/// ESP-IDF's bit 0 is "encrypted", bit 1 "readonly"; `esp-idf-part` says so too.
#[test]
fn differs_the_other_bootloader_crate_swaps_the_two_flags() {
    let csv = "x,app,factory,0x10000,64K,\ny,data,fat,,4K,readonly";
    assert_eq!(theirs(&esp_idf_part(csv).unwrap())[1].5, 2);
    let bytes = binary(&parse(csv));
    let contents: [(u32, &[u8]); 1] = [(PARTITION_TABLE_OFFSET, &bytes)];
    let (is_readonly, is_encrypted) = other_flash::with(&contents, |flash| {
        let mut buffer = [0; partitions::PARTITION_TABLE_MAX_LEN];
        let table = read_partition_table(flash, &mut buffer).unwrap();
        let entry = table.get_partition(1).unwrap();
        (entry.is_read_only(), entry.is_encrypted())
    });
    assert!(!is_readonly && is_encrypted);
}

/// Custom types and data subtypes are allowed by ESP-IDF; `esphttpd` is even one of its own.
#[test]
fn differs_the_other_bootloader_crate_panics_on_kinds_it_does_not_know() {
    for (line, agrees) in [
        ("y,data,fat,,4K", true),
        ("y,data,esphttpd,,4K", false),
        ("y,data,0x40,,4K", false),
        ("y,0x40,0,,4K", false),
    ] {
        let bytes = binary(&parse(line));
        let kind = unless_it_panics(move || {
            let contents: [(u32, &[u8]); 1] = [(PARTITION_TABLE_OFFSET, &bytes)];
            other_flash::with(&contents, |flash| {
                let mut buffer = [0; partitions::PARTITION_TABLE_MAX_LEN];
                let table = read_partition_table(flash, &mut buffer).unwrap();
                let _ = table.get_partition(0).unwrap().partition_type();
            })
        });
        assert_eq!(kind.is_some(), agrees, "{line}");
    }
}

/// No MD5 covers them, so they are there by accident. The bootloader would take them.
#[test]
fn differs_entries_behind_the_md5_are_refused_by_us_alone() {
    let mut bytes = binary(&parse(WITH_FACTORY));
    bytes.copy_within(4 * 32..5 * 32, 6 * 32);
    bytes[6 * 32 + 4..6 * 32 + 8].copy_from_slice(&0x4_0000u32.to_le_bytes());
    bytes[6 * 32 + 3] = 0x12;
    bytes[6 * 32 + 16] = b'2';
    let refused = PartitionTable::from_binary(&bytes);
    assert_eq!(refused, Err(TableError::BehindDigest { entry: 6 }));
    assert_eq!(model::parse(&bytes, 0x5_0000).unwrap().len(), 6);
    assert_eq!(
        esp_idf_part::PartitionTable::try_from_bytes(bytes)
            .unwrap()
            .partitions()
            .len(),
        6
    );
}
