//! What no compiler checks: which room may call which, where SQL stands, how long files are, what an
//! agent may change where. Each finding names file, line and reason.
//!
//! To add a rule: a function from a file's path and text to findings, its call in [`findings_in`],
//! and a bad snippet that it finds in `tidy/bad_snippets.rs`.

use std::{
    collections::BTreeSet,
    fmt, fs,
    path::{Path, PathBuf},
};

/// The arrows: a room, and which others it may name. `proto` is the crate `airlift-proto`.
const ARROWS: [(&str, &[&str]); 17] = [
    ("main", &["app", "cli", "config", "domain"]),
    (
        "app",
        &[
            "blob", "cli", "config", "domain", "http", "ingest", "jobs", "metrics", "mqtt", "oidc",
            "proto", "service", "store", "tls", "webhook",
        ],
    ),
    ("cli", &["config", "domain", "service"]),
    ("http", &["domain", "metrics", "service", "tls"]),
    ("ingest", &["mqtt", "service"]),
    ("jobs", &["service"]),
    (
        "service",
        &[
            "blob", "domain", "metrics", "mqtt", "oidc", "proto", "store", "webhook",
        ],
    ),
    ("blob", &["domain", "proto"]),
    ("mqtt", &["domain", "proto", "tls"]),
    ("store", &["domain", "proto"]),
    ("webhook", &["domain", "proto"]),
    ("oidc", &["domain"]),
    ("tls", &[]),
    ("domain", &["proto"]),
    ("metrics", &["proto"]),
    ("config", &[]),
    ("proto", &[]),
];

/// Libraries that belong to rooms: who else names one has taken over another room's work.
const LIBRARIES: [(&str, &[&str]); 21] = [
    ("airlift_bundle", &["cli", "domain", "service"]),
    ("airlift_esp", &["cli", "service"]),
    ("airlift_package", &["cli", "domain", "service"]),
    ("argon2", &["service"]),
    ("axum", &["app", "http"]),
    ("clap", &["cli", "config", "main"]),
    ("governor", &["http", "mqtt"]),
    ("hyper", &["http"]),
    ("hyper_util", &["http"]),
    ("indicatif", &["cli"]),
    ("object_store", &["blob"]),
    ("openidconnect", &["oidc"]),
    ("prometheus_client", &["metrics"]),
    ("reqwest", &["cli", "oidc", "webhook"]),
    ("rmqtt", &["mqtt"]),
    ("rumqttc", &["mqtt"]),
    ("sqlx", &["store"]),
    (
        "tokio",
        &[
            "app", "blob", "cli", "http", "ingest", "jobs", "main", "mqtt", "service", "store",
            "tls",
        ],
    ),
    ("tokio_rustls", &["http", "mqtt", "tls"]),
    ("tower_http", &["http"]),
    ("utoipa", &["http"]),
];

/// What the crates that also run on devices may depend on, outside of their tests.
const DEVICE_CRATES: [(&str, Dependencies); 6] = [
    ("crates/proto/Cargo.toml", Dependencies::Only(&["serde"])),
    ("crates/esp/Cargo.toml", Dependencies::OfOurs(&[])),
    (
        "crates/bundle/Cargo.toml",
        Dependencies::OfOurs(&["airlift-esp", "airlift-proto"]),
    ),
    ("crates/package/Cargo.toml", Dependencies::OfOurs(&[])),
    (
        "crates/agent/Cargo.toml",
        Dependencies::OfOurs(&["airlift-bundle", "airlift-package", "airlift-proto"]),
    ),
    (
        "firmware/Cargo.toml",
        Dependencies::OfOurs(&[
            "airlift-bundle",
            "airlift-delta",
            "airlift-esp",
            "airlift-proto",
        ]),
    ),
];

enum Dependencies {
    /// These and no others.
    Only(&'static [&'static str]),
    /// Of our own crates these; others as needed.
    OfOurs(&'static [&'static str]),
}

const FILE_LINES_MAX: usize = 500;
const FUNCTION_LINES_MAX: usize = 100;
/// Files in which `unsafe` may stand, each with the reason.
const UNSAFE: [(&str, &str); 12] = [
    (
        "firmware/board/src/broker.rs",
        "the MQTT client's buffer is cleared by hand",
    ),
    (
        "firmware/qemu-riscv32/src/clock.rs",
        "the time driver's queue",
    ),
    (
        "firmware/esp32c3/src/reset.rs",
        "the panic handler's hook has a fixed symbol",
    ),
    (
        "firmware/qemu-riscv32/src/bin/app/descriptor.rs",
        "the app descriptor has a fixed section",
    ),
    (
        "firmware/qemu-riscv32/src/bin/app/main.rs",
        "the entry has a fixed symbol",
    ),
    (
        "firmware/qemu-riscv32/src/bin/bootloader.rs",
        "it copies an app to its place and jumps there",
    ),
    (
        "firmware/qemu-riscv32/src/bin/core_size.rs",
        "its flash is plain memory",
    ),
    (
        "firmware/qemu-riscv32/src/executor.rs",
        "the executor's wake hook has a fixed symbol",
    ),
    (
        "firmware/qemu-riscv32/src/flash.rs",
        "the flash chip's registers",
    ),
    (
        "firmware/qemu-riscv32/src/machine.rs",
        "the machine's registers",
    ),
    (
        "firmware/qemu-riscv32/src/network.rs",
        "memory shared with the network card",
    ),
    (
        "firmware/qemu-riscv32/src/start.rs",
        "from the reset to Rust",
    ),
];
/// Not ours, or made by a build.
const SKIPPED: [&str; 3] = [".git", "node_modules", "target"];
/// Hold the words that are looked for.
const CHECKER: &str = "tests/tidy";

#[path = "tidy/agent.rs"]
mod agent;
#[path = "tidy/bad_snippets.rs"]
mod bad_snippets;
#[path = "tidy/migrations.rs"]
mod migrations;
#[path = "tidy/source.rs"]
mod source;
#[path = "tidy/threats.rs"]
mod threats;

use migrations::unpaired;
use source::{Source, Token, text, tokens};
use threats::named_tests;

#[derive(Debug, PartialEq)]
struct Finding {
    file: String,
    line: usize,
    why: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.file, self.line, self.why)
    }
}

fn finding(file: &str, line: usize, why: impl Into<String>) -> Finding {
    Finding {
        file: file.to_owned(),
        line,
        why: why.into(),
    }
}

#[test]
fn the_code_keeps_the_rules_of_the_house() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    collect(root, &mut files);
    assert!(files.len() > 100, "only {} files seen", files.len());
    let mut findings = Vec::new();
    let mut migrations = [BTreeSet::new(), BTreeSet::new()];
    for path in &files {
        let name = path.strip_prefix(root).unwrap_or(path).to_string_lossy();
        for (names, folder) in migrations.iter_mut().zip(["postgres", "sqlite"]) {
            if let Some(migration) = name.strip_prefix(&format!("migrations/{folder}/")) {
                names.insert(migration.to_owned());
            }
        }
        if let Ok(text) = fs::read_to_string(path) {
            findings.extend(findings_in(&name, &text));
        }
    }
    findings.extend(named_tests(root, &files));
    let [postgres, sqlite] = &migrations;
    assert!(!postgres.is_empty(), "no migrations seen");
    findings.extend(unpaired(postgres, sqlite));
    let list: String = findings.iter().map(|found| format!("{found}\n")).collect();
    assert!(findings.is_empty(), "{} findings:\n{list}", findings.len());
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("a folder").flatten() {
        let path = entry.path();
        // In a worktree .git is a file.
        if SKIPPED.contains(&entry.file_name().to_string_lossy().as_ref()) {
            continue;
        }
        match path.is_dir() {
            true => collect(&path, files),
            false => files.push(path),
        }
    }
}

fn findings_in(file: &str, text: &str) -> Vec<Finding> {
    if file.starts_with(CHECKER) {
        return Vec::new();
    }
    let mut found = machine_paths(file, text);
    if file.ends_with(".rs") {
        let source = Source::read(text);
        let tokens = tokens(&source.code);
        found.extend(too_long(file, text, &tokens));
        found.extend(banned_words(file, &tokens));
        found.extend(agent::unwatched(file, &tokens));
        if let Some(room) = room(file) {
            found.extend(arrows(file, room, &tokens));
            found.extend(libraries(file, room, &tokens));
            found.extend(sql(file, room, &source));
        }
    }
    for (manifest, allowed) in &DEVICE_CRATES {
        if file == *manifest {
            found.extend(dependencies(file, text, allowed));
        }
    }
    found
}

/// The room a file of the server or of the wire types stands in.
fn room(file: &str) -> Option<&str> {
    if file.starts_with("crates/proto/src/") {
        return Some("proto");
    }
    let rest = file.strip_prefix("src/")?;
    let name = rest.split('/').next()?;
    let name = name.strip_suffix(".rs").unwrap_or(name);
    (name != "lib").then_some(name)
}

fn arrows(file: &str, room: &str, tokens: &[Token]) -> Vec<Finding> {
    let Some((_, allowed)) = ARROWS.iter().find(|(name, _)| *name == room) else {
        return vec![finding(
            file,
            1,
            format!("the room {room} is not in the table of arrows: tests/tidy.rs"),
        )];
    };
    let mut found = Vec::new();
    for (line, named) in named_rooms(file, tokens) {
        let is_room = ARROWS.iter().any(|(name, _)| *name == named);
        if is_room && named != room && !allowed.contains(&named) {
            let may = match allowed {
                [] => "none of ours".to_owned(),
                allowed => allowed.join(", "),
            };
            found.push(finding(
                file,
                line,
                format!("{room} must not name {named}; it may name {may}"),
            ));
        }
    }
    found
}

/// The modules of the crate's root that a file names, by `crate::`, `airlift::` or a chain of
/// `super::` that climbs out of its room.
fn named_rooms<'t>(file: &str, tokens: &[Token<'t>]) -> Vec<(usize, &'t str)> {
    let depth = file.trim_end_matches("/mod.rs").matches('/').count();
    let mut named = Vec::new();
    for at in 0..tokens.len() {
        let is_path = at > 0 && tokens[at - 1].text == "::";
        match tokens[at].text {
            "airlift_proto" => named.push((tokens[at].line, "proto")),
            "crate" | "airlift" if !is_path && text(tokens, at + 1) == "::" => {
                named.extend(first_names(&tokens[at + 2..]));
            }
            "super" if !is_path => {
                let mut end = at;
                let mut climbed = 0;
                while text(tokens, end) == "super" && text(tokens, end + 1) == "::" {
                    climbed += 1;
                    end += 2;
                }
                if climbed >= depth {
                    named.extend(first_names(&tokens[end..]));
                }
            }
            _ => {}
        }
    }
    named
}

/// The first name of a path, or of each branch of `{a::b, c::{d, e}}`.
fn first_names<'t>(tokens: &[Token<'t>]) -> Vec<(usize, &'t str)> {
    if text(tokens, 0) != "{" {
        return tokens
            .first()
            .map(|t| (t.line, t.text))
            .into_iter()
            .collect();
    }
    let mut names = Vec::new();
    let mut depth = 0;
    for at in 0..tokens.len() {
        match tokens[at].text {
            "{" => depth += 1,
            "}" => depth -= 1,
            name if depth == 1 && matches!(tokens[at - 1].text, "{" | ",") => {
                names.push((tokens[at].line, name));
            }
            _ => {}
        }
        if depth == 0 {
            break;
        }
    }
    names
}

fn libraries(file: &str, room: &str, tokens: &[Token]) -> Vec<Finding> {
    let mut found = Vec::new();
    for (at, token) in tokens.iter().enumerate() {
        let begins_path = text(tokens, at + 1) == "::" && (at == 0 || text(tokens, at - 1) != "::");
        for (library, rooms) in LIBRARIES {
            if begins_path && token.text == library && !rooms.contains(&room) {
                found.push(finding(
                    file,
                    token.line,
                    format!(
                        "{room} must not name {library}, which belongs to {}",
                        rooms.join(", ")
                    ),
                ));
            }
        }
    }
    found
}

fn sql(file: &str, room: &str, source: &Source) -> Vec<Finding> {
    if room == "store" {
        return Vec::new();
    }
    let is_sql = |text: &str| {
        let both = |a, b| text.contains(a) && text.contains(b);
        both("SELECT ", " FROM ")
            || both("UPDATE ", " SET ")
            || text.contains("INSERT INTO ")
            || text.contains("DELETE FROM ")
    };
    source
        .strings
        .iter()
        .filter(|(_, string)| is_sql(&string.replace('\n', " ")))
        .map(|(line, _)| finding(file, *line, "SQL stands in src/store alone"))
        .collect()
}

fn too_long(file: &str, text_of_file: &str, tokens: &[Token]) -> Vec<Finding> {
    let mut found = Vec::new();
    let lines = text_of_file.lines().count();
    if lines > FILE_LINES_MAX {
        let why = format!("{lines} lines are more than {FILE_LINES_MAX}: split the file");
        found.push(finding(file, FILE_LINES_MAX + 1, why));
    }
    for (at, token) in tokens.iter().enumerate() {
        if token.text != "fn" {
            continue;
        }
        let Some(last) = last_line_of_function(&tokens[at..]) else {
            continue;
        };
        let lines = last - token.line + 1;
        if lines > FUNCTION_LINES_MAX {
            let name = text(tokens, at + 1);
            let why = format!("{name} has {lines} lines, more than {FUNCTION_LINES_MAX}");
            found.push(finding(file, token.line, why));
        }
    }
    found
}

/// `None` for a function without a body.
fn last_line_of_function(tokens: &[Token]) -> Option<usize> {
    let (mut braces, mut others) = (0, 0);
    for token in tokens {
        match token.text {
            "(" | "[" => others += 1,
            ")" | "]" => others -= 1,
            ";" if braces == 0 && others == 0 => return None,
            "{" => braces += 1,
            "}" if braces == 1 => return Some(token.line),
            "}" => braces -= 1,
            _ => {}
        }
    }
    None
}

fn banned_words(file: &str, tokens: &[Token]) -> Vec<Finding> {
    let may_be_unsafe = UNSAFE.iter().any(|(name, _)| *name == file);
    tokens
        .windows(2)
        .filter_map(|pair| match (pair[0].text, pair[1].text) {
            (word @ ("todo" | "unimplemented" | "dbg"), "!") => {
                Some(finding(file, pair[0].line, format!("{word}! is left over")))
            }
            ("unsafe", _) if !may_be_unsafe => Some(finding(
                file,
                pair[0].line,
                "unsafe, and the file is not among those that may: tests/tidy.rs",
            )),
            _ => None,
        })
        .collect()
}

fn machine_paths(file: &str, text: &str) -> Vec<Finding> {
    let mut found = Vec::new();
    for (number, line) in text.lines().enumerate() {
        for folder in ["home", "root", "work", "Users"].map(|name| format!("/{name}/")) {
            let begins = line.match_indices(&folder).any(|(at, _)| {
                !line[..at].ends_with(|c: char| c.is_alphanumeric() || "._-}/".contains(c))
            });
            if begins {
                let why = format!("{folder}… exists on one machine only");
                found.push(finding(file, number + 1, why));
            }
        }
    }
    found
}

fn dependencies(file: &str, text: &str, allowed: &Dependencies) -> Vec<Finding> {
    let manifest: toml::Table = text.parse().expect("a manifest");
    let names = manifest["dependencies"].as_table().expect("dependencies");
    let refused = |name: &str| match allowed {
        Dependencies::Only(allowed) => !allowed.contains(&name),
        Dependencies::OfOurs(allowed) => name.starts_with("airlift") && !allowed.contains(&name),
    };
    names
        .keys()
        .filter(|name| refused(name))
        .map(|name| {
            let line = text.lines().position(|line| {
                let rest = line.strip_prefix(name.as_str());
                rest.is_some_and(|rest| rest.starts_with([' ', '.', '=']))
            });
            let why = format!("it runs on devices and must not depend on {name}");
            finding(file, line.unwrap_or(0) + 1, why)
        })
        .collect()
}
