use airlift_simflash::{App, image};
use embedded_storage::nor_flash::{NorFlash, ReadNorFlash};

use super::*;
use crate::board::BootloaderKind;

const BOARDS: [Board; 4] = [
    Board::Raw,
    Board::Esp32Wroom,
    Board::Esp32Wrover,
    Board::Esp32c3,
];

fn path(folder: &tempfile::TempDir) -> PathBuf {
    folder.path().join("new").join("x.img")
}

fn refusal(path: &Path, board: Board) -> String {
    format!("{:#}", open(path, board, "1.0.1", true).unwrap_err())
}

#[test]
fn a_fresh_flash_of_every_board_boots_its_first_slot() {
    for board in BOARDS {
        let folder = tempfile::tempdir().unwrap();
        let mut chip = open(&path(&folder), board, "1.0.1", true).unwrap();
        for kind in [BootloaderKind::Stock, BootloaderKind::Rollback] {
            let booted = board.bootloader(kind).boot(&mut chip).unwrap();
            assert_eq!(booted.app, App::Ota(0), "{board:?}: {:?}", booted.refused);
        }
    }
}

#[test]
fn an_esp32_flash_is_whole_and_holds_an_application_of_the_first_version() {
    let folder = tempfile::tempdir().unwrap();
    let path = path(&folder);
    open(&path, Board::Esp32Wrover, "7.8.9", false).unwrap();
    let flash = fs::read(&path).unwrap();
    assert_eq!(flash.len(), 8 * 1024 * 1024);
    let image = &flash[0x1_0000..];
    assert_eq!(image::chip_id(image), image::ESP32);
    assert_eq!(image::version(image).as_deref(), Some("7.8.9"));
    let too_long = open(
        &folder.path().join("y"),
        Board::Esp32c3,
        &"1".repeat(32),
        false,
    );
    assert!(format!("{:#}", too_long.unwrap_err()).contains("--firmware-version"));
}

#[test]
fn a_raw_flash_takes_no_more_room_than_what_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let path = path(&folder);
    let mut chip = open(&path, Board::Raw, "1.0.1", false).unwrap();
    assert_eq!(fs::metadata(&path).unwrap().len(), 0x1_0000);
    chip.erase(0x4001_0000, 0x4001_1000).unwrap();
    assert_eq!(fs::metadata(&path).unwrap().len(), 0x4001_1000);
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt;
        let used = fs::metadata(&path).unwrap().blocks() * 512;
        assert!(used < 0x10_0000, "{used} bytes on the disk");
    }
}

#[test]
fn what_was_written_is_there_in_the_next_run() {
    let folder = tempfile::tempdir().unwrap();
    let path = path(&folder);
    let mut chip = open(&path, Board::Raw, "1.0.1", true).unwrap();
    chip.write(0x9000, b"kept").unwrap();
    drop(chip);
    let mut chip = open(&path, Board::Raw, "2.0.0", true).unwrap();
    let mut bytes = [0; 4];
    chip.read(0x9000, &mut bytes).unwrap();
    assert_eq!(&bytes, b"kept");
}

#[test]
fn files_of_an_earlier_version_are_refused_with_advice_and_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.img");
    fs::write(&path, vec![7; 100_000]).unwrap();
    assert!(refusal(&path, Board::Raw).contains("give another --flash"));
    assert_eq!(fs::read(&path).unwrap(), vec![7; 100_000]);
    fs::write(with_suffix(&path, ".state.json"), "{}").unwrap();
    assert!(refusal(&path, Board::Raw).contains(".state.json"));
    fs::remove_file(&path).unwrap();
    assert!(refusal(&path, Board::Raw).contains(".state.json"));
    assert!(!path.exists());
}

#[test]
fn a_flash_larger_than_the_board_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = path(&folder);
    open(&path, Board::Raw, "1.0.1", false).unwrap();
    assert!(refusal(&path, Board::Esp32c3).contains("another --board"));
}

#[test]
fn two_processes_cannot_share_a_flash() {
    let folder = tempfile::tempdir().unwrap();
    let image = folder.path().join("x.img");
    let held = lock(&image).unwrap();
    assert!(lock(&image).unwrap_err().to_string().contains("in use"));
    drop(held);
    lock(&image).unwrap();
}
