use airlift_simflash::Random;

use super::*;

const SIZE: u32 = 64 * 1024;

fn file() -> File {
    tempfile::tempfile().unwrap()
}

fn chip() -> Chip {
    Chip::new(file(), SIZE)
}

fn read(chip: &mut Chip, at: u32, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    chip.read(at, &mut bytes).unwrap();
    bytes
}

#[test]
fn beyond_the_files_end_the_chip_is_erased_and_the_file_grows_with_what_is_written() {
    let file = file();
    let mut chip = Chip::new(file.try_clone().unwrap(), SIZE);
    assert_eq!(read(&mut chip, 0, 5), [ERASED; 5]);
    chip.erase(0, SECTOR_BYTES).unwrap();
    chip.write(0, b"abcd").unwrap();
    assert_eq!(file.metadata().unwrap().len(), u64::from(SECTOR_BYTES));
    assert_eq!(read(&mut chip, SECTOR_BYTES - 2, 4), [ERASED; 4]);
    assert_eq!(read(&mut chip, 0, 5), *b"abcd\xFF");
}

#[test]
fn a_write_clears_bits_and_only_an_erase_sets_them() {
    let mut chip = chip();
    chip.erase(0, 2 * SECTOR_BYTES).unwrap();
    chip.write(4, &[0b1111_0000; 4]).unwrap();
    chip.write(4, &[0b0011_1111; 4]).unwrap();
    assert_eq!(read(&mut chip, 4, 4), [0b0011_0000; 4]);
    chip.erase(0, SECTOR_BYTES).unwrap();
    assert_eq!(read(&mut chip, 4, 4), [ERASED; 4]);
}

#[test]
fn a_write_over_several_pages_and_an_erase_of_several_sectors_are_whole() {
    let mut chip = chip();
    let mut bytes = vec![0; 3 * PAGE_BYTES];
    Random::new(5).fill(&mut bytes);
    chip.erase(0, 2 * SECTOR_BYTES).unwrap();
    let at = SECTOR_BYTES - 300;
    chip.write(at, &bytes).unwrap();
    assert_eq!(read(&mut chip, at, bytes.len()), bytes);
    chip.erase(0, 2 * SECTOR_BYTES).unwrap();
    assert_eq!(read(&mut chip, at, bytes.len()), vec![ERASED; bytes.len()]);
}

#[test]
fn what_is_not_aligned_or_beyond_the_chip_is_refused() {
    let mut chip = chip();
    assert_eq!(chip.write(2, &[0; 4]), Err(ChipError::NotAligned));
    assert_eq!(chip.write(0, &[0; 3]), Err(ChipError::NotAligned));
    assert_eq!(chip.erase(0, 100), Err(ChipError::NotAligned));
    assert_eq!(chip.write(SIZE - 4, &[0; 8]), Err(ChipError::OutOfBounds));
    assert_eq!(chip.read(SIZE, &mut [0]), Err(ChipError::OutOfBounds));
    assert_eq!(chip.erase(SECTOR_BYTES, 0), Err(ChipError::OutOfBounds));
}

#[test]
fn a_file_that_cannot_be_written_says_why() {
    let path = tempfile::NamedTempFile::new().unwrap().into_temp_path();
    let mut chip = Chip::new(File::open(&path).unwrap(), SIZE);
    assert_eq!(chip.write(0, &[0; 4]), Err(ChipError::File));
    assert!(chip.failure().is_some());
}

#[test]
fn order_is_forced_only_around_records() {
    let mut chip = chip();
    let records = 2 * SECTOR_BYTES..4 * SECTOR_BYTES;
    chip.keep(Durability {
        records: vec![records.clone()],
    });
    let unsynced = |chip: &Chip| chip.state().unsynced;
    chip.write(0, &[0; 4]).unwrap();
    chip.write(SECTOR_BYTES, &[0; 4]).unwrap();
    assert_eq!(unsynced(&chip), Unsynced::Slots(1));
    chip.settle().unwrap();
    assert_eq!(
        unsynced(&chip),
        Unsynced::Slots(1),
        "nobody rests on it yet"
    );
    chip.write(records.start, &[0; 4]).unwrap();
    chip.write(records.start + 8, &[0; 4]).unwrap();
    assert_eq!(unsynced(&chip), Unsynced::Record(2));
    chip.erase(3 * SECTOR_BYTES, 4 * SECTOR_BYTES).unwrap();
    assert_eq!(unsynced(&chip), Unsynced::Record(3));
    chip.settle().unwrap();
    assert_eq!(unsynced(&chip), Unsynced::Nothing);
}

#[test]
fn order_is_forced_where_writing_leaves_off_going_on() {
    use Unsynced::{Nothing, Record, Slots};
    for (last, next) in [
        (Slots(5), Slots(5)),
        (Slots(5), Slots(6)),
        (Nothing, Slots(9)),
    ] {
        assert!(!last.is_before(next), "{last:?} {next:?}");
    }
    let forced = [
        (Slots(5), Slots(4)),
        (Slots(5), Slots(7)),
        (Slots(5), Record(6)),
        (Record(5), Slots(6)),
        (Record(5), Record(6)),
    ];
    for (last, next) in forced {
        assert!(last.is_before(next), "{last:?} {next:?}");
    }
}

/// A chip of which sectors 0 and 1 are erased, with this cut to come.
fn cut(after_operations: u64, seed: u64) -> Chip {
    let mut chip = chip();
    chip.erase(0, 2 * SECTOR_BYTES).unwrap();
    chip.power_on(Some(PowerCut {
        after_operations,
        random: Random::new(seed),
    }));
    chip
}

#[test]
fn the_power_goes_in_the_operation_it_was_planned_for_and_comes_back() {
    let mut chip = cut(2, 1);
    chip.write(0, &[0; PAGE_BYTES]).unwrap();
    assert!(!chip.is_cut());
    let two_pages = [0; 2 * PAGE_BYTES];
    let written = chip.write(PAGE_BYTES as u32, &two_pages);
    assert_eq!(written, Err(ChipError::PowerCut));
    assert!(chip.is_cut());
    assert_eq!(chip.read(0, &mut [0]), Err(ChipError::PowerCut));
    assert_eq!(chip.erase(0, SECTOR_BYTES), Err(ChipError::PowerCut));
    chip.power_on(None);
    assert_eq!(read(&mut chip, 0, 2 * PAGE_BYTES), [0; 2 * PAGE_BYTES]);
}

#[test]
fn a_torn_write_leaves_a_part_by_its_seed_and_sets_no_bit() {
    let mut kinds = [0; 3];
    for seed in 0..100 {
        let torn = || {
            let mut chip = cut(0, seed);
            assert_eq!(chip.write(0, &[0x5A; 256]), Err(ChipError::PowerCut));
            chip.power_on(None);
            read(&mut chip, 0, 256)
        };
        let held = torn();
        assert_eq!(held, torn(), "seed {seed}");
        assert!(held.iter().all(|byte| byte & 0x5A == 0x5A), "seed {seed}");
        let kind = match held.iter().filter(|byte| **byte == 0x5A).count() {
            0 => 0,
            256 => 1,
            _ => 2,
        };
        kinds[kind] += 1;
    }
    assert!(kinds.iter().all(|count| *count > 5), "{kinds:?}");
}

#[test]
fn a_torn_erase_leaves_a_mix_in_its_sector_alone() {
    for seed in 0..20 {
        let mut chip = cut(1, seed);
        chip.write(SECTOR_BYTES, &[0; 4]).unwrap();
        assert_eq!(chip.erase(0, 2 * SECTOR_BYTES), Err(ChipError::PowerCut));
        chip.power_on(None);
        assert_eq!(read(&mut chip, SECTOR_BYTES, 4), [0; 4], "seed {seed}");
    }
}
