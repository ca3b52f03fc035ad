//! Which files are taken: application images, and not the merged ones that lie beside them.

use airlift_firmware::page::Connection;

use crate::support::{Answer, Session, ask, exchange, form, page, upload_of};

const ADVICE: &str = "upload the application image alone";

fn entry(kind: u8, subtype: u8, offset: u32, size: u32, label: &str) -> [u8; 32] {
    let mut entry = [0; 32];
    entry[..4].copy_from_slice(&[0xAA, 0x50, kind, subtype]);
    entry[4..8].copy_from_slice(&offset.to_le_bytes());
    entry[8..12].copy_from_slice(&size.to_le_bytes());
    entry[12..12 + label.len()].copy_from_slice(label.as_bytes());
    entry
}

/// Bootloader at `bootloader`, partition table at `table`, application behind it.
fn merged(bootloader: usize, table: usize) -> Vec<u8> {
    let mut file = vec![0xFF; table + 0x8000];
    file[bootloader] = 0xE9;
    for (index, byte) in file[bootloader + 1..bootloader + 0x5000]
        .iter_mut()
        .enumerate()
    {
        *byte = (index % 251) as u8;
    }
    let entries = [
        entry(1, 2, 0x9000, 0x5000, "nvs"),
        entry(1, 0, 0xE000, 0x2000, "otadata"),
        entry(0, 0x10, 0x1_0000, 0x14_0000, "app0"),
    ];
    file[table..table + 96].copy_from_slice(entries.as_flattened());
    file[table + 0x7000] = 0xE9;
    file
}

fn upload(session: &mut Session, file: &[u8], piece: usize) -> Answer {
    exchange(
        &mut Connection::new(),
        &mut page(),
        session,
        upload_of(&form(file)).chunks(piece),
    )
}

#[test]
fn a_merged_image_with_the_bootloader_in_front_is_refused_at_its_partition_table() {
    // 0x7000: merged for the ESP32 without its padding. Others: a table that was moved.
    for table in [0x8000, 0x7000, 0x9000, 0x10000] {
        for piece in [1, 33, 1460, 1_000_000] {
            let mut session = Session::default();
            let answer = upload(&mut session, &merged(0, table), piece);
            answer.assert_refused(422, "Upload failed", ADVICE);
            assert_eq!(
                (session.admitted, session.ended, session.aborted),
                (1, 0, 1)
            );
            assert!(session.written.len() <= table + 34);
        }
    }
}

#[test]
fn a_merged_image_for_the_esp32_is_refused_before_anything_is_written() {
    for bootloader in [0x1000, 0x2000] {
        for piece in [1, 33, 1460, 1_000_000] {
            let mut session = Session::default();
            let answer = upload(&mut session, &merged(bootloader, 0x8000), piece);
            answer.assert_refused(422, "Upload failed", ADVICE);
            assert_eq!(
                (session.admitted, session.aborted, session.written.len()),
                (1, 1, 0)
            );
        }
    }
}

#[test]
fn a_file_that_does_not_begin_like_an_image_is_refused_at_its_first_byte() {
    for (file, byte) in [
        (&b"\x7FELF..."[..], "0x7F"),
        (b"\0\xE9", "0x00"),
        (b"PK\x03\x04", "0x50"),
    ] {
        let mut session = Session::default();
        let answer = ask(&mut page(), &mut session, upload_of(&form(file)));
        answer.assert_refused(422, "Upload failed", byte);
        assert_eq!(
            (session.admitted, session.aborted, session.written.len()),
            (1, 1, 0)
        );
    }
}

#[test]
fn padding_that_leads_nowhere_is_refused_unwritten() {
    let mut early = vec![0xFF; 0x3000];
    early[0x0800] = 0xE9;
    let mut other = vec![0xFF; 0x3000];
    other[0x1000] = 0x00;
    for file in [
        vec![0xFF; 0x3000],
        vec![0xFF; 0x2000],
        vec![0xFF; 1],
        early,
        other,
    ] {
        for piece in [1, 1460, 1_000_000] {
            let mut session = Session::default();
            upload(&mut session, &file, piece).assert_refused(
                422,
                "Upload failed",
                "begins with 0xFF",
            );
            assert_eq!((session.aborted, session.written.len()), (1, 0));
        }
    }
}

#[test]
fn an_application_image_with_the_magic_by_chance_is_taken() {
    let sound = entry(1, 2, 0x9000, 0x5000, "nvs");
    let next = [0xAA, 0x50];
    let spoil = |at: usize, value: u8| {
        let mut window = [&sound[..], &next].concat();
        window[at] = value;
        window
    };
    let windows = [
        spoil(1, 0x51),
        spoil(2, 0x05),
        spoil(4, 0x01),
        spoil(12, 0x00),
        spoil(12, 0x80),
        spoil(20, b'x'),
        spoil(33, 0x51),
        [&entry(1, 2, 0, 0x5000, "nvs")[..], &next].concat(),
        [&entry(1, 2, 0x9000, 0, "nvs")[..], &next].concat(),
        [&entry(0, 0x77, 0x9000, 0x5000, "nvs")[..], &next].concat(),
    ];
    for window in windows {
        let mut file = vec![0xE9; 0x20000];
        file[0x8000..0x8022].copy_from_slice(&window);
        let mut session = Session::default();
        upload(&mut session, &file, 1460).assert_installed();
        assert!(session.written == file);
    }
}

#[test]
fn a_table_elsewhere_in_an_application_image_is_data() {
    for at in [0x3000, 0x8004, 0x1_1000, 0x1_8000] {
        let mut file = vec![0xE9; 0x20000];
        file[at..at + 32].copy_from_slice(&entry(1, 2, 0x9000, 0x5000, "nvs"));
        file[at + 32..at + 34].copy_from_slice(&[0xFF, 0xFF]);
        let mut session = Session::default();
        upload(&mut session, &file, 1460).assert_installed();
        assert!(session.written == file);
    }
}

#[test]
fn a_board_that_takes_any_bytes_gets_any_bytes() {
    for file in [
        merged(0, 0x8000),
        merged(0x1000, 0x8000),
        b"text".to_vec(),
        vec![0xFF; 9000],
    ] {
        let mut session = Session {
            any: true,
            ..Session::default()
        };
        upload(&mut session, &file, 1460).assert_installed();
        assert!(session.written == file);
    }
}
