//! `content.json` as a text: single values are filled in, all else stays byte for byte as it was
//! written.

use std::{
    fs::{self, File, Permissions},
    io::{Read, Write},
    ops::Range,
    path::{Path, PathBuf},
};

use airlift_package::{CONTENT_BYTES_MAX, Content};
use anyhow::{Context, Result, bail, ensure};
use serde::de::{DeserializeOwned, IgnoredAny};
use serde_json::{Deserializer, Value};

/// Fields that must say something, and be texts.
const NEEDED: [&str; 3] = ["package", "version", "branch"];
/// Fields that are texts, or null where they say nothing.
const TEXTS: [&str; 8] = [
    "description",
    "local",
    "remote",
    "sha256",
    "BeforeUpdate",
    "AfterUpdate",
    "restore",
    "health",
];

/// A `content.json` in the making.
pub struct Draft {
    path: PathBuf,
    text: String,
}

impl Draft {
    pub fn read(path: &Path) -> Result<Draft> {
        let unread = || format!("can't read --content {}", path.display());
        let file = File::open(path).with_context(unread)?;
        let mut bytes = Vec::new();
        let limit = CONTENT_BYTES_MAX as u64 + 1;
        file.take(limit)
            .read_to_end(&mut bytes)
            .with_context(unread)?;
        ensure!(
            bytes.len() <= CONTENT_BYTES_MAX,
            "--content {} has more than {CONTENT_BYTES_MAX} bytes: is it the content.json?",
            path.display()
        );
        let text = String::from_utf8(bytes)
            .ok()
            .with_context(|| format!("--content {} is not UTF-8", path.display()))?;
        let draft = Draft {
            path: path.to_owned(),
            text,
        };
        let value: Value = serde_json::from_str(&draft.text).with_context(|| draft.about())?;
        ensure!(
            value.is_object(),
            "{}: it is no JSON object: `airlift package init` writes one to begin with",
            draft.about()
        );
        Ok(draft)
    }

    /// Gives a field this value: in its place, or as the last field.
    pub fn set(&mut self, field: &str, value: &str) -> Result<()> {
        let value = Value::from(value).to_string();
        let fields = fields(&self.text).with_context(|| self.about())?;
        let mut of_name = fields.iter().filter(|it| it.name == field);
        let (found, again) = (of_name.next(), of_name.next());
        ensure!(again.is_none(), "{}: {field} is there twice", self.about());
        match (found, fields.last()) {
            (Some(found), _) => self.text.replace_range(found.value.clone(), &value),
            (None, Some(last)) => {
                // Between the fields as between the last two.
                let before = fields.len().checked_sub(2).map(|at| fields[at].value.end);
                let gap = match before {
                    Some(end) => &self.text[end..last.begin],
                    None => ", ",
                };
                let gap = match gap.trim() {
                    "," => gap.to_owned(),
                    _ => ", ".to_owned(),
                };
                let addition = format!("{gap}{}: {value}", Value::from(field));
                self.text.insert_str(last.value.end, &addition);
            }
            (None, None) => {
                let at = self.text.find('{').map_or(0, |at| at + 1);
                let addition = format!("{}: {value}", Value::from(field));
                self.text.insert_str(at, &addition);
            }
        }
        Ok(())
    }

    /// Reads it as server and devices will; an error names the field.
    pub fn check(&self) -> Result<Content> {
        self.check_forms()?;
        Content::read(self.text.as_bytes()).with_context(|| self.about())
    }

    /// Says of a field that is no text what serde does not say: which.
    fn check_forms(&self) -> Result<()> {
        let value: Value = serde_json::from_str(&self.text).with_context(|| self.about())?;
        let about = self.about();
        for field in NEEDED {
            match &value[field] {
                Value::String(text) if !text.is_empty() => {}
                Value::String(_) | Value::Null => bail!(
                    "{about}: {field} is missing{}",
                    match field {
                        "package" => "",
                        "version" => ": write it there, or say --version",
                        _ => ": write it there, or say --branch",
                    }
                ),
                other => bail!("{about}: {field} is {other}, and must be a text"),
            }
        }
        for field in TEXTS {
            let value = &value[field];
            ensure!(
                value.is_string() || value.is_null(),
                "{about}: {field} is {value}, and must be a text"
            );
        }
        check_dependencies(&value["dependencies"]).with_context(|| about.clone())
    }

    pub fn text(&self) -> &str {
        &self.text
    }

    /// Puts it in the place of the file that it was read from.
    pub fn write_back(&self) -> Result<()> {
        let unwritten = || format!("can't write {}", self.path.display());
        // A link stays one, and what it leads to is written.
        let path = self.path.canonicalize().with_context(unwritten)?;
        let mode = fs::metadata(&path).with_context(unwritten)?.permissions();
        let folder = path.parent().unwrap_or(Path::new("/"));
        write_beside(folder, &path, mode, self.text.as_bytes()).with_context(unwritten)
    }

    fn about(&self) -> String {
        format!("--content {}", self.path.display())
    }
}

fn check_dependencies(dependencies: &Value) -> Result<()> {
    let dependencies = match dependencies {
        // As old files have it: JSON in a text.
        Value::String(text) if text.trim().is_empty() => return Ok(()),
        Value::String(text) => &serde_json::from_str(text)
            .context("dependencies is a text, and what it holds is no JSON")?,
        other => other,
    };
    match dependencies {
        Value::Null => Ok(()),
        Value::Object(requirements) => match requirements.iter().find(|(_, it)| !it.is_string()) {
            None => Ok(()),
            Some((package, requirement)) => bail!(
                "dependencies: {package}: {requirement} must be a text, such as \">=1.2, <2\""
            ),
        },
        other => bail!(
            "dependencies is {other}: write package and requirement, such as {{\"lib\": \">=1.2\"}}"
        ),
    }
}

/// Where a field of the object stands in the text.
struct Field {
    name: String,
    begin: usize,
    value: Range<usize>,
}

/// The fields of a JSON object, in the order of the text.
fn fields(text: &str) -> Result<Vec<Field>> {
    let mut fields = Vec::new();
    let skip = |at: usize| at + (text[at..].len() - text[at..].trim_ascii_start().len());
    let mut at = skip(0);
    ensure!(text[at..].starts_with('{'), "it is no JSON object");
    at = skip(at + 1);
    while !text[at..].starts_with('}') {
        let begin = at;
        let (name, end) = one::<String>(text, begin)?;
        at = skip(end);
        ensure!(text[at..].starts_with(':'), "no value of {name}");
        let value = skip(at + 1);
        let (_, end) = one::<IgnoredAny>(text, value)?;
        let value = value..end;
        fields.push(Field { name, begin, value });
        at = skip(end);
        if text[at..].starts_with(',') {
            at = skip(at + 1);
        } else {
            ensure!(text[at..].starts_with('}'), "no end");
        }
    }
    Ok(fields)
}

/// The JSON value that begins at `begin`, and where it ends.
fn one<T: DeserializeOwned>(text: &str, begin: usize) -> Result<(T, usize)> {
    let mut values = Deserializer::from_str(&text[begin..]).into_iter::<T>();
    let value = values.next().context("it is cut off")??;
    Ok((value, begin + values.byte_offset()))
}

/// Writes a file in one go: what was there before stays until the new one is whole.
pub fn write_beside(
    folder: &Path,
    path: &Path,
    mode: Permissions,
    bytes: &[u8],
) -> std::io::Result<()> {
    let mut file = tempfile::Builder::new()
        .prefix(".airlift-")
        .permissions(mode)
        .tempfile_in(folder)?;
    file.write_all(bytes)?;
    file.as_file().sync_all()?;
    file.persist(path).map_err(|error| error.error)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn draft(text: &str) -> Draft {
        Draft {
            path: "content.json".into(),
            text: text.to_owned(),
        }
    }

    #[test]
    fn what_is_filled_in_changes_nothing_else() {
        for (before, field, after) in [
            (
                "{\"z\":1,\n \"sha256\" : \"old\" , \"a\":{\"sha256\":\"no\"}}\n",
                "sha256",
                "{\"z\":1,\n \"sha256\" : \"NEW\" , \"a\":{\"sha256\":\"no\"}}\n",
            ),
            (
                "{\n  \"a\": 1.50,\n  \"b\": [1, 2]\n}\n",
                "c",
                "{\n  \"a\": 1.50,\n  \"b\": [1, 2],\n  \"c\": \"NEW\"\n}\n",
            ),
            ("{}", "a", "{\"a\": \"NEW\"}"),
            ("{\"b\":null}", "a", "{\"b\":null, \"a\": \"NEW\"}"),
            (
                "{\"\\u0061\":7,\"b\":-0}",
                "a",
                "{\"\\u0061\":\"NEW\",\"b\":-0}",
            ),
            (
                "{\"b\":\"}\\\"{\", \"ü\": \"€\"}",
                "a",
                "{\"b\":\"}\\\"{\", \"ü\": \"€\", \"a\": \"NEW\"}",
            ),
        ] {
            let mut draft = draft(before);
            draft.set(field, "NEW").unwrap();
            assert_eq!(draft.text(), after);
            serde_json::from_str::<Value>(draft.text()).unwrap();
        }
    }

    #[test]
    fn a_field_that_is_there_twice_is_not_guessed_at() {
        let error = draft("{\"version\":\"1\",\"version\":\"2\"}").set("version", "3");
        assert!(error.unwrap_err().to_string().contains("version is there"));
    }

    #[test]
    fn every_fault_names_its_field() {
        let good = r#"{"package":"app","version":"1.0","branch":"main"}"#;
        assert_eq!(draft(good).check().unwrap().package, "app");
        for (from, to, said) in [
            (r#""1.0""#, "7", "version is 7"),
            (r#""1.0""#, r#""""#, "say --version"),
            (r#""1.0""#, r#""1 0""#, "version: "),
            (r#","branch":"main""#, "", "branch is missing"),
            (r#""app""#, "null", "package is missing"),
            (r#""app""#, r#""a/b""#, "package \"a/b\""),
            ("}", r#","local":[]}"#, "local is []"),
            ("}", r#","AfterUpdate":true}"#, "AfterUpdate is true"),
            ("}", r#","sha256":"zz"}"#, "sha256 \"zz\""),
            ("}", r#","dependencies":[]}"#, "dependencies is []"),
            ("}", r#","dependencies":"{"}"#, "dependencies is a text"),
            (
                "}",
                r#","dependencies":{"lib":1}}"#,
                "dependencies: lib: 1 must",
            ),
            (
                "}",
                r#","dependencies":{"lib":">="}}"#,
                "dependencies: lib: ",
            ),
            (
                "}",
                r#","dependencies":"{\"app\":\"1\"}"}"#,
                "app depends on itself",
            ),
        ] {
            let error = draft(&good.replacen(from, to, 1)).check();
            let error = format!("{:#}", error.unwrap_err());
            assert!(error.contains(said), "{said}: {error}");
            assert!(error.starts_with("--content content.json"), "{error}");
        }
    }
}
