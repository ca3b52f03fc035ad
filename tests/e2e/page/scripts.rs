//! The page's scripts and libraries, without a browser.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use airlift_testkit::program;
use flate2::{Compression, write::GzEncoder};

use super::{scripts_folder, source};

fn node(script: &str, arguments: &[&Path]) {
    let output = Command::new(program("node", "nodejs").unwrap())
        .arg(script)
        .args(arguments)
        .current_dir(scripts_folder())
        .output()
        .unwrap();
    let said = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (out, errors) = (said(&output.stdout), said(&output.stderr));
    assert!(output.status.success(), "{out}{errors}");
}

/// Path below the folder: content.
fn files(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let below = path.strip_prefix(folder).unwrap().to_owned();
                found.insert(below, fs::read(&path).unwrap());
            }
        }
    }
    found
}

fn scripts() -> impl Iterator<Item = (PathBuf, String)> {
    let ours = files(&source("static")).into_iter();
    ours.filter(|(path, _)| {
        !path.starts_with("vendor") && path.extension().is_some_and(|it| it == "js")
    })
    .map(|(path, content)| (path, String::from_utf8(content).unwrap()))
}

#[test]
fn the_types_fit_each_other_and_the_api() {
    node(
        "types.mjs",
        &[&source("static"), &source("tests/server/openapi.json")],
    );
}

#[test]
fn the_libraries_are_those_that_npm_has() {
    let made = tempfile::tempdir().unwrap();
    let folder = made.path().join("vendor");
    node("vendor.mjs", &[&folder]);
    let (made, kept) = (files(&folder), files(&source("static/vendor")));
    let names = |all: &BTreeMap<PathBuf, Vec<u8>>| all.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(&made), names(&kept));
    for (path, content) in made {
        assert!(
            kept[&path] == content,
            "static/vendor/{} is another: run vendor.mjs",
            path.display()
        );
    }
}

#[test]
fn all_scripts_take_less_than_150_kb_compressed() {
    let scripts = files(&source("static")).into_iter();
    let scripts = scripts.filter(|(path, _)| path.extension().is_some_and(|it| it == "js"));
    let (mut total, mut count) = (0, 0);
    for (_, content) in scripts {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        std::io::Write::write_all(&mut encoder, &content).unwrap();
        total += encoder.finish().unwrap().len();
        count += 1;
    }
    println!("{count} scripts take {total} bytes compressed");
    assert!(
        count > 10 && total < 150_000,
        "{count} scripts, {total} bytes"
    );
}

#[test]
fn no_script_writes_html_by_itself() {
    for (path, text) in scripts() {
        for door in [
            "innerHTML",
            "outerHTML",
            "insertAdjacentHTML",
            "document.write",
            "eval(",
        ] {
            assert!(!text.contains(door), "{}: {door}", path.display());
        }
    }
}

/// That each text is there in each language is for the types.
#[test]
fn every_text_is_said_somewhere() {
    let mut looked_at = 0;
    for (path, text) in scripts() {
        let Some(begin) = text.find("translator({") else {
            continue;
        };
        let end = begin + text[begin..].find("\n});").unwrap();
        let (texts, code) = (&text[begin..end], [&text[..begin], &text[end..]].concat());
        let keys = texts.lines().filter_map(|line| {
            let (key, _) = line.strip_prefix("  ")?.split_once(": {")?;
            let plain = key
                .chars()
                .all(|letter| letter.is_ascii_alphanumeric() || letter == '_');
            plain.then_some(key.to_owned())
        });
        let keys: BTreeSet<String> = keys.collect();
        // A key that is put together at run time can't be looked for.
        let computed = code.contains("/** @type {any} */ (");
        for key in keys {
            looked_at += 1;
            let said = code.contains(&format!("t(\"{key}\"")) || computed;
            assert!(said, "{}: nobody says {key}", path.display());
        }
    }
    assert!(looked_at > 20, "{looked_at}");
}
