//! The same otadata judged by `esp-bootloader-esp-idf`; where it differs from us and from the stock
//! bootloader, a test says how.

use std::panic;

use airlift_firmware::flash::{
    otadata::{Entry, Otadata, State},
    partition_table::PARTITION_TABLE_OFFSET,
};
use airlift_simflash::SimFlash;
use esp_bootloader_esp_idf::{
    ota::OtaImageState,
    ota_updater::OtaUpdater,
    partitions::{AppPartitionSubType, Error, PARTITION_TABLE_MAX_LEN},
};

use crate::{
    other_flash,
    tables::{WITH_FACTORY, binary, parse},
};

const OTADATA: u32 = 0xE000;
const ERASED: [u8; 32] = [0xFF; 32];

fn bytes(seq: u32, state: State) -> [u8; 32] {
    Entry { seq, state }.to_bytes()
}

/// Lets the judge work on both entries; gives its answer and what we then read.
fn judge<R>(
    entries: [[u8; 32]; 2],
    question: impl FnOnce(&mut OtaUpdater<'_, 'static>) -> R,
) -> (R, Otadata) {
    let table = parse(WITH_FACTORY);
    let contents: [(u32, &[u8]); 3] = [
        (PARTITION_TABLE_OFFSET, &binary(&table)),
        (OTADATA, &entries[0]),
        (OTADATA + 0x1000, &entries[1]),
    ];
    other_flash::with(&contents, |flash| {
        let mut buffer = [0; PARTITION_TABLE_MAX_LEN];
        let mut updater = OtaUpdater::new(flash, &mut buffer).unwrap();
        let answer = question(&mut updater);
        let mut bytes = vec![0; other_flash::BYTES as usize];
        flash.read(0, &mut bytes).unwrap();
        let mut flash = SimFlash::from_bytes(&bytes);
        let partition = table.find_otadata().unwrap();
        (answer, Otadata::read(&mut flash, partition).unwrap())
    })
}

/// What the judge and we take for the selected app, as the judge names it.
fn both(entries: [[u8; 32]; 2]) -> (Result<AppPartitionSubType, Error>, AppPartitionSubType) {
    let (theirs, otadata) = judge(entries, |updater| updater.selected_partition());
    let active = otadata.active().and_then(|which| otadata.entries[which]);
    let ours = match active.and_then(|entry| Otadata::slot(entry, 2)) {
        None => AppPartitionSubType::Factory,
        Some(slot) => AppPartitionSubType::try_from(0x10 + slot).unwrap(),
    };
    (theirs, ours)
}

#[test]
fn the_other_crate_selects_what_we_select() {
    let ok = [
        State::New,
        State::PendingVerify,
        State::Valid,
        State::Undefined,
    ];
    let mut judged = 0;
    for first in [None, Some(1), Some(2), Some(3), Some(6)] {
        for second in [None, Some(1), Some(2), Some(5), Some(8)] {
            for state in ok {
                let write = |seq: Option<u32>| seq.map_or(ERASED, |seq| bytes(seq, state));
                let entries = [write(first), write(second)];
                let (theirs, ours) = both(entries);
                assert_eq!(theirs, Ok(ours), "{first:?} {second:?} {state:?}");
                judged += 1;
            }
        }
    }
    assert_eq!(judged, 100);
}

#[test]
fn the_other_crate_reads_the_states_that_we_write() {
    for (ours, theirs) in [
        (State::New, OtaImageState::New),
        (State::PendingVerify, OtaImageState::PendingVerify),
        (State::Valid, OtaImageState::Valid),
        (State::Invalid, OtaImageState::Invalid),
        (State::Aborted, OtaImageState::Aborted),
        (State::Undefined, OtaImageState::Undefined),
    ] {
        let entries = [ERASED, bytes(2, ours)];
        let (state, _) = judge(entries, |updater| updater.current_ota_state());
        assert_eq!(state, Ok(theirs));
        let (_, read) = judge([bytes(1, State::New), ERASED], |updater| {
            updater.set_current_ota_state(theirs)
        });
        assert_eq!(
            read.entries[0],
            Some(Entry {
                seq: 1,
                state: ours
            })
        );
    }
}

#[test]
fn what_the_other_crate_selects_we_read_with_the_number_we_would_have_chosen() {
    for seq in 1..9 {
        let before = Otadata {
            entries: [
                Some(Entry {
                    seq,
                    state: State::Valid,
                }),
                None,
            ],
        };
        let other_slot = (seq % 2) as u8;
        let app = AppPartitionSubType::try_from(0x10 + other_slot).unwrap();
        let (result, read) = judge([bytes(seq, State::Valid), ERASED], |updater| {
            updater.ota_data()?.set_current_app_partition(app)
        });
        assert_eq!(result, Ok(()));
        assert_eq!(read.active(), Some(1), "{seq}");
        let written = read.entries[1].unwrap();
        assert_eq!(written.seq, before.next_seq(other_slot, 2));
        assert_eq!(Otadata::slot(written, 2), Some(other_slot));
    }
}

/// The stock bootloader passes over such entries, and so do we; by "selected" the crate means what
/// was asked for last, not what boots.
#[test]
fn differs_the_other_crate_selects_entries_that_are_invalid_or_aborted() {
    for state in [State::Invalid, State::Aborted] {
        let (theirs, ours) = both([bytes(1, State::Valid), bytes(2, state)]);
        assert_eq!(theirs, Ok(AppPartitionSubType::Ota1));
        assert_eq!(ours, AppPartitionSubType::Ota0);
    }
}

/// A torn write is all it takes. For the bootloader and us the other entry still counts; that is
/// what there are two for.
#[test]
fn differs_one_corrupt_entry_makes_every_call_of_the_other_crate_fail() {
    let mut corrupt = bytes(2, State::New);
    corrupt[28] ^= 1;
    for entries in [
        [bytes(1, State::Valid), corrupt],
        [bytes(1, State::Valid), bytes(2, State::Unknown(77))],
        [bytes(1, State::Valid), [0; 32]],
    ] {
        let (theirs, _) = both(entries);
        assert_eq!(theirs, Err(Error::Invalid));
        let (state, _) = judge(entries, |updater| updater.current_ota_state());
        assert_eq!(state, Err(Error::Invalid));
        let (activated, _) = judge(entries, |updater| {
            let ota_1 = AppPartitionSubType::Ota1;
            updater.ota_data()?.set_current_app_partition(ota_1)
        });
        assert_eq!(activated, Err(Error::Invalid));
    }
    let (_, ours) = both([bytes(1, State::Valid), corrupt]);
    assert_eq!(ours, AppPartitionSubType::Ota0);
}

/// Of two equal numbers ESP-IDF takes the first entry; the crate writes to "the other" than the
/// second. We never write equal ones.
#[test]
fn differs_of_two_equal_numbers_the_other_crate_takes_the_second_entry() {
    let entries = [bytes(2, State::Valid), bytes(2, State::Invalid)];
    let (state, _) = judge(entries, |updater| updater.current_ota_state());
    assert_eq!(state, Ok(OtaImageState::Invalid));
    let entries = [bytes(2, State::Valid), bytes(2, State::New)];
    let (state, read) = judge(entries, |updater| updater.current_ota_state());
    assert_eq!(state, Ok(OtaImageState::New));
    assert_eq!(read.active(), Some(0));
}

/// Selecting and setting the state are two writes of a whole sector each; between them the new
/// image is selected with the state that the entry had before. We write both at once.
#[test]
fn differs_the_other_crate_keeps_the_state_of_the_entry_it_overwrites() {
    let entries = [bytes(2, State::Invalid), bytes(3, State::Valid)];
    let (result, read) = judge(entries, |updater| {
        let ota_1 = AppPartitionSubType::Ota1;
        updater.ota_data()?.set_current_app_partition(ota_1)
    });
    assert_eq!(result, Ok(()));
    let half_done = Entry {
        seq: 4,
        state: State::Invalid,
    };
    assert_eq!(read.entries[0], Some(half_done));
    // Cut here, the update is lost: refused before it was ever tried.
    assert_eq!(read.active(), Some(1));
}

/// From blank otadata the last slot is number 0, which only selects it among two, four, … slots,
/// and by an underflow (a panic with overflow checks). ESP-IDF and we write slot + 1.
#[test]
fn differs_the_other_crate_selects_the_last_slot_of_blank_otadata_by_number_0() {
    let ota_1 = AppPartitionSubType::Ota1;
    let (result, read) = judge([ERASED, ERASED], |updater| {
        updater.ota_data()?.set_current_app_partition(ota_1)
    });
    assert_eq!(result, Ok(()));
    let state = State::Undefined;
    assert_eq!(read.entries[0], Some(Entry { seq: 0, state }));
    assert_eq!(Otadata::default().next_seq(1, 2), 2);
    assert_eq!(Otadata::slot(Entry { seq: 0, state }, 2), Some(1));
    assert_eq!(Otadata::slot(Entry { seq: 0, state }, 3), Some(0));
    let entries = [bytes(0, state), ERASED];
    let read_back = panic::catch_unwind(|| judge(entries, |updater| updater.selected_partition()));
    match read_back {
        Ok((selected, _)) => assert_eq!(selected, Ok(ota_1)),
        Err(_) if cfg!(debug_assertions) => {}
        Err(panicked) => panic::resume_unwind(panicked),
    }
}
