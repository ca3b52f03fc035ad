//! The flash is strict, tears what a power cut hits, and counts what is done to it.

use std::collections::HashSet;

use airlift_simflash::{Counters, PAGE_BYTES, Random, SECTOR_BYTES, SimError, SimFlash};
use embedded_storage::nor_flash::{NorFlash, NorFlashError, NorFlashErrorKind, ReadNorFlash};

const SECTOR: u32 = SECTOR_BYTES as u32;

fn read(flash: &mut SimFlash, address: u32, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    flash.read(address, &mut bytes).unwrap();
    bytes
}

fn random_bytes(length: usize, seed: u64) -> Vec<u8> {
    let mut bytes = vec![0; length];
    Random::new(seed).fill(&mut bytes);
    bytes
}

#[test]
fn a_new_flash_is_erased_and_keeps_what_is_written() {
    let mut flash = SimFlash::new(4 * SECTOR_BYTES);
    assert!(flash.to_bytes().iter().all(|&byte| byte == 0xFF));
    let written = random_bytes(SECTOR_BYTES + 40, 1);
    flash.write(SECTOR - 20, &written).unwrap();
    assert_eq!(read(&mut flash, SECTOR - 20, written.len()), written);
    assert_eq!(read(&mut flash, SECTOR - 21, 1), [0xFF]);
    assert_eq!(flash.capacity(), 4 * SECTOR_BYTES);
}

#[test]
fn a_flash_made_from_bytes_holds_them_and_is_erased_behind() {
    let bytes = random_bytes(SECTOR_BYTES + 1, 2);
    let flash = SimFlash::from_bytes(&bytes);
    assert_eq!(flash.size(), 2 * SECTOR_BYTES);
    assert_eq!(flash.bytes(0, bytes.len()), bytes);
    assert_eq!(flash.bytes(SECTOR + 1, 3), [0xFF; 3]);
    assert_eq!(flash.counters(), Counters::default());
}

#[test]
fn a_write_over_a_written_word_may_clear_bits() {
    let mut flash = SimFlash::new(SECTOR_BYTES);
    for value in [0xFE, 0xFC, 0x0C, 0x0C, 0x00] {
        flash.write(8, &[value; 4]).unwrap();
        assert_eq!(read(&mut flash, 8, 4), [value; 4]);
    }
}

#[test]
#[should_panic(expected = "at 0xa would set a bit")]
fn a_write_that_would_set_a_bit_panics_with_the_address() {
    let mut flash = SimFlash::new(SECTOR_BYTES);
    flash.write(8, &[0xFF, 0xFF, 0xF0, 0xFF]).unwrap();
    let _ = flash.write(8, &[0xFF, 0xFF, 0xF1, 0xFF]);
}

#[test]
fn an_erase_makes_a_sector_writable_again_and_no_other() {
    let mut flash = SimFlash::from_bytes(&[0; 3 * SECTOR_BYTES]);
    flash.erase(SECTOR, 2 * SECTOR).unwrap();
    assert_eq!(read(&mut flash, SECTOR - 1, 2), [0, 0xFF]);
    assert_eq!(read(&mut flash, 2 * SECTOR - 1, 2), [0xFF, 0]);
    flash.write(SECTOR, &[0xA5; 4]).unwrap();
    assert_eq!(read(&mut flash, SECTOR, 4), [0xA5; 4]);
}

#[test]
fn unaligned_and_too_long_operations_are_refused_without_effect() {
    let mut flash = SimFlash::new(2 * SECTOR_BYTES);
    let refusals = [
        (flash.write(2, &[0; 4]), NorFlashErrorKind::NotAligned),
        (flash.write(0, &[0; 6]), NorFlashErrorKind::NotAligned),
        (
            flash.write(2 * SECTOR - 4, &[0; 8]),
            NorFlashErrorKind::OutOfBounds,
        ),
        (
            flash.write(u32::MAX - 3, &[0; 8]),
            NorFlashErrorKind::OutOfBounds,
        ),
        (flash.erase(4, SECTOR), NorFlashErrorKind::NotAligned),
        (flash.erase(0, SECTOR + 4), NorFlashErrorKind::NotAligned),
        (
            flash.erase(SECTOR, 3 * SECTOR),
            NorFlashErrorKind::OutOfBounds,
        ),
        (flash.erase(SECTOR, 0), NorFlashErrorKind::OutOfBounds),
        (
            flash.read(2 * SECTOR - 1, &mut [0; 2]),
            NorFlashErrorKind::OutOfBounds,
        ),
    ];
    for (number, (refusal, kind)) in refusals.into_iter().enumerate() {
        assert_eq!(refusal.unwrap_err().kind(), kind, "refusal {number}");
    }
    assert_eq!(flash.counters(), Counters::default());
    assert!(flash.to_bytes().iter().all(|&byte| byte == 0xFF));
}

#[test]
fn operations_are_counted_by_page_and_by_sector() {
    let mut flash = SimFlash::new(4 * SECTOR_BYTES);
    flash
        .write(PAGE_BYTES as u32 - 4, &[0; PAGE_BYTES + 8])
        .unwrap();
    flash.erase(0, 3 * SECTOR).unwrap();
    flash.erase(0, SECTOR).unwrap();
    read(&mut flash, 3, 10);
    let expected = Counters {
        reads: 1,
        bytes_read: 10,
        writes: 3,
        bytes_written: PAGE_BYTES as u64 + 8,
        erases: 4,
    };
    assert_eq!(flash.counters(), expected);
    assert_eq!(flash.operations(), 7);
    assert_eq!(flash.erase_counts(), [2, 1, 1, 0]);
}

#[test]
fn a_cut_falls_in_the_named_operation_and_everything_fails_until_power_returns() {
    let mut flash = SimFlash::new(4 * SECTOR_BYTES);
    let page = [0_u8; PAGE_BYTES];
    flash.cut_after(3, 5);
    let cut = flash.write(0, &[0; 4 * PAGE_BYTES]);
    assert_eq!(cut, Err(SimError::PowerCut));
    assert_eq!((flash.is_cut(), flash.cuts_fired()), (true, 1));
    assert_eq!(flash.operations(), 3);
    assert_eq!(flash.bytes(0, PAGE_BYTES), page, "the first page was done");
    assert_eq!(flash.bytes(PAGE_BYTES as u32, PAGE_BYTES), page);
    let untouched = [0xFF; PAGE_BYTES];
    assert_eq!(flash.bytes(3 * PAGE_BYTES as u32, PAGE_BYTES), untouched);

    assert_eq!(flash.read(0, &mut [0]), Err(SimError::PowerCut));
    assert_eq!(flash.write(SECTOR, &[0; 4]), Err(SimError::PowerCut));
    assert_eq!(flash.erase(0, SECTOR), Err(SimError::PowerCut));
    assert_eq!((flash.operations(), flash.cuts_fired()), (3, 1));

    flash.power_on();
    assert!(!flash.is_cut());
    assert_eq!(read(&mut flash, 0, PAGE_BYTES), page);
    flash.erase(0, SECTOR).unwrap();
    flash.write(0, &page).unwrap();
}

#[test]
fn a_cut_within_an_erase_of_several_sectors_leaves_the_later_ones() {
    let mut flash = SimFlash::from_bytes(&[0; 3 * SECTOR_BYTES]);
    flash.cut_after(2, 9);
    assert_eq!(flash.erase(0, 3 * SECTOR), Err(SimError::PowerCut));
    assert_eq!(flash.bytes(0, SECTOR_BYTES), [0xFF; SECTOR_BYTES]);
    assert_eq!(flash.bytes(2 * SECTOR, SECTOR_BYTES), [0; SECTOR_BYTES]);
}

#[test]
fn a_cut_at_once_needs_no_operation_and_a_cancelled_one_never_fires() {
    let mut flash = SimFlash::new(SECTOR_BYTES);
    flash.cut_after(1, 0);
    flash.cancel_cut();
    flash.write(0, &[0; 4]).unwrap();
    flash.cut_after(0, 0);
    assert_eq!((flash.is_cut(), flash.cuts_fired()), (true, 1));
    assert_eq!(flash.write(4, &[0; 4]), Err(SimError::PowerCut));
}

#[test]
fn a_torn_write_clears_only_bits_it_was_to_clear_and_tears_in_every_way() {
    let (held, wanted) = (random_bytes(PAGE_BYTES, 3), random_bytes(PAGE_BYTES, 4));
    let wanted: Vec<u8> = held
        .iter()
        .zip(&wanted)
        .map(|(held, new)| held & new)
        .collect();
    let (mut nothing, mut prefix, mut within_word, mut all) = (0, 0, 0, 0);
    for seed in 0..1000 {
        let mut flash = SimFlash::from_bytes(&held);
        flash.cut_after(1, seed);
        assert_eq!(flash.write(0, &wanted), Err(SimError::PowerCut));
        let left = flash.bytes(0, PAGE_BYTES);
        for at in 0..PAGE_BYTES {
            let set = left[at] & !held[at];
            let lost = wanted[at] & !left[at];
            assert_eq!((set, lost), (0, 0), "seed {seed}, byte {at}");
        }
        let whole = (0..PAGE_BYTES)
            .step_by(4)
            .take_while(|&at| left[at..at + 4] == wanted[at..at + 4]);
        let torn_at = whole.count() * 4;
        let rest_is_old = |from: usize| left[from..] == held[from..];
        match torn_at {
            PAGE_BYTES => all += 1,
            0 if rest_is_old(0) => nothing += 1,
            at if rest_is_old(at) => prefix += 1,
            at => {
                assert!(rest_is_old(at + 4), "seed {seed}: two torn words");
                within_word += 1;
            }
        }
    }
    assert!(
        [nothing, prefix, within_word, all]
            .iter()
            .all(|&times| times > 50)
    );
}

#[test]
fn a_torn_erase_leaves_nothing_all_or_a_mix_with_undefined_bytes() {
    let held = [0x5A; SECTOR_BYTES];
    let (mut nothing, mut all, mut mixed, mut undefined) = (0, 0, 0, 0);
    for seed in 0..300 {
        let mut flash = SimFlash::from_bytes(&held);
        flash.cut_after(1, seed);
        assert_eq!(flash.erase(0, SECTOR), Err(SimError::PowerCut));
        let kinds: HashSet<u8> = flash.to_bytes().into_iter().collect();
        match kinds.len() {
            1 if kinds.contains(&0x5A) => nothing += 1,
            1 => {
                assert!(kinds.contains(&0xFF), "seed {seed}");
                all += 1;
            }
            2 => mixed += 1,
            _ => undefined += 1,
        }
    }
    assert!(
        [nothing, all, mixed, undefined]
            .iter()
            .all(|&times| times > 10)
    );
}

#[test]
fn the_same_seed_tears_the_same_way() {
    let torn = |seed| {
        let mut flash = SimFlash::from_bytes(&[0; SECTOR_BYTES]);
        flash.cut_after(1, seed);
        flash.erase(0, SECTOR).unwrap_err();
        flash.to_bytes()
    };
    let different: HashSet<_> = (0..40).map(torn).collect();
    assert!(different.len() > 20);
    assert_eq!(torn(17), torn(17));
}

#[test]
fn a_worn_out_flash_refuses_changes_but_is_read_until_repaired() {
    let mut flash = SimFlash::new(2 * SECTOR_BYTES);
    flash.fail_writes(2);
    flash.write(0, &[1; 4]).unwrap();
    assert_eq!(flash.write(4, &[2; 4]), Err(SimError::WornOut));
    assert_eq!(flash.erase(0, SECTOR), Err(SimError::WornOut));
    assert_eq!(read(&mut flash, 0, 8), [1, 1, 1, 1, 255, 255, 255, 255]);
    assert_eq!((flash.failures_fired(), flash.operations()), (2, 1));
    flash.stop_failing();
    flash.erase(0, SECTOR).unwrap();
}

#[test]
fn a_flipped_bit_is_one_bit() {
    let mut flash = SimFlash::new(SECTOR_BYTES);
    flash.flip_bit(9, 4);
    assert_eq!(read(&mut flash, 8, 3), [0xFF, 0xEF, 0xFF]);
    flash.flip_bit(9, 4);
    assert_eq!(read(&mut flash, 9, 1), [0xFF]);
    assert_eq!(flash.operations(), 0);
}

#[test]
fn a_clone_goes_its_own_way() {
    let mut flash = SimFlash::new(2 * SECTOR_BYTES);
    flash.write(0, &[0x0F; 4]).unwrap();
    let mut clone = flash.clone();
    clone.cut_after(2, 1);
    clone.write(0, &[0; 4]).unwrap();
    clone.erase(SECTOR, 2 * SECTOR).unwrap_err();
    assert_eq!(read(&mut flash, 0, 4), [0x0F; 4]);
    assert_eq!((flash.is_cut(), flash.erase_counts()), (false, &[0, 0][..]));
    assert_eq!(clone.bytes(0, 4), [0; 4]);
}
