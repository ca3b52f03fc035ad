use std::{
    fs,
    path::{Path, PathBuf},
};

use super::{Finding, finding};

/// The tests that SECURITY.md names are there: a threat is held as long as its test is.
pub fn named_tests(root: &Path, files: &[PathBuf]) -> Vec<Finding> {
    const THREATS: &str = "SECURITY.md";
    let text = fs::read_to_string(root.join(THREATS)).expect("the table of threats");
    let code: String = files
        .iter()
        .filter(|path| path.extension().is_some_and(|it| it == "rs"))
        .filter_map(|path| fs::read_to_string(path).ok())
        .collect();
    let mut found = missing_tests(THREATS, &text, &code);
    if text.matches("`").count() < 40 {
        found.push(finding(THREATS, 1, "no tests seen"));
    }
    found
}

/// Of the names between backticks those of tests, which have words with `_` between, that are in no code.
pub fn missing_tests(file: &str, text: &str, code: &str) -> Vec<Finding> {
    let mut found = Vec::new();
    for (number, line) in text.lines().enumerate() {
        for name in line.split('`').skip(1).step_by(2) {
            let is_test = name.matches('_').count() > 2
                && name
                    .chars()
                    .all(|it| it.is_ascii_lowercase() || it.is_ascii_digit() || it == '_');
            let is_there =
                code.contains(&format!("fn {name}(")) || code.contains(&format!("    {name},\n"));
            if is_test && !is_there {
                found.push(finding(
                    file,
                    number + 1,
                    format!("there is no test {name}"),
                ));
            }
        }
    }
    found
}
