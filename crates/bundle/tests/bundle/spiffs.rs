//! SPIFFS images before two judges that are not ours: ESP-IDF's generator `spiffsgen.py`, whose bytes
//! ours must be, and the reader of `idftool` (PyPI carries both), which must find each file again.

use std::{
    fs,
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    sync::{LazyLock, Mutex},
};

use airlift_bundle::spiffs::{self, BLOCK_BYTES, SpiffsError};
use airlift_testkit::{IDFTOOL_VERSION, Scratch, python_with};
use proptest::prelude::*;
use serde::Deserialize;
use serde_json::json;
use sha2::{Digest, Sha256};

/// Name and contents.
type Files = Vec<(String, Vec<u8>)>;

/// What the judges say of an image.
#[derive(Debug, Deserialize)]
struct Verdict {
    /// SHA-256 of ESP-IDF's image, or `full`.
    generated: String,
    #[serde(default)]
    is_detected: bool,
    /// Name, size and SHA-256 of each file that was read back.
    #[serde(default)]
    files: Vec<(String, usize, String)>,
}

/// One Python for all images: it takes a second to start.
struct Judges {
    _python: Child,
    questions: ChildStdin,
    answers: BufReader<ChildStdout>,
    scratch: Scratch,
}

static JUDGES: LazyLock<Mutex<Judges>> = LazyLock::new(|| {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/bundle/spiffs/judges.py");
    // Its input ends with this process, and so does it.
    let mut python = Command::new(python_with("idftool", IDFTOOL_VERSION).unwrap())
        .arg(script)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    Mutex::new(Judges {
        questions: python.stdin.take().unwrap(),
        answers: BufReader::new(python.stdout.take().unwrap()),
        _python: python,
        scratch: Scratch::new("spiffs").unwrap(),
    })
});

fn judge(image: Option<&[u8]>, size: u32, files: &Files) -> Verdict {
    let mut judges = JUDGES.lock().unwrap_or_else(|broken| broken.into_inner());
    let folder = judges.scratch.path().to_path_buf();
    let path_of_image = folder.join("image.bin");
    fs::write(&path_of_image, image.unwrap_or_default()).unwrap();
    let mut listed = Vec::new();
    for (number, (name, contents)) in files.iter().enumerate() {
        let path = folder.join(number.to_string());
        fs::write(&path, contents).unwrap();
        listed.push((name, path));
    }
    let image = image.map(|_| path_of_image);
    let question = json!({ "image": image, "size": size, "files": listed });
    writeln!(judges.questions, "{question}").unwrap();
    let mut answer = String::new();
    judges.answers.read_line(&mut answer).unwrap();
    serde_json::from_str(&answer).expect("an answer; Python's complaint stands above")
}

fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

fn borrowed(files: &Files) -> Vec<(&str, &[u8])> {
    let files = files.iter();
    files.map(|(name, bytes)| (&name[..], &bytes[..])).collect()
}

/// Builds an image and has it judged; `is_ascii`: ESP-IDF's generator puts other names' bytes a few
/// places too far.
fn assert_agreed(files: &Files, size: u32, is_ascii: bool) {
    let built = spiffs::build(&borrowed(files), size);
    let image = match built {
        Ok(image) => image,
        Err(SpiffsError::Full { needed, .. }) => {
            assert_eq!(judge(None, size, files).generated, "full");
            let needed = u32::try_from(needed).unwrap();
            let enough = spiffs::build(&borrowed(files), needed).unwrap();
            assert_eq!(enough.len(), needed as usize);
            assert_ne!(judge(None, needed, files).generated, "full");
            return;
        }
        Err(other) => panic!("{other}"),
    };
    assert_eq!(image.len(), size as usize);
    assert_eq!(spiffs::check(&image, size), Ok(()));
    let verdict = judge(Some(&image), size, files);
    if is_ascii {
        assert_eq!(verdict.generated, sha256(&image), "ESP-IDF's bytes differ");
    }
    assert!(verdict.is_detected);
    let mut expected: Vec<_> = files
        .iter()
        .map(|(name, contents)| (name.clone(), contents.len(), sha256(contents)))
        .collect();
    expected.sort();
    let mut found = verdict.files;
    found.sort();
    assert_eq!(found, expected);
}

fn file(name: &str, length: usize) -> (String, Vec<u8>) {
    let contents = (0..length).map(|at| (at * 31 % 251) as u8).collect();
    (name.to_owned(), contents)
}

#[test]
fn an_image_is_the_one_esp_idf_makes_and_its_reader_finds_each_file() {
    let files = vec![
        file("/index.html", 1234),
        file("/app.js", 300_000),
        file("/css/style.css", 9_000),
        file("/empty", 0),
        file(&format!("/{}", "n".repeat(30)), 1),
    ];
    for size in [0x3_0000, 1 << 20, 3 << 20] {
        assert_agreed(&files, size, true);
    }
}

#[test]
fn files_of_every_size_around_a_pages_and_an_indexs_end_are_found_again() {
    // 251 bytes a page; 103 pages in the first index page, 124 in each further one.
    for pages in [1, 14, 15, 103, 103 + 124, 103 + 2 * 124] {
        for length in [pages * 251 - 1, pages * 251, pages * 251 + 1] {
            let files = vec![file("/a", length), file("/b", 1)];
            assert_agreed(&files, 64 * BLOCK_BYTES, true);
        }
    }
}

#[test]
fn files_fill_the_web_part_of_each_board_to_the_last_page() {
    for size in [1 << 20, 3 << 20] {
        let pages = size as usize / 4096 * 15;
        // Each index page beyond the first costs a page for 124.
        let data = (102..pages)
            .rev()
            .find(|data| data + 1 + (data - 103_usize.min(*data)).div_ceil(124) == pages)
            .unwrap();
        assert_agreed(&vec![file("/all.bin", data * 251)], size, true);
        assert_agreed(&vec![file("/all.bin", data * 251 + 1)], size, true);
    }
}

#[test]
fn names_beyond_ascii_are_found_again() {
    let files = vec![
        file("/größe.html", 700),
        file("/页面/索引.html", 300),
        file("/ü/ü", 0),
    ];
    assert_agreed(&files, 16 * BLOCK_BYTES, false);
}

fn tree() -> impl Strategy<Value = Files> {
    let contents = prop_oneof![
        4 => prop::collection::vec(any::<u8>(), 0..2_000),
        1 => (0..90_000usize, any::<u8>()).prop_map(|(length, seed)| {
            (0..length).map(|at| (at as u8).wrapping_mul(seed)).collect()
        }),
    ];
    let name = "(/[a-z0-9]{1,6}){1,3}(\\.[a-z]{1,4})?";
    prop::collection::btree_map(name, contents, 0..12).prop_map(|tree| tree.into_iter().collect())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn random_trees_are_read_back_by_others(files in tree(), blocks in 1..48u32) {
        assert_agreed(&files, blocks * BLOCK_BYTES, true);
    }
}
