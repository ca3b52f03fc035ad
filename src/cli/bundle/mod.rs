//! `airlift bundle …`: on the build machine, without a server.
//!
//! To add a command: a variant in [`BundleCommand`] and what it does in [`run`].

mod build;
mod extract;
mod parts;
mod read;
mod show;

use std::path::PathBuf;

use anyhow::Result;
use clap::{ArgGroup, Args, Subcommand, builder::PossibleValuesParser};

use super::console::{Console, Outcome, ended};
use crate::domain::Clock;

/// After so many days no device begins an update to a bundle, unless its builder says otherwise:
/// who keeps devices from newer releases has this long.
const EXPIRES_IN_DAYS: u32 = 365;

#[derive(Args, Clone, Debug)]
pub struct BundleArgs {
    /// Print what there is to say as JSON
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: BundleCommand,
}

#[derive(Clone, Debug, Subcommand)]
enum BundleCommand {
    /// Build and sign a bundle
    ///
    /// Of a firmware, of web pages, or of both, which devices then install together. What no board of
    /// the target could run or hold is refused: a merged image, an image for another chip, one that is
    /// larger than its slot, web pages that are larger than their partition.
    ///
    /// For boards with 4 MB (and raw) source maps and what only the build needs stay out of the web
    /// part; it says which. For an esp32-wrover all stays in but packages, version control and .env
    /// files.
    #[command(
        group = ArgGroup::new("part").required(true).multiple(true).args(["firmware", "web", "web_image"]),
        after_help = "Examples:\n  \
            airlift bundle build --target esp32-wroom --firmware firmware.bin --web dist \\\n      \
            --version 2.7.0 --changelog CHANGES.md --sign gpg:releases@example.com\n  \
            airlift bundle build --target esp32-wrover --web-image web_spiffs.bin \\\n      \
            --version 2.7.1 --changelog - --sign release-1.secret.asc < CHANGES.md\n\n\
            A key file's passphrase is taken from AIRLIFT_KEY_PASSPHRASE, or asked for on a terminal;\n\
            with gpg:KEY a running gpg signs, and asks itself, also for a smart card."
    )]
    Build(Box<BuildArgs>),
    /// Show what is in a bundle, without asking who signed it
    ///
    /// The whole bundle is read: one that is damaged is refused, with exit code 1.
    #[command(after_help = "Examples:\n  \
        airlift bundle inspect gateway_v2.7.0.jota\n  \
        airlift bundle inspect gateway_v2.7.0.jota --json | jq -r .manifest.changelog")]
    Inspect(FileArgs),
    /// Check a bundle as a server and devices would
    ///
    /// Signature, time, parts and firmware. Exit code 1 and the word of the refusal if it would not
    /// be taken, such as untrusted_key. What depends on the device stays open: the version it runs,
    /// the release that it took last.
    #[command(after_help = "Examples:\n  \
        airlift bundle verify gateway_v2.7.0.jota --trusted-keys keys\n  \
        airlift bundle verify gateway_v2.7.0.jota --trusted-keys keys --json | jq -r .refusal")]
    Verify(VerifyArgs),
    /// Take the files out of a bundle, such as for a device's own upload page
    ///
    /// The whole bundle is read and its parts are held against its manifest before a file is there; one
    /// that is damaged is refused, with exit code 1. Who signed is not asked: see `verify`.
    #[command(after_help = "Examples:\n  \
        airlift bundle extract gateway_v2.7.0.jota --out gateway_v2.7.0\n  \
        cd gateway_v2.7.0\n  \
        curl -u :PASSWORD -F manifest=@manifest.json -F signature=@manifest.json.asc \\\n      \
        -F firmware=@firmware.bin http://<ip>:8080/api/ota/upload\n\n\
        A device that trusts keys takes the three files in this order alone.")]
    Extract(ExtractArgs),
}

#[derive(Args, Clone, Debug)]
struct BuildArgs {
    /// Board that it is for
    #[arg(
        long,
        value_name = "BOARD",
        value_parser = PossibleValuesParser::new(parts::target_names())
    )]
    target: String,
    /// The application image
    #[arg(long, value_name = "FILE")]
    firmware: Option<PathBuf>,
    /// Folder of web pages, packed into a SPIFFS image
    #[arg(long, value_name = "DIR", conflicts_with = "web_image")]
    web: Option<PathBuf>,
    /// A SPIFFS image as it is, such as from ESP-IDF's spiffsgen.py
    #[arg(long, value_name = "FILE")]
    web_image: Option<PathBuf>,
    /// Version of the gateway after the update, SemVer
    #[arg(long, value_name = "VERSION")]
    version: String,
    /// Device type that it is for
    #[arg(long, value_name = "TYPE", default_value = "gateway")]
    device_type: String,
    /// What changed, Markdown; - reads standard input
    #[arg(long, value_name = "FILE")]
    changelog: PathBuf,
    /// Key that signs: a file with a secret key, or gpg: and a key id, fingerprint or user id
    #[arg(long, value_name = "KEY")]
    sign: String,
    /// Must grow with each release of the device type; at least 1 [default: the time, Unix seconds]
    #[arg(
        long,
        value_name = "NUMBER",
        value_parser = clap::value_parser!(u64).range(1..=airlift_bundle::RELEASE_COUNTER_MAX)
    )]
    release_counter: Option<u64>,
    /// Lowest version from which it may be installed
    #[arg(long, value_name = "VERSION")]
    min_version: Option<String>,
    /// After so many days no device begins this update [default: 365]
    #[arg(
        long,
        value_name = "DAYS",
        value_parser = clap::value_parser!(u32).range(1..=36_500),
        conflicts_with = "no_expiry"
    )]
    expires_in_days: Option<u32>,
    /// It may be installed for ever, also when its faults are known
    #[arg(long)]
    no_expiry: bool,
    /// Devices take it although they run a release with a higher counter
    #[arg(long)]
    allow_rollback: bool,
    /// File to write [default: TYPE_vVERSION.jota]
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

#[derive(Args, Clone, Debug)]
struct FileArgs {
    /// The bundle
    #[arg(value_name = "FILE")]
    file: PathBuf,
}

#[derive(Args, Clone, Debug)]
struct VerifyArgs {
    #[command(flatten)]
    bundle: FileArgs,
    /// Folder of the public keys that are trusted, as the server has it
    #[arg(long, env = "AIRLIFT_TRUSTED_KEYS", value_name = "DIR")]
    trusted_keys: PathBuf,
}

#[derive(Args, Clone, Debug)]
struct ExtractArgs {
    #[command(flatten)]
    bundle: FileArgs,
    /// Folder to put the files in; it is made if it is missing
    #[arg(long, value_name = "DIR", default_value = ".")]
    out: PathBuf,
    /// Replace files of the same names
    #[arg(long)]
    force: bool,
}

/// Carries out a command; an error is a sentence for the person who gave it.
pub fn run(args: BundleArgs, clock: &Clock, mut console: Console<'_>) -> Result<Outcome> {
    let json = args.json;
    let console = &mut console;
    ended(match args.command {
        BundleCommand::Build(args) => build::build(*args, json, clock, console),
        BundleCommand::Inspect(args) => read::inspect(&args.file, json, console),
        BundleCommand::Verify(args) => {
            let (file, keys) = (&args.bundle.file, &args.trusted_keys);
            read::verify(file, keys, json, clock, console)
        }
        BundleCommand::Extract(args) => extract::extract(&args, json, console),
    })
}
