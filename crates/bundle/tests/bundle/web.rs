//! A folder of web pages on its way into a web part.

use std::{fs, os::unix::fs::symlink, path::Path};

use airlift_bundle::{
    spiffs,
    web::{self, LeftOut, Packed, WebError},
};
use airlift_esp::Target;
use airlift_testkit::Scratch;

const SMALL: [Target; 3] = [Target::Raw, Target::Esp32Wroom, Target::Esp32c3];

/// A folder with these files, their contents as long as said.
fn folder(files: &[(&str, usize)]) -> Scratch {
    let scratch = Scratch::new("web").unwrap();
    for (name, length) in files {
        put(scratch.path(), name, &vec![b'x'; *length]);
    }
    scratch
}

fn put(folder: &Path, name: &str, contents: &[u8]) {
    let path = folder.join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, contents).unwrap();
}

fn names(packed: &Packed) -> Vec<&str> {
    packed.included.iter().map(|file| &file.name[..]).collect()
}

fn left_out(packed: &Packed) -> Vec<(&str, &str)> {
    let left_out = packed.left_out.iter();
    left_out.map(|it| (&it.name[..], it.why)).collect()
}

fn site() -> Scratch {
    folder(&[
        ("index.html", 100),
        ("js/app.js", 3000),
        ("js/app.js.map", 9000),
        ("src/main.ts", 50),
        ("node_modules/left-pad/index.js", 10),
        ("node_modules/left-pad/README.md", 10),
        (".git/HEAD", 10),
        ("package.json", 10),
    ])
}

#[test]
fn a_board_with_4_mb_gets_the_pages_without_source_maps_and_development_assets() {
    let site = site();
    for target in SMALL {
        let packed = web::pack(site.path(), target).unwrap();
        assert_eq!(names(&packed), ["/index.html", "/js/app.js"]);
        assert_eq!(
            left_out(&packed),
            [
                ("/.git/", "version control"),
                ("/js/app.js.map", "source map"),
                ("/node_modules/", "packages of the build"),
                ("/package.json", "settings of the build"),
                ("/src/main.ts", "source of the build"),
            ]
        );
        assert_eq!(packed.image.len(), target.web_bytes_max() as usize);
        assert_eq!(spiffs::check(&packed.image, target.web_bytes_max()), Ok(()));
        let html = [b'x'; 100];
        let js = [b'x'; 3000];
        let files = [("/index.html", &html[..]), ("/js/app.js", &js)];
        let expected = spiffs::build(&files, target.web_bytes_max()).unwrap();
        assert!(packed.image == expected);
    }
}

#[test]
fn a_wrover_keeps_the_source_maps_but_never_packages_or_version_control() {
    let site = site();
    let packed = web::pack(site.path(), Target::Esp32Wrover).unwrap();
    assert_eq!(
        names(&packed),
        [
            "/index.html",
            "/js/app.js",
            "/js/app.js.map",
            "/package.json",
            "/src/main.ts"
        ]
    );
    assert_eq!(
        left_out(&packed),
        [
            ("/.git/", "version control"),
            ("/node_modules/", "packages of the build"),
        ]
    );
    assert_eq!(packed.image.len(), 3 << 20);
}

#[test]
fn a_folder_is_packed_the_same_however_it_was_filled() {
    let one = folder(&[("b.html", 10), ("a/x.js", 20), ("a.js", 30)]);
    let other = folder(&[("a.js", 30), ("a/x.js", 20), ("b.html", 10)]);
    let pack = |folder: &Scratch| web::pack(folder.path(), Target::Esp32Wroom).unwrap();
    assert!(pack(&one) == pack(&other));
    assert_eq!(names(&pack(&one)), ["/a.js", "/a/x.js", "/b.html"]);
}

/// So many bytes in one file fill a file system of so many bytes to its last page.
fn most(size: u32) -> usize {
    let mut length = size as usize;
    while spiffs::bytes_needed([length as u64]) > u64::from(size) {
        length -= 1;
    }
    length
}

#[test]
fn a_web_part_of_1_mib_for_a_wroom_and_3_mib_for_a_wrover_is_the_limit() {
    for (target, size) in [
        (Target::Raw, 1 << 20),
        (Target::Esp32Wroom, 1 << 20),
        (Target::Esp32Wrover, 3 << 20),
        (Target::Esp32c3, 192 << 10),
    ] {
        let under = folder(&[("app.js", most(size))]);
        let packed = web::pack(under.path(), target).unwrap();
        assert_eq!(packed.image.len(), size as usize);
        assert_eq!(packed.taken, u64::from(size));
        let over = folder(&[("app.js", most(size) + 1)]);
        let refused = web::pack(over.path(), target).unwrap_err();
        let WebError::TooLarge(what) = &refused else {
            panic!("{refused}");
        };
        assert_eq!((what.target, what.room), (target, size));
        assert_eq!(what.needed, u64::from(size) + 4096);
    }
}

#[test]
fn what_does_not_fit_is_named_by_the_largest_files_and_how_much_is_over() {
    let mut files = vec![("large.js", 900_000), ("middle.css", 300_000)];
    let small: Vec<_> = (0..12)
        .map(|number| format!("small-{number}.svg"))
        .collect();
    files.extend(small.iter().map(|name| (&name[..], 100)));
    // It would be the largest, and is not counted.
    files.push(("large.js.map", 5_000_000));
    let site = folder(&files);
    let refused = web::pack(site.path(), Target::Esp32Wroom).unwrap_err();
    let said = refused.to_string();
    assert!(
        said.starts_with("the web part does not fit on esp32-wroom: its files take 1327104 bytes"),
        "{said}"
    );
    let over = 1_327_104 - (1 << 20);
    assert!(
        said.contains(&format!("{over} more than the 1048576 that are there")),
        "{said}"
    );
    assert!(
        said.contains(
            "The largest: /large.js (900000 bytes), /middle.css (300000 bytes), /small-0.svg"
        ),
        "{said}"
    );
    assert!(said.contains(" and 4 smaller ones. "), "{said}");
    assert!(!said.contains(".map"), "{said}");
}

#[test]
fn names_that_are_too_long_for_the_file_system_are_all_named() {
    let site = folder(&[
        ("index.html", 1),
        ("assets/fonts/a-name-too-long-for-it.woff2", 1),
        ("assets/fonts/another-name-too-long.woff2", 1),
        ("assets/fonts/a-name-too-long-for-it.js.map", 1),
    ]);
    let said = web::pack(site.path(), Target::Esp32Wroom)
        .unwrap_err()
        .to_string();
    assert!(
        said.contains("/assets/fonts/a-name-too-long-for-it.woff2 (42 bytes), /assets/fonts/another-name-too-long.woff2 (41 bytes)"),
        "{said}"
    );
    assert!(!said.contains(".map"), "{said}");
}

#[test]
fn links_lead_to_files_of_the_folder_alone() {
    let outside = folder(&[("secret", 10)]);
    let site = folder(&[("app.1234.js", 10), ("css/a.css", 1)]);
    symlink("app.1234.js", site.path().join("app.js")).unwrap();
    let packed = web::pack(site.path(), Target::Esp32Wroom).unwrap();
    assert_eq!(names(&packed), ["/app.1234.js", "/app.js", "/css/a.css"]);
    for leads_to in [
        outside.path().join("secret"),
        site.path().join("css"),
        site.path().join("nowhere"),
        site.path().to_path_buf(),
    ] {
        let link = site.path().join("link");
        symlink(&leads_to, &link).unwrap();
        let refused = web::pack(site.path(), Target::Esp32Wroom).unwrap_err();
        assert!(
            matches!(&refused, WebError::Link(path) if *path == link),
            "{refused}"
        );
        fs::remove_file(&link).unwrap();
    }
    // Packages are left out before anybody asks where they lie.
    symlink(outside.path(), site.path().join("node_modules")).unwrap();
    let packed = web::pack(site.path(), Target::Esp32Wroom).unwrap();
    let expected = LeftOut {
        name: "/node_modules".to_owned(),
        why: "packages of the build",
    };
    assert_eq!(packed.left_out, [expected]);
}

#[test]
fn what_is_no_folder_or_holds_nothing_is_refused() {
    let site = folder(&[("index.html", 1)]);
    let file = site.path().join("index.html");
    let pack = |path: &Path| web::pack(path, Target::Esp32Wroom).unwrap_err();
    assert!(matches!(pack(&file), WebError::NoFolder(_)));
    let absent = pack(&site.path().join("dist"));
    assert!(absent.to_string().starts_with("can't read "), "{absent}");
    let empty = folder(&[]);
    let said = pack(empty.path()).to_string();
    assert!(said.ends_with(" holds no file for the board"), "{said}");
    let maps = folder(&[("app.js.map", 1)]);
    let said = pack(maps.path()).to_string();
    assert!(said.ends_with("; everything in it is left out"), "{said}");
    let pipe = folder(&[]);
    let path = pipe.path().join("pipe");
    let made = std::process::Command::new("mkfifo").arg(&path).status();
    assert!(made.unwrap().success());
    assert!(matches!(pack(pipe.path()), WebError::NoFile(at) if at == path));
}
