//! `airlift bundle build --web`: how large a web part may be, and what stays out of it.

use std::fs;

use airlift_bundle::spiffs;
use airlift_esp::Target;

use crate::workbench::{BOTH, Workbench};

/// As many bytes as one file may have in a file system of so many.
fn most(room: u32) -> usize {
    let fits = |length: &usize| spiffs::bytes_needed([*length as u64]) <= u64::from(room);
    (0..=room as usize).rev().find(fits).unwrap()
}

#[test]
fn the_web_part_has_1_mib_on_a_wroom_and_3_mib_on_a_wrover() {
    for (target, room) in [
        (Target::Esp32Wroom, 1 << 20),
        (Target::Esp32Wrover, 3 << 20),
    ] {
        let bench = Workbench::new();
        fs::remove_dir_all(bench.path().join("dist")).unwrap();
        let line = format!(
            "--target {} --web dist --version 2.7.0 --changelog CHANGES.md --sign signing/release.secret.asc",
            target.name()
        );
        bench.put("dist/app.js", &vec![b'x'; most(room)]);
        let built = bench.build(&format!("{line} --json"));
        assert_eq!(built.code, Some(0), "{built:?}");
        let said = built.json();
        assert_eq!(said["manifest"]["kind"], "web");
        assert_eq!(said["manifest"]["parts"][0]["size"], room);
        assert_eq!(bench.verify("gateway_v2.7.0.jota").code, Some(0));
        bench.put("dist/app.js", &vec![b'x'; most(room) + 1]);
        bench.put("dist/small.js", b"x");
        let said = format!(
            "airlift: --web dist: the web part does not fit on {}: its files take {} bytes of flash, \
             4096 more than the {room} that are there. The largest: /app.js ({} bytes), /small.js (1 bytes)",
            target.name(),
            room + 4096,
            most(room) + 1
        );
        bench.refuses(&line, &[&said]);
    }
}

#[test]
fn source_maps_fill_a_wrovers_web_part_and_stay_out_of_a_wrooms() {
    let bench = Workbench::new();
    bench.put("dist/app.js.map", &vec![b'm'; 2 << 20]);
    bench.put("dist/node_modules/x/index.js", &vec![b'm'; 4 << 20]);
    let line = |target: &str| {
        BOTH.replace("--firmware firmware.bin ", "")
            .replace("esp32-wroom", target)
            + " --json"
    };
    for (target, stays_out) in [
        ("esp32-wroom", vec!["/app.js.map", "/node_modules/"]),
        ("esp32c3", vec!["/app.js.map", "/node_modules/"]),
        ("esp32-wrover", vec!["/node_modules/"]),
    ] {
        let said = bench.build(&line(target)).json();
        let left_out = said["leftOut"].as_array().unwrap();
        let names: Vec<_> = left_out
            .iter()
            .map(|it| it["name"].as_str().unwrap())
            .collect();
        assert_eq!(names, stays_out, "{target}");
    }
}

#[test]
fn a_folder_that_is_none_or_has_names_that_are_too_long_is_refused() {
    let bench = Workbench::new();
    let line = |web: &str| BOTH.replace("--web dist", &format!("--web {web}"));
    bench.refuses(&line("nowhere"), &["--web nowhere: can't read nowhere: "]);
    bench.refuses(&line("firmware.bin"), &["firmware.bin is no folder"]);
    fs::create_dir(bench.path().join("empty")).unwrap();
    bench.refuses(&line("empty"), &["empty holds no file for the board"]);
    bench.put("dist/assets/javascript/vendor.123.js", b"x");
    bench.refuses(
        BOTH,
        &[
            "at most 31 bytes",
            "too long: /assets/javascript/vendor.123.js (32 bytes)",
        ],
    );
}

#[test]
fn a_web_image_is_taken_as_it_is_if_the_board_would_mount_it() {
    let bench = Workbench::new();
    let line = BOTH.replace("--firmware firmware.bin --web dist", "--web-image web.bin");
    let room = 1 << 20;
    let image = spiffs::build(&[("/index.html", b"hello")], room).unwrap();
    bench.put("web.bin", &image);
    let built = bench.build(&format!("{line} --out x.jota --json"));
    assert_eq!(built.code, Some(0), "{built:?}");
    assert_eq!(built.json()["manifest"]["parts"][0]["size"], room);
    let smaller = spiffs::build(&[("/index.html", b"hello")], room / 2).unwrap();
    let mut larger = image.clone();
    larger.push(0xFF);
    for (image, said) in [
        (
            smaller,
            "a file system of 524288 bytes does not mount where one of 1048576 is expected",
        ),
        (
            vec![0; room as usize],
            "no SPIFFS image of ESP-IDF's defaults",
        ),
        (
            larger,
            "has 1048577 bytes, esp32-wroom has 1048576 for it: 1 too many",
        ),
        (Vec::new(), "--web-image web.bin is empty"),
    ] {
        bench.put("web.bin", &image);
        bench.refuses(&line, &["--web-image web.bin", said]);
    }
    // A gateway on a PC keeps any bytes.
    bench.put("web.bin", b"any");
    let built = bench.build(&format!(
        "{} --out y.jota",
        line.replace("esp32-wroom", "raw")
    ));
    assert_eq!(built.code, Some(0), "{built:?}");
}
