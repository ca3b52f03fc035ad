//! `airlift package init`.

use std::{
    fs::OpenOptions,
    io::{ErrorKind, Write},
    path::PathBuf,
};

use anyhow::{Context, Result, bail};
use clap::Args;
use serde_json::{Value, json};

use super::name;
use crate::cli::{
    client::Client,
    console::{Console, Outcome},
};

#[derive(Args, Clone, Debug)]
pub struct InitArgs {
    /// The package
    #[arg(value_name = "NAME", value_parser = name, default_value = "my-package")]
    name: String,
    /// File to write; one that is there stays as it is
    #[arg(long, value_name = "FILE", default_value = "content.json")]
    out: PathBuf,
}

pub fn write(
    args: &InitArgs,
    client: &Client,
    json: bool,
    console: &mut Console<'_>,
) -> Result<Outcome> {
    let shown = args.out.display();
    let unwritten = || format!("can't write {shown}");
    let file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .open(&args.out);
    let mut file = match file {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            bail!("{shown} is there already, and stays as it is: name another file with --out")
        }
        file => file.with_context(unwritten)?,
    };
    let text = template(&args.name, &client.server());
    file.write_all(text.as_bytes()).with_context(unwritten)?;
    if json {
        writeln!(console.out, "{}", json!({ "path": args.out }))?;
        return Ok(Outcome::Done);
    }
    writeln!(
        console.out,
        "{shown} is written. What to fill in:\n\n\
         version        of the package; SemVer, or numbers such as 1.10\n\
         branch         devices follow one, and take its highest version\n\
         local          path on the device at which the package stands\n\
         remote         this server, as devices reach it\n\
         sha256         of the file; `airlift package push` fills it in\n\
         BeforeUpdate   command line, run before the new version takes its place\n\
         AfterUpdate    command line, run after it; if it fails, the old version comes back\n\
         health         command line, tried each second until it succeeds; else the old version\n\
         restore        script, run at the end whatever came of it (OTA_RESULT says what)\n\
         dependencies   package and version requirement, such as {{\"lib\": \">=1.2, <2\"}}\n\n\
         Then: airlift package push DIR --content {shown}{}",
        client.flag()
    )?;
    Ok(Outcome::Done)
}

/// In the order in which a person reads it, which a JSON object of serde's does not have.
fn template(name: &str, server: &str) -> String {
    let fields = [
        ("package", name),
        ("description", ""),
        ("version", "0.1.0"),
        ("branch", "main"),
        ("local", &format!("/opt/{name}")),
        ("remote", server),
        ("sha256", ""),
        ("BeforeUpdate", ""),
        ("AfterUpdate", ""),
        ("health", ""),
        ("restore", ""),
    ];
    let fields = fields.map(|(field, value)| format!("  \"{field}\": {},\n", Value::from(value)));
    format!("{{\n{}  \"dependencies\": {{}}\n}}\n", fields.concat())
}

#[cfg(test)]
mod tests {
    use airlift_package::Content;

    use super::*;

    #[test]
    fn the_template_has_every_key_and_no_other() {
        let text = template("app", "http://localhost:8018");
        let content = Content::read(text.as_bytes()).unwrap();
        assert!(content.other.is_empty(), "{content:?}");
        assert_eq!(content.local, "/opt/app");
        let mut whole = content.clone();
        whole.health = "true".to_owned();
        let all = serde_json::to_value(whole).unwrap();
        let written: Value = serde_json::from_str(&text).unwrap();
        let keys = |value: &Value| {
            value
                .as_object()
                .unwrap()
                .keys()
                .cloned()
                .collect::<Vec<_>>()
        };
        assert_eq!(keys(&written), keys(&all));
    }
}
