//! The page's scripts and libraries, without a browser.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use super::{super::server::Server, scripts_folder, source};
use airlift_testkit::program;

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

/// A file below `static`, as a browser gets it.
async fn sent(server: &Server, path: &Path, encoding: &str) -> Vec<u8> {
    let url = format!("{}/static/{}", server.url, path.display());
    let request = reqwest::Client::new().get(url);
    let answer = request
        .header("accept-encoding", encoding)
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), 200, "{}", path.display());
    answer.bytes().await.unwrap().to_vec()
}

#[tokio::test(flavor = "multi_thread")]
async fn all_scripts_in_one_language_take_less_than_150_kb() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path(), &[], &[]);
    let all = files(&source("static")).into_keys();
    let scripts = all.filter(|path| path.extension().is_some_and(|it| it == "js"));
    let (mut brotli, mut gzip, mut count, mut languages) = (0, 0, 0, 0);
    for path in scripts {
        if path.starts_with("words") {
            languages += 1;
            // The longest.
            if !path.ends_with("ru.js") {
                continue;
            }
        }
        brotli += sent(&server, &path, "gzip, br").await.len();
        gzip += sent(&server, &path, "gzip").await.len();
        count += 1;
    }
    println!("{count} scripts take {brotli} bytes by brotli, {gzip} by gzip");
    assert!(
        count > 10 && languages == 3,
        "{count} scripts, {languages} languages"
    );
    assert!(brotli < 150_000, "{brotli} bytes");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_script_is_sent_without_its_comments_and_is_the_same_program() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path(), &[], &[]);
    let sent_folder = folder.path().join("sent");
    for (path, text) in scripts() {
        let body = String::from_utf8(sent(&server, &path, "identity").await).unwrap();
        assert!(!body.contains("/**"), "{}", path.display());
        assert_eq!(
            body.lines().count(),
            text.lines().count(),
            "{}",
            path.display()
        );
        let copy = sent_folder.join(&path);
        fs::create_dir_all(copy.parent().unwrap()).unwrap();
        fs::write(copy, body).unwrap();
    }
    node("same_program.mjs", &[&source("static"), &sent_folder]);
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

fn says_what_is_computed(code: &str) -> bool {
    code.match_indices("t(").any(|(at, call)| {
        let is_name = |letter: char| letter.is_ascii_alphanumeric() || "_$.".contains(letter);
        !code[..at].ends_with(is_name) && !code[at + call.len()..].starts_with('"')
    })
}

/// That each text is there in each language is for the types.
#[test]
fn every_text_is_said_somewhere() {
    let english = fs::read_to_string(source("static/words/en.js")).unwrap();
    let mut code = BTreeMap::new();
    for (_, text) in scripts() {
        if let Some((_, after)) = text.split_once("translator(\"") {
            let (part, _) = after.split_once('"').unwrap();
            code.insert(part.to_owned(), text);
        }
    }
    let (mut part, mut looked_at) = (String::new(), 0);
    for line in english.lines() {
        let Some((key, _)) = line.split_once(": ") else {
            continue;
        };
        let key = key.trim_start().trim_matches('"');
        if line.ends_with(": {") && !line.starts_with("    ") {
            part = key.to_owned();
            assert!(code.contains_key(&part), "nobody says anything of {part}");
        } else if line.starts_with("    ") {
            looked_at += 1;
            let code = &code[&part];
            // A key that is put together at run time can't be looked for.
            let computed = says_what_is_computed(code);
            let said = computed || code.contains(&format!("t(\"{key}\""));
            assert!(said, "{part}: nobody says {key}");
        }
    }
    assert!(looked_at > 300, "{looked_at}");
}
