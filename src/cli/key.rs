//! `airlift key …`: keys in files, for those who do not keep theirs in gpg.
//!
//! To add a command: a variant in [`KeyCommand`] and what it does in [`run`].

use std::{
    fs::{self, OpenOptions},
    io::Write,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    time::Duration,
};

use airlift_bundle::{
    KEY_NAME_BYTES_MAX,
    keys::{PublicKey, TrustedKeys, generate},
};
use anyhow::{Context, Result, bail, ensure};
use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::{
    console::{Console, Outcome, ended},
    passphrase,
    table::Table,
    text::{printable, unix_time},
};
use crate::domain::Clock;

const DAY: Duration = Duration::from_secs(86_400);
/// A secret is its owner's alone.
const SECRET_MODE: u32 = 0o600;
const PUBLIC_MODE: u32 = 0o644;
/// Keys that a board's NVS has room for: `key0` to `key7`.
const BOARD_KEYS_MAX: usize = 8;

#[derive(Args, Clone, Debug)]
pub struct KeyArgs {
    /// Print what there is to say as JSON
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: KeyCommand,
}

#[derive(Clone, Debug, Subcommand)]
enum KeyCommand {
    /// Make an Ed25519 key that signs bundles
    ///
    /// Writes NAME.secret.asc, which signs and stays on the build machine, and NAME.asc, which goes
    /// into the folder of trusted keys. Both are OpenPGP keys, which gpg takes too.
    #[command(after_help = "Examples:\n  \
        airlift key generate --name release-1 --out signing\n  \
        airlift key generate --name ci --expires-in-days 730 --no-passphrase --out signing\n\n\
        The passphrase is taken from AIRLIFT_KEY_PASSPHRASE, or asked for on a terminal.")]
    Generate(GenerateArgs),
    /// List the keys that are trusted
    List(ListArgs),
}

#[derive(Args, Clone, Debug)]
struct GenerateArgs {
    /// Name of the files, by which servers and devices call the key
    #[arg(long, value_name = "NAME", value_parser = name)]
    name: String,
    /// What the key says of its owner, such as 'Releases <releases@example.com>' [default: NAME]
    #[arg(long, value_name = "TEXT")]
    user_id: Option<String>,
    /// The key signs for so many days [default: for ever]
    #[arg(
        long,
        value_name = "DAYS",
        value_parser = clap::value_parser!(u32).range(1..=36_500)
    )]
    expires_in_days: Option<u32>,
    /// Whoever reads the secret file can sign with it
    #[arg(long)]
    no_passphrase: bool,
    /// Folder for the two files
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
}

#[derive(Args, Clone, Debug)]
struct ListArgs {
    /// Folder of the public keys that are trusted, as the server has it
    #[arg(long, env = "AIRLIFT_TRUSTED_KEYS", value_name = "DIR")]
    trusted_keys: PathBuf,
    /// Print the keys as the NVS table of a board has them, a line for each
    #[arg(long, conflicts_with = "json")]
    for_boards: bool,
}

fn name(text: &str) -> Result<String, String> {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    let begins = text.starts_with(|c: char| c.is_ascii_alphanumeric());
    match begins && text.len() <= KEY_NAME_BYTES_MAX && text.chars().all(is_plain) {
        true => Ok(text.to_owned()),
        false => Err(format!(
            "it has 1 to {KEY_NAME_BYTES_MAX} of A-Z a-z 0-9 . _ -, the first a letter or digit"
        )),
    }
}

/// Carries out a command; an error is a sentence for the person who gave it.
pub fn run(args: KeyArgs, clock: &Clock, mut console: Console<'_>) -> Result<Outcome> {
    let now = clock.now().timestamp();
    ended(match args.command {
        KeyCommand::Generate(generate) => make(&generate, args.json, &mut console),
        KeyCommand::List(list) if list.for_boards => provision(&list.trusted_keys, &mut console),
        KeyCommand::List(list) => show(&list.trusted_keys, args.json, now, &mut console),
    })
}

fn make(args: &GenerateArgs, json: bool, console: &mut Console<'_>) -> Result<Outcome> {
    let secret_path = args.out.join(format!("{}.secret.asc", args.name));
    let public_path = args.out.join(format!("{}.asc", args.name));
    for path in [&secret_path, &public_path] {
        ensure!(
            !path.exists(),
            "{} is there already, and no key is overwritten: take another name",
            path.display()
        );
    }
    let passphrase = new_passphrase(args.no_passphrase)?;
    let lasts = args.expires_in_days.map(|days| DAY * days);
    let user_id = args.user_id.as_deref().unwrap_or(&args.name);
    let (secret, public) = generate(user_id, lasts, passphrase.as_deref())?;
    fs::create_dir_all(&args.out).with_context(|| format!("can't make {}", args.out.display()))?;
    put(&secret_path, &secret, SECRET_MODE)?;
    put(&public_path, &public, PUBLIC_MODE)?;
    let key = read_alone(&args.name, &public)?;
    if json {
        let data =
            json!({ "secret": secret_path, "public": public_path, "key": as_json(&key, true) });
        writeln!(console.out, "{data}")?;
        return Ok(Outcome::Done);
    }
    writeln!(
        console.out,
        "{} {}, made at {}, {}\n\n\
         {}  signs: --sign; keep it to yourself, and a copy in a safe place\n\
         {}  goes into the folder of trusted keys: --trusted-keys",
        key.algorithm,
        key.fingerprint,
        unix_time(key.created_at),
        match key.expires_at {
            Some(at) => format!("expires at {}", unix_time(at)),
            None => "never expires".to_owned(),
        },
        secret_path.display(),
        public_path.display(),
    )?;
    Ok(Outcome::Done)
}

fn new_passphrase(none: bool) -> Result<Option<String>> {
    if none {
        return Ok(None);
    }
    if let Some(passphrase) = passphrase::from_environment()? {
        return Ok(Some(passphrase));
    }
    ensure!(
        passphrase::can_ask(),
        "a passphrase is missing: set {}, or say --no-passphrase",
        passphrase::VARIABLE
    );
    let first = passphrase::ask("Passphrase for the new key: ")?;
    ensure!(
        first.is_some(),
        "no passphrase was typed; say --no-passphrase if none is wanted"
    );
    match passphrase::ask("The same again: ")? == first {
        true => Ok(first),
        false => bail!("the two passphrases differ; nothing was written"),
    }
}

/// Writes a file that is not there yet.
fn put(path: &Path, text: &str, mode: u32) -> Result<()> {
    let mut options = OpenOptions::new();
    let file = options.write(true).create_new(true).mode(mode).open(path);
    let written = file.and_then(|mut file| {
        file.write_all(text.as_bytes())?;
        file.sync_all()
    });
    written.with_context(|| format!("can't write {}", path.display()))
}

/// The new key as a server reads it.
fn read_alone(name: &str, public: &str) -> Result<PublicKey> {
    let folder = tempfile::tempdir().context("can't make a temporary folder")?;
    put(
        &folder.path().join(format!("{name}.asc")),
        public,
        PUBLIC_MODE,
    )?;
    let trusted = TrustedKeys::read(folder.path())?;
    let key = trusted.keys().first().cloned();
    key.context("the new key can't be read back")
}

fn show(folder: &Path, json: bool, now: i64, console: &mut Console<'_>) -> Result<Outcome> {
    let trusted = TrustedKeys::read(folder)?;
    let for_devices = trusted.for_devices();
    let of_devices = |key: &PublicKey| for_devices.iter().any(|it| it.name == key.name.as_str());
    if json {
        for key in trusted.keys() {
            writeln!(console.out, "{}", as_json(key, of_devices(key)))?;
        }
        return Ok(Outcome::Done);
    }
    let mut table = Table::new(&[
        "NAME",
        "ALGORITHM",
        "FINGERPRINT",
        "USER ID",
        "EXPIRES",
        "STATE",
        "DEVICES",
    ]);
    for key in trusted.keys() {
        let devices = if of_devices(key) { "yes" } else { "no" };
        table.row([
            printable(&key.name),
            printable(&key.algorithm),
            key.fingerprint.clone(),
            printable(&key.user_id),
            key.expires_at.map_or_else(|| "never".to_owned(), unix_time),
            state(key, now).to_owned(),
            devices.to_owned(),
        ]);
    }
    table.write(console.out)?;
    if trusted.is_empty() {
        writeln!(console.notes, "{} holds no key to trust", folder.display())?;
    }
    Ok(Outcome::Done)
}

fn provision(folder: &Path, console: &mut Console<'_>) -> Result<Outcome> {
    let keys = TrustedKeys::read(folder)?.for_devices();
    ensure!(
        (1..=BOARD_KEYS_MAX).contains(&keys.len()),
        "{} holds {} keys that boards can check: they know Ed25519 alone, and 1 to {BOARD_KEYS_MAX} keys",
        folder.display(),
        keys.len()
    );
    for (at, key) in keys.iter().enumerate() {
        writeln!(console.out, "key{at},data,string,{key}")?;
    }
    Ok(Outcome::Done)
}

fn state(key: &PublicKey, now: i64) -> &'static str {
    match key.expires_at {
        _ if key.is_revoked => "revoked",
        Some(at) if at <= now => "expired",
        _ if key.created_at > now => "not yet valid",
        _ => "valid",
    }
}

fn as_json(key: &PublicKey, devices: bool) -> Value {
    json!({
        "name": key.name,
        "fingerprint": key.fingerprint,
        "algorithm": key.algorithm,
        "userId": key.user_id,
        "createdAt": key.created_at,
        "expiresAt": key.expires_at,
        "revoked": key.is_revoked,
        "devices": devices,
    })
}
