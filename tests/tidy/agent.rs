//! The agent's every change of the system is one that its disk has watched: what the tests do not
//! see, they cannot interrupt.

use super::{Finding, Token, finding, text};

const AGENT: &str = "crates/agent/src/";
const DISK: &str = "crates/agent/src/disk.rs";

/// Functions of `std::fs`, `std::os::unix::fs` and `rustix::fs` that change the file system.
const CHANGES: [&str; 24] = [
    "write",
    "copy",
    "rename",
    "renameat",
    "renameat_with",
    "remove_file",
    "remove_dir",
    "remove_dir_all",
    "unlink",
    "unlinkat",
    "create_dir",
    "create_dir_all",
    "mkdirat",
    "hard_link",
    "linkat",
    "soft_link",
    "symlink",
    "symlinkat",
    "set_permissions",
    "set_times",
    "chown",
    "lchown",
    "fchown",
    "chmod",
];
/// Names among them that nothing else has: they are found without `fs::` before them, too.
const UNMISTAKABLE: [&str; 9] = [
    "renameat",
    "renameat_with",
    "unlinkat",
    "mkdirat",
    "linkat",
    "symlinkat",
    "symlink",
    "lchown",
    "hard_link",
];

/// Changes of the file system and started processes that are neither in `disk.rs` nor within
/// `disk.act(…)`. Tests, which stand at a file's end, may do what they like. What is done to an open
/// file is not seen here.
pub fn unwatched(file: &str, tokens: &[Token]) -> Vec<Finding> {
    let is_test = file.ends_with("/tests.rs") || file.contains("/tests/");
    if !file.starts_with(AGENT) || file == DISK || is_test {
        return Vec::new();
    }
    let tests = (0..tokens.len()).find(|at| words(tokens, *at, &["cfg", "(", "test", ")"]));
    let tokens = &tokens[..tests.unwrap_or(tokens.len())];
    let mut found = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        if words(tokens, at, &[".", "act", "("]) {
            at = closing(tokens, at + 2);
            continue;
        }
        if let Some(what) = change(tokens, at) {
            let why =
                format!("{what} outside of disk.rs and disk.act(…): no test can interrupt it");
            found.push(finding(file, tokens[at].line, why));
        }
        at += 1;
    }
    found
}

/// What is changed by the words that begin here.
fn change(tokens: &[Token], at: usize) -> Option<String> {
    let (word, before) = (tokens[at].text, at.checked_sub(1).map(|it| tokens[it].text));
    let is_call = text(tokens, at + 1) == "(";
    let is_named = match before {
        Some("::") => at >= 2 && tokens[at - 2].text == "fs",
        Some("." | "fn") => false,
        _ => UNMISTAKABLE.contains(&word),
    };
    if CHANGES.contains(&word) && is_named && is_call {
        return Some(format!("{word}()"));
    }
    let makes = |name: &str| words(tokens, at, &["File", "::", name]);
    if makes("create") || makes("create_new") {
        return Some("File::create".to_owned());
    }
    if word == "OpenOptions" && text(tokens, at + 1) == "::" {
        let rest = tokens[at..].iter().map(|token| token.text);
        let mut rest = rest.take_while(|word| *word != ";");
        return rest
            .any(|word| matches!(word, "create" | "create_new" | "truncate"))
            .then(|| "OpenOptions that make a file".to_owned());
    }
    let starts = |name: &str| words(tokens, at, &[".", name, "(", ")"]);
    let name = ["spawn", "output"].into_iter().find(|name| starts(name))?;
    Some(format!("a process started by {name}()"))
}

fn words(tokens: &[Token], at: usize, words: &[&str]) -> bool {
    (words.iter().enumerate()).all(|(further, word)| text(tokens, at + further) == *word)
}

/// Where the parenthesis closes that opens here.
fn closing(tokens: &[Token], open: usize) -> usize {
    let mut depth = 0;
    for (at, token) in tokens.iter().enumerate().skip(open) {
        match token.text {
            "(" => depth += 1,
            ")" if depth == 1 => return at,
            ")" => depth -= 1,
            _ => {}
        }
    }
    tokens.len()
}
