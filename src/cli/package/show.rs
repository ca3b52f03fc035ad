//! Packages, for people.

use std::io::{self, Write};

use chrono::{DateTime, Utc};
use serde::Deserialize;
use serde_json::Value;

use super::{pack::Packed, push::Prepared};
use crate::cli::{
    table::Table,
    text::{printable, time},
};

/// As much of a package's version as is shown.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Package {
    pub name: String,
    pub version: String,
    pub branch: String,
    pub content: Value,
    pub file_url: String,
    pub file_size: u64,
    pub sha256: String,
    pub signed_by: Option<Signer>,
    /// Whether devices that follow the branch get it.
    pub head: bool,
    pub withdrawn_at: Option<DateTime<Utc>>,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
}

#[derive(Debug, Deserialize)]
pub struct Signer {
    pub name: String,
    pub fingerprint: String,
}

/// The branches of a package.
#[derive(Debug, Deserialize)]
pub struct Branches {
    pub name: String,
    pub branches: Vec<Branch>,
}

#[derive(Debug, Deserialize)]
pub struct Branch {
    pub branch: String,
    /// `None`: all its versions are withdrawn.
    pub head: Option<String>,
    /// With those that are withdrawn.
    pub versions: u64,
    pub withdrawn: u64,
}

impl Package {
    /// `head`, `withdrawn`, or that it waits behind a higher version.
    pub fn state(&self) -> &'static str {
        match (self.head, self.withdrawn_at) {
            (true, _) => "head",
            (false, Some(_)) => "withdrawn",
            (false, None) => "older",
        }
    }

    fn signed(&self) -> String {
        match &self.signed_by {
            Some(signer) => format!("{} ({})", signer.name, signer.fingerprint),
            None => "by no key that the server trusts".to_owned(),
        }
    }

    pub fn write(&self, out: &mut dyn Write) -> io::Result<()> {
        let state = match (self.head, self.withdrawn_at) {
            (false, Some(at)) => format!("withdrawn at {}", time(at)),
            (false, None) => "older than the head".to_owned(),
            (true, _) => format!("head of {}", self.branch),
        };
        for (name, fact) in [
            ("package", self.name.as_str()),
            ("version", &self.version),
            ("branch", &self.branch),
            ("state", &state),
            ("file", &self.file_url),
            ("bytes", &self.file_size.to_string()),
            ("SHA-256", &self.sha256),
            ("signed", &self.signed()),
            ("created", &time(self.created_at)),
            ("updated", &time(self.updated_at)),
        ] {
            writeln!(out, "{name:<10} {fact}")?;
        }
        writeln!(out, "\ncontent.json\n{:#}", self.content)
    }
}

pub fn branches(of: &Branches, out: &mut dyn Write) -> io::Result<()> {
    let mut table = Table::new(&["BRANCH", "HEAD", " VERSIONS", " WITHDRAWN"]);
    for branch in &of.branches {
        let head = branch.head.clone();
        table.row([
            branch.branch.clone(),
            head.unwrap_or_else(|| "-".to_owned()),
            branch.versions.to_string(),
            branch.withdrawn.to_string(),
        ]);
    }
    table.write(out)
}

pub fn would_push(prepared: &Prepared, out: &mut dyn Write) -> io::Result<()> {
    let Prepared {
        content, packed, ..
    } = prepared;
    let signed = match prepared.signature {
        Some(_) => "signed",
        None => "not signed",
    };
    writeln!(
        out,
        "{} {} would go to {}, {signed}: {}\n",
        content.package,
        content.version,
        content.branch,
        file(packed)
    )?;
    for line in prepared.draft.text().lines() {
        writeln!(out, "{}", printable(&line.replace('\t', "    ")))?;
    }
    Ok(())
}

pub fn pushed(prepared: &Prepared, pushed: &Package, out: &mut dyn Write) -> io::Result<()> {
    let Package {
        name,
        version,
        branch,
        ..
    } = pushed;
    writeln!(
        out,
        "{name} {version} is on {branch}: {}",
        file(&prepared.packed)
    )?;
    writeln!(out, "SHA-256 {}", pushed.sha256)?;
    match (&prepared.signature, &pushed.signed_by) {
        (_, Some(_)) => writeln!(out, "signed by {}", pushed.signed())?,
        (Some(_), None) => writeln!(out, "signed, by no key that the server trusts")?,
        (None, None) => writeln!(out, "not signed")?,
    }
    match pushed.head {
        true => writeln!(out, "It is the head: devices that follow {branch} take it."),
        false => writeln!(
            out,
            "It is not the head: {branch} has a higher version, and devices stay with that."
        ),
    }
}

/// `1234 bytes (3 files of 9876 bytes packed)`.
fn file(packed: &Packed) -> String {
    match &packed.folder {
        Some(folder) => format!(
            "{} bytes ({} files of {} bytes, packed)",
            packed.bytes, folder.files, folder.bytes
        ),
        None => format!("{} bytes, the file as it is", packed.bytes),
    }
}
