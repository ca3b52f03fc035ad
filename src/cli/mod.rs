//! The command line. To add a command: a variant in [`Command`] and its file here.

mod answer;
pub mod broker;
pub mod bundle;
mod client;
pub mod console;
pub mod database;
pub mod gateway;
pub mod key;
mod list;
pub mod package;
mod passphrase;
mod private_file;
mod progress;
pub mod provisioning_key;
pub mod rollout;
mod signing;
mod table;
mod text;
pub mod token;
pub mod user;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use crate::config::Options;

/// Self-hosted OTA update cloud: upload a firmware, release it, and watch gateways take it.
#[derive(Debug, Parser)]
#[command(
    name = "airlift",
    version,
    args_conflicts_with_subcommands = true,
    after_help = "Without a command, `airlift` serves. First steps:\n  \
        airlift serve\n  \
        curl -X POST http://localhost:8018/api/ota/firmware/upload \\\n      \
        -F file=@firmware.bin -F version=1.0.2\n  \
        curl -X POST http://localhost:8018/api/ota/firmware/1.0.2/release\n  \
        curl -X POST http://localhost:8018/api/ota/upgrade/SIM_GATEWAY_001\n  \
        airlift rollout create 1.0.2 --watch\n  \
        airlift bundle build --help\n  \
        airlift package push --help\n  \
        airlift token create --role admin --name ann\n\
        The API is described at http://localhost:8018/docs"
)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Option<Command>,
    #[command(flatten)]
    pub serve: ServeArgs,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the server
    ///
    /// With no flags everything is embedded: SQLite and files in ./data, an MQTT broker on port
    /// 1885, HTTP on port 8018, both on loopback. Each flag can also be set in the environment
    /// (AIRLIFT_LISTEN for --listen) or in the file that --config names; the flag wins, then the
    /// environment, then the file.
    #[command(after_help = "Examples:\n  \
        airlift serve --public-url http://192.168.1.10:8018 --listen 0.0.0.0:8018 \\\n      \
        --mqtt-listen 0.0.0.0:1885 --insecure-open\n  \
        airlift serve --database-url postgres://airlift@db/airlift \\\n      \
        --mqtt-url mqtt://airlift@broker --blob-url s3://firmware")]
    Serve(Box<ServeArgs>),
    /// Bring a version to many gateways, and watch how it goes
    ///
    /// Asks a running server, over its HTTP API. Times are UTC.
    #[command(after_help = "Examples:\n  \
        airlift rollout dry-run 1.0.2 --waves 10,50,100\n  \
        airlift rollout create 1.0.2 --waves 10,50,100 --watch\n  \
        airlift rollout list --server https://ota.example.com\n\n\
        Ends with 0 when all is done; with 1 when the rollout that was watched halted, was\n\
        cancelled, or gateways failed; with 2 when the command could not be carried out, its\n\
        error stream saying why; with 130 after Ctrl-C.")]
    Rollout(rollout::RolloutArgs),
    /// Build signed bundles, look into them and check them
    ///
    /// A bundle (.jota) holds a firmware, a web part, or both, a manifest and its OpenPGP signature.
    /// Asks no server.
    #[command(after_help = "Examples:\n  \
        airlift bundle build --target esp32-wroom --firmware firmware.bin --web dist \\\n      \
        --version 2.7.0 --changelog CHANGES.md --sign gpg:releases@example.com\n  \
        airlift bundle verify gateway_v2.7.0.jota --trusted-keys keys\n  \
        curl -X POST http://localhost:8018/api/ota/firmware/upload -F file=@gateway_v2.7.0.jota\n\n\
        Ends with 0 when all is done; with 1 when the bundle is refused; with 2 when the command\n\
        could not be carried out, its error stream saying why.")]
    Bundle(bundle::BundleArgs),
    /// Give out packages for Linux devices: upload, list, roll back, release
    ///
    /// Asks a running server, over its HTTP API. Times are UTC.
    #[command(after_help = "Examples:\n  \
        airlift package init app\n  \
        airlift package push dist --content content.json --version 1.2.0\n  \
        airlift package list --server https://ota.example.com\n  \
        airlift package rollback app --branch main\n\n\
        Ends with 0 when all is done; with 2 when the command could not be carried out, its error\n\
        stream saying why.")]
    Package(Box<package::PackageArgs>),
    /// Give gateways their tokens: add, rotate, revoke, list
    ///
    /// A gateway's token is its MQTT password, its user name being its id, and its bearer token over
    /// HTTP. Asks a running server, over its HTTP API; needs the role admin.
    #[command(after_help = "Examples:\n  \
        airlift gateway add HQ2026TEST001\n  \
        airlift gateway add --csv ids.csv --out tokens.csv\n  \
        airlift gateway rotate HQ2026TEST001\n  \
        airlift gateway revoke HQ2026TEST001\n\n\
        Ends with 0 when all is done; with 2 when the command could not be carried out, its error\n\
        stream saying why.")]
    Gateway(gateway::GatewayArgs),
    /// Make keys with which new gateways claim their tokens themselves
    ///
    /// Asks a running server, over its HTTP API; needs the role admin.
    #[command(after_help = "Examples:\n  \
        airlift provisioning-key create line-3 --claims-max 500 --expires-in-days 30\n  \
        airlift provisioning-key list\n\n\
        Ends with 0 when all is done; with 2 when the command could not be carried out, its error\n\
        stream saying why.")]
    ProvisioningKey(provisioning_key::ProvisioningKeyArgs),
    /// Write the files by which an outside broker knows the gateways
    ///
    /// The built-in broker needs none. Asks a running server, over its HTTP API; needs the role admin.
    #[command(after_help = "Examples:\n  \
        airlift broker mosquitto --out /etc/mosquitto/airlift\n  \
        airlift broker emqx --out emqx\n\n\
        Ends with 0 when all is done; with 2 when the command could not be carried out, its error\n\
        stream saying why.")]
    Broker(broker::BrokerArgs),
    /// Make keys that sign bundles and packages, and list those that are trusted
    #[command(after_help = "Examples:\n  \
        airlift key generate --name release-1 --out signing\n  \
        cp signing/release-1.asc keys/\n  \
        airlift key list --trusted-keys keys")]
    Key(key::KeyArgs),
    /// Give people and machines access: make, list and revoke tokens
    ///
    /// Opens the database itself, also beside servers that run.
    #[command(after_help = "Examples:\n  \
        airlift token create --role admin --name ann\n  \
        airlift token list\n  \
        airlift token revoke --name ann\n\n\
        Ends with 0 when all is done, and every server goes by it then; with 2 when the command\n\
        could not be carried out, its error stream saying why.")]
    Token(token::TokenArgs),
    /// Make and change users, who log in on the web page
    ///
    /// Opens the database itself, also beside servers that run.
    #[command(after_help = "Examples:\n  \
        airlift user create --name ann --role admin\n  \
        airlift user set-password --name ann\n  \
        airlift user disable --name ann\n\n\
        Ends with 0 when all is done, and every server goes by it then; with 2 when the command\n\
        could not be carried out, its error stream saying why.")]
    User(user::UserArgs),
}

#[derive(Args, Debug, Default)]
pub struct ServeArgs {
    /// TOML file of settings; config/default.toml lists every key
    #[arg(long, env = "AIRLIFT_CONFIG", value_name = "FILE")]
    pub config: Option<PathBuf>,
    #[command(flatten)]
    pub options: Options,
}
