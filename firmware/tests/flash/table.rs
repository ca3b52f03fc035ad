//! The partition table: both forms, and what is refused.

use airlift_firmware::flash::partition_table::{
    AppKind, DataKind, FLAG_ENCRYPTED, FLAG_READONLY, Kind, LineFault, PARTITION_TABLE_OFFSET,
    PartitionTable, TableError,
};
use airlift_simflash::SimFlash;
use embedded_storage::nor_flash::NorFlashErrorKind;
use proptest::prelude::*;

use crate::tables::{self, ALL, HUGE_APP, WITH_FACTORY, binary, parse};

/// What is wrong with one line in front of which nothing stands.
fn fault(line: &str) -> LineFault {
    match PartitionTable::from_csv(line) {
        Err(TableError::Line { line: 1, fault }) => fault,
        other => panic!("{line:?} gave {other:?}"),
    }
}

fn message(csv: &str) -> String {
    PartitionTable::from_csv(csv).unwrap_err().to_string()
}

#[test]
fn every_table_of_ours_fits_its_flash_and_not_a_smaller_one() {
    for (name, csv, flash_bytes) in ALL {
        let table = parse(csv);
        assert_eq!(table.validate(Some(flash_bytes)), Ok(()), "{name}");
        let refused = table.validate(Some(flash_bytes / 2));
        assert!(
            matches!(refused, Err(TableError::OutOfFlash { .. })),
            "{name}: {refused:?}"
        );
        assert!(table.find_nvs().is_some(), "{name}");
        assert_eq!(
            table.find_otadata().map(|p| p.offset),
            Some(0xE000),
            "{name}"
        );
    }
}

#[test]
fn all_tables_but_huge_app_have_two_slots_to_update_into() {
    for (name, csv, _) in ALL {
        let expected = if csv == HUGE_APP { (1, 0) } else { (2, 2) };
        let table = parse(csv);
        assert_eq!(
            (table.ota_slots_count(), table.update_slots_count()),
            expected,
            "{name}"
        );
    }
}

#[test]
fn a_single_slot_beside_a_factory_app_can_be_updated_but_not_without_otadata() {
    let with_otadata = "otadata,data,ota,,8K\nfactory,app,factory,,1M\nota_0,app,ota_0,,1M\n";
    assert_eq!(parse(with_otadata).update_slots_count(), 1);
    let (_, without) = with_otadata.split_once('\n').unwrap();
    assert_eq!(parse(without).ota_slots_count(), 1);
    assert_eq!(parse(without).update_slots_count(), 0);
}

#[test]
fn the_slots_have_the_sizes_that_were_asked_for() {
    let sizes: Vec<_> = ALL
        .iter()
        .map(|(_, csv, _)| parse(csv).ota(0).map(|slot| slot.size).unwrap())
        .collect();
    assert_eq!(
        sizes,
        [
            0x14_0000,
            0x1E_0000,
            0x30_0000,
            0x13_0000,
            0x20_0000,
            0x1E_0000,
            0x7_0000,
            0x4000_0000
        ]
    );
}

#[test]
fn blank_offsets_follow_on_aligned_as_the_kind_demands() {
    let table = parse(
        "# a comment\n\n  nvs , data, nvs, , 20K,\nodd,data,0x40,,0x1001\r\nlast, data, fat,, 4k\n\
         factory, APP, Factory, , 1M, encrypted\nslot,0,0x10,,0x10000,\nown, 0x40, 7, , 16\n\
         keys,data,nvs_keys,,4096,encrypted:readonly",
    );
    let all: Vec<_> = table
        .iter()
        .map(|p| (p.label.as_str(), p.kind, p.offset, p.size, p.flags))
        .collect();
    let other = Kind::Other {
        type_: 0x40,
        subtype: 7,
    };
    let keys = Kind::Data(DataKind::NvsKeys);
    let both = FLAG_ENCRYPTED | FLAG_READONLY;
    assert_eq!(
        all,
        [
            ("nvs", Kind::Data(DataKind::Nvs), 0x9000, 0x5000, 0),
            ("odd", Kind::Data(DataKind::Other(0x40)), 0xE000, 0x1001, 0),
            ("last", Kind::Data(DataKind::Fat), 0x1_0000, 0x1000, 0),
            (
                "factory",
                Kind::App(AppKind::Factory),
                0x2_0000,
                0x10_0000,
                FLAG_ENCRYPTED
            ),
            ("slot", Kind::App(AppKind::Ota(0)), 0x12_0000, 0x1_0000, 0),
            ("own", other, 0x13_0000, 16, 0),
            ("keys", keys, 0x13_1000, 0x1000, both),
        ]
    );
}

#[test]
fn a_line_that_cannot_be_meant_is_named_with_what_is_wrong() {
    assert_eq!(fault(",data,nvs,,0x5000"), LineFault::NoLabel);
    assert_eq!(
        fault("a_name_of_17_byte,data,nvs,,0x5000"),
        LineFault::LabelTooLong
    );
    for type_ in ["", "dada", "0xFF", "-1", "+1", "256"] {
        assert_eq!(
            fault(&format!("x,{type_},nvs,,0x5000")),
            LineFault::Type,
            "{type_}"
        );
    }
    for subtype in ["", "nvs", "ota_16", "ota_", "ota_+1", "ota_01", "0xFF", "é"] {
        assert_eq!(
            fault(&format!("x,app,{subtype},,1M")),
            LineFault::Subtype,
            "{subtype}"
        );
    }
    for subtype in ["factory", "0x", "K", "nvs_key"] {
        assert_eq!(
            fault(&format!("x,data,{subtype},,1M")),
            LineFault::Subtype,
            "{subtype}"
        );
    }
    for offset in ["0x", "64KB", "1.5M", "-4K", "5000000000", "4096M"] {
        assert_eq!(
            fault(&format!("x,data,fat,{offset},1M")),
            LineFault::Offset,
            "{offset}"
        );
    }
    assert_eq!(fault("x,data,fat,,"), LineFault::NoSize);
    assert_eq!(fault("x,data,fat"), LineFault::NoSize);
    assert_eq!(fault("x,data,fat,,much"), LineFault::Size);
    assert_eq!(fault("x,data,fat,,1M,secret"), LineFault::Flag);
    assert_eq!(fault("x,data,fat,,1M,,more"), LineFault::TooManyFields);
    assert_eq!(
        fault("x,data,fat,0x8000,1M"),
        LineFault::Overlap { free: 0x9000 }
    );
}

#[test]
fn the_message_names_line_and_remedy() {
    assert_eq!(
        message("# table\nnvs,data,nvs,0x9000,0x5000\nx,data,fat,0xD000,4K"),
        "partition table, line 3: begins before the end of what stands above; leave the offset \
         blank, or use 0xe000 or more in the table's order"
    );
    assert_eq!(
        message("app,app,factory,0x18000,1M"),
        "partition app: move the offset to a multiple of 0x10000"
    );
}

#[test]
fn a_table_that_is_not_sound_is_refused_with_the_partition_named() {
    let cases = [
        ("", "no partitions"),
        ("x,data,fat,,0", "partition x: size 0"),
        ("x,data,fat,0x9001,4K", "multiple of 0x1000"),
        (
            "x,app,factory,0x10000,0x10010",
            "partition x: make the size",
        ),
        ("x,data,nvs,,0x3010", "partition x: make the size"),
        (
            "x,data,nvs,,0x2000",
            "partition x: NVS needs at least 0x3000",
        ),
        (
            "x,data,ota,,0x1000",
            "partition x: otadata must have size 0x2000",
        ),
        (
            "x,data,ota,,0x2000,readonly",
            "partition x: is always written",
        ),
        (
            "x,data,coredump,,64K,readonly",
            "partition x: is always written",
        ),
        (
            "x,data,fat,,4K\nx,data,spiffs,,4K",
            "partition x: another one has the same name",
        ),
        (
            "a,data,ota,,8K\nb,data,ota,,8K",
            "partition b: has the same type and subtype as a",
        ),
        (
            "a,app,factory,,64K\nb,app,0,,64K",
            "partition b: has the same type and subtype as a",
        ),
        (
            "a,app,ota_0,,64K\nb,app,ota_0,,64K",
            "partition b: has the same type and subtype as a",
        ),
        (
            "a,app,ota_0,,64K\nb,app,ota_2,,64K",
            "partition b: an OTA slot before it is missing",
        ),
        (
            "a,data,fat,0xFFFFF000,0x2000",
            "partition a: ends at 0x100001000",
        ),
        (
            "a,data,fat,0xFFFFF000,4K\nb,data,fat,,4K",
            "line 2: no room is left",
        ),
    ];
    for (csv, expected) in cases {
        let message = message(csv);
        assert!(message.contains(expected), "{csv:?} gave {message:?}");
    }
    assert_eq!(parse("x,data,nvs,,0x2000,readonly").iter().count(), 1);
}

#[test]
fn sixteen_partitions_are_kept_and_a_seventeenth_is_refused_in_both_forms() {
    let line = |number| format!("p{number},data,fat,,4K\n");
    let sixteen: String = (0..16).map(line).collect();
    let table = parse(&sixteen);
    assert_eq!(table.iter().count(), 16);
    let seventeen = sixteen + &line(16);
    assert_eq!(
        PartitionTable::from_csv(&seventeen),
        Err(TableError::TooManyPartitions)
    );
    let entries: Vec<_> = (0..17)
        .map(|n| {
            let offset = 0x9000 + n * 0x1000;
            airlift_simflash::table::Entry::new(&format!("p{n}"), 1, 0x81, offset, 0x1000)
        })
        .collect();
    let bytes = airlift_simflash::table::to_binary(&entries);
    assert_eq!(
        PartitionTable::from_binary(&bytes),
        Err(TableError::TooManyPartitions)
    );
    let bytes = airlift_simflash::table::to_binary(&entries[..16]);
    assert_eq!(PartitionTable::from_binary(&bytes), Ok(table));
}

#[test]
fn a_table_is_read_from_its_place_in_the_flash() {
    for (name, csv, flash_bytes) in &ALL[..7] {
        let table = parse(csv);
        let mut flash = SimFlash::new(*flash_bytes as usize);
        assert_eq!(
            PartitionTable::read(&mut flash),
            Err(TableError::NoTable),
            "{name}"
        );
        flash.load(PARTITION_TABLE_OFFSET, &binary(&table));
        assert_eq!(
            PartitionTable::read(&mut flash),
            Ok(table.clone()),
            "{name}"
        );

        let mut small = SimFlash::new(*flash_bytes as usize / 2);
        small.load(PARTITION_TABLE_OFFSET, &binary(&table));
        let refused = PartitionTable::read(&mut small);
        assert!(
            matches!(refused, Err(TableError::OutOfFlash { .. })),
            "{name}: {refused:?}"
        );
    }
    let refused = PartitionTable::read(&mut SimFlash::new(0x8000));
    assert_eq!(
        refused,
        Err(TableError::Flash(NorFlashErrorKind::OutOfBounds))
    );
}

#[test]
fn a_binary_is_refused_for_what_is_wrong_with_it() {
    let table = parse(WITH_FACTORY);
    let good = binary(&table);
    let read = |change: &dyn Fn(&mut [u8])| {
        let mut bytes = good;
        change(&mut bytes);
        PartitionTable::from_binary(&bytes)
    };
    assert_eq!(read(&|_| ()), Ok(table.clone()));
    assert_eq!(read(&|bytes| bytes.fill(0xFF)), Err(TableError::NoTable));
    assert_eq!(read(&|bytes| bytes[0] = 0), Err(TableError::NoTable));
    assert_eq!(
        read(&|bytes| bytes[32] = 0),
        Err(TableError::Magic { entry: 1 })
    );
    assert_eq!(read(&|bytes| bytes[40] ^= 1), Err(TableError::Digest));
    assert_eq!(
        read(&|bytes| bytes[44] = 0xFF),
        Err(TableError::BadLabel { entry: 1 })
    );
    assert_eq!(
        read(&|bytes| bytes.copy_within(..32, 6 * 32)),
        Err(TableError::BehindDigest { entry: 6 })
    );
    // Older tables have no MD5.
    assert_eq!(read(&|bytes| bytes[5 * 32..6 * 32].fill(0xFF)), Ok(table));
    // What stands behind the end, such as a signature, is not the table's.
    assert!(read(&|bytes| bytes[7 * 32..].fill(0)).is_ok());
    assert_eq!(
        PartitionTable::from_binary(&good[..6 * 32]),
        Err(TableError::NoEnd)
    );
    assert_eq!(
        PartitionTable::from_binary(&good[..6 * 32 + 31]),
        Err(TableError::NoEnd)
    );
    assert!(PartitionTable::from_binary(&good[..7 * 32]).is_ok());
    assert_eq!(PartitionTable::from_binary(&[]), Err(TableError::NoEnd));
}

#[test]
fn overlap_is_found_in_a_binary_whatever_the_order() {
    use airlift_simflash::table::{Entry, to_binary};
    let high = Entry::new("high", 1, 0x81, 0x2_0000, 0x1_0000);
    let low = Entry::new("low", 1, 0x81, 0x1_0000, 0x1_0000);
    let bytes = to_binary(&[high.clone(), low.clone()]);
    assert!(PartitionTable::from_binary(&bytes).is_ok());
    let longer = Entry {
        size: 0x1_1000,
        ..low
    };
    let refused = PartitionTable::from_binary(&to_binary(&[high.clone(), longer])).unwrap_err();
    assert!(
        refused.to_string().contains("partition low: overlaps high"),
        "{refused}"
    );
    let on_the_table = Entry {
        offset: 0x8000,
        ..high
    };
    let refused = PartitionTable::from_binary(&to_binary(&[on_the_table])).unwrap_err();
    assert!(refused.to_string().contains("0x9000 or later"), "{refused}");
}

/// Lines of a sound table: kinds, sizes in sectors, whether the offset is blank, gap in sectors.
pub fn sound_csv() -> impl Strategy<Value = String> {
    let kinds = prop::sample::select(vec![
        "data,phy",
        "data,nvs",
        "data,coredump",
        "data,nvs_keys",
        "data,efuse",
        "data,undefined",
        "data,fat",
        "data,spiffs",
        "data,littlefs",
        "app,test",
        "app,ota",
    ]);
    let line = (
        kinds,
        3..64u32,
        any::<bool>(),
        prop::sample::select(vec!["", "encrypted"]),
    );
    prop::collection::vec(line, 1..15).prop_map(|lines| {
        let mut csv = String::from("otadata,data,ota,,8K\nfactory,app,factory,,64K\n");
        let mut slots = 0;
        let mut offset = 0x10_0000;
        for (number, (kind, sectors, is_blank, flags)) in lines.into_iter().enumerate() {
            let kind = match kind {
                "app,ota" => {
                    slots += 1;
                    format!("app,ota_{}", slots - 1)
                }
                kind => kind.to_owned(),
            };
            let place = if is_blank {
                String::new()
            } else {
                format!("{offset:#x}")
            };
            csv += &format!(
                "part_{number}, {kind}, {place}, {}K, {flags}\n",
                4 * sectors
            );
            offset += 0x10_0000;
        }
        csv
    })
}

proptest! {
    #[test]
    fn what_is_written_is_read_back(csv in sound_csv()) {
        let table = tables::parse(&csv);
        prop_assert_eq!(PartitionTable::from_binary(&binary(&table)), Ok(table));
    }

    #[test]
    fn every_flipped_bit_of_a_table_is_noticed(csv in sound_csv(), at: prop::sample::Index, bit in 0..8u32) {
        let table = tables::parse(&csv);
        let mut bytes = binary(&table);
        // Entries, the MD5 and the end mark.
        let used = (table.iter().count() + 2) * 32;
        bytes[at.index(used)] ^= 1 << bit;
        prop_assert!(PartitionTable::from_binary(&bytes).is_err());
    }

    #[test]
    fn no_bytes_make_it_panic(bytes: Vec<u8>) {
        let _ = PartitionTable::from_binary(&bytes);
    }

    #[test]
    fn no_fields_of_an_entry_make_it_panic_and_what_is_read_is_sound(
        fields in prop::collection::vec((0..4u8, any::<u8>(), any::<u32>(), any::<u32>(), any::<[u8; 16]>()), 1..20),
    ) {
        let mut bytes = Vec::new();
        for (type_, subtype, offset, size, label) in fields {
            bytes.extend([0xAA, 0x50, type_, subtype]);
            bytes.extend((offset & !0xFFFF).to_le_bytes());
            bytes.extend((size & 0xFFFF_F000).to_le_bytes());
            bytes.extend(label.map(|byte| byte & 0x7F));
            bytes.extend([0; 4]);
        }
        bytes.resize(bytes.len() + 32, 0xFF);
        if let Ok(table) = PartitionTable::from_binary(&bytes) {
            prop_assert_eq!(table.validate(None), Ok(()));
            prop_assert_eq!(PartitionTable::from_binary(&binary(&table)), Ok(table));
        }
    }

    #[test]
    fn no_text_makes_it_panic(text in "([a-z0-9_xKM+-]{0,6}[,:#\\n ]{0,2}){0,40}|\\PC{0,200}") {
        let _ = PartitionTable::from_csv(&text);
    }

    #[test]
    fn no_numbers_make_it_panic(offset in "(0x)?[0-9a-fA-F]{1,9}[kKmM]?", size in "(0x)?[0-9a-fA-F]{1,9}[kKmM]?") {
        let _ = PartitionTable::from_csv(&format!("a,data,fat,{offset},{size}\nb,app,ota_0,,{size}"));
    }
}
