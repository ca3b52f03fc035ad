//! The command line, read and checked.

use std::{num::NonZeroU64, path::PathBuf};

use airlift_proto::{GATEWAY_ID_LENGTH_MAX, is_gateway_id};
use anyhow::{Result, ensure};
use clap::{Parser, ValueEnum};

/// Largest `--fleet`.
const FLEET_MAX: u32 = 100_000;

/// An OTA gateway on this PC: takes upgrade commands over MQTT, downloads over HTTP (and goes on
/// where it was cut), checks MD5 and SHA-256, writes the image to a file, reports, "reboots" and
/// heartbeats with the new version.
#[derive(Debug, Parser)]
#[command(
    name = "airlift-gateway",
    version,
    after_help = "\
Examples:
  airlift-gateway
      The gateway SIM_GATEWAY_001 at the server's built-in broker, mqtt://localhost:1885.
      Then send it an upgrade:
        curl -X POST http://localhost:8018/api/ota/upgrade/SIM_GATEWAY_001 \\
             -H 'Content-Type: application/json' -d '{\"version\": \"1.0.2\"}'

  airlift-gateway --id LAB --fleet 1000 --flash fleet/lab.img
      A thousand gateways, LAB-0001 to LAB-1000, with fleet/lab-0001.img and so on.

Files, beside each other and kept between runs:
  FILE             the image that runs
  FILE.part        a partial download
  FILE.state.json  version, running upgrade, ended upgrades; delete it to begin anew
  FILE.lock        held while the program runs"
)]
pub struct Args {
    /// Gateway id; with --fleet N > 1 the ids are ID-0001 to ID-N
    #[arg(long, default_value = "SIM_GATEWAY_001")]
    pub id: String,

    /// Broker: mqtt:// or mqtts://[user:password@]host[:port]
    #[arg(long, value_name = "URL", default_value = "mqtt://localhost:1885")]
    pub mqtt: String,

    /// The gateway's token: MQTT password (with the id as user name) and download credential
    #[arg(long, env = "AIRLIFT_GATEWAY_TOKEN", hide_env_values = true)]
    pub token: Option<String>,

    /// The image file [default: ./<id>.img]; with --fleet N > 1 -0001 and so on is added to its name
    #[arg(long, value_name = "FILE")]
    pub flash: Option<PathBuf>,

    /// What the gateway is; raw takes any bytes whose digests fit
    #[arg(long, value_enum, default_value_t = Board::Raw)]
    pub board: Board,

    /// Battery charge in percent; under 20 every upgrade is refused
    #[arg(long, value_name = "PERCENT", default_value_t = 80,
          value_parser = clap::value_parser!(u8).range(0..=100))]
    pub battery: u8,

    /// Version at the very first start; later the state file knows
    #[arg(long, value_name = "VERSION", default_value = "1.0.1")]
    pub firmware_version: String,

    /// First level of the MQTT topics
    #[arg(long, value_name = "PREFIX", default_value = "hanqi")]
    pub topic_prefix: String,

    /// Time between two heartbeats
    #[arg(long, value_name = "SECONDS", default_value_t = 30,
          value_parser = clap::value_parser!(u32).range(1..))]
    pub heartbeat_seconds: u32,

    /// Run N gateways in this process. With N > 1 their files survive a killed process but not a
    /// power cut (no fsync)
    #[arg(long, value_name = "N", default_value_t = 1,
          value_parser = clap::value_parser!(u32).range(1..=i64::from(FLEET_MAX)))]
    pub fleet: u32,

    /// End when each gateway has had one upgrade: with 0 after the broker has the new version's
    /// heartbeat, with 1 if an upgrade failed
    #[arg(long)]
    pub exit_after_update: bool,

    /// How long a reboot takes
    #[arg(long, value_name = "SECONDS", default_value_t = 1)]
    pub reboot_seconds: u32,

    /// Slow each download down to this
    #[arg(long, value_name = "BYTES")]
    pub download_bytes_per_second: Option<NonZeroU64>,

    /// How to write what happens to stdout, one line per thing
    #[arg(long, value_enum, default_value_t = LogFormat::Text)]
    pub log: LogFormat,
}

/// The hardware to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Board {
    /// Any bytes are an image, and FILE is the running one
    Raw,
    Esp32Wroom,
    Esp32Wrover,
    Esp32c3,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    Text,
    Json,
}

/// One gateway of the fleet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    pub id: String,
    pub flash: PathBuf,
}

impl Args {
    /// The gateways to run, or what is wrong with the arguments.
    pub fn members(&self) -> Result<Vec<Member>> {
        ensure!(
            self.board == Board::Raw,
            "this build simulates --board raw alone; the ESP32 boards come with the flash core"
        );
        ensure!(
            !self.topic_prefix.is_empty() && !self.topic_prefix.contains(['+', '#', '\0']),
            "--topic-prefix {:?} is no MQTT topic: it must not be empty nor hold + or #",
            self.topic_prefix
        );
        let members: Vec<Member> = if self.fleet == 1 {
            vec![self.member("")]
        } else {
            (1..=self.fleet)
                .map(|number| self.member(&format!("-{number:04}")))
                .collect()
        };
        let id = &members[members.len() - 1].id;
        ensure!(
            is_gateway_id(id),
            "{id:?} is no gateway id: 1 to {GATEWAY_ID_LENGTH_MAX} of A-Z a-z 0-9 . _ : -; choose another --id"
        );
        Ok(members)
    }

    fn member(&self, suffix: &str) -> Member {
        let id = format!("{}{suffix}", self.id);
        let flash = match &self.flash {
            None => PathBuf::from(format!("{id}.img")),
            Some(flash) if suffix.is_empty() => flash.clone(),
            Some(flash) => {
                let mut name = flash.file_stem().unwrap_or_default().to_os_string();
                name.push(suffix);
                if let Some(extension) = flash.extension() {
                    name.push(".");
                    name.push(extension);
                }
                flash.with_file_name(name)
            }
        };
        Member { id, flash }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn members(args: &[&str]) -> Result<Vec<Member>> {
        let args = [&["airlift-gateway"], args].concat();
        Args::try_parse_from(args)?.members()
    }

    fn member(id: &str, flash: &str) -> Member {
        Member {
            id: id.into(),
            flash: flash.into(),
        }
    }

    #[test]
    fn one_gateway_by_default() {
        assert_eq!(
            members(&[]).unwrap(),
            [member("SIM_GATEWAY_001", "SIM_GATEWAY_001.img")]
        );
    }

    #[test]
    fn a_fleet_numbers_its_ids_and_files() {
        assert_eq!(
            members(&["--id", "G", "--fleet", "2", "--flash", "d/x.img"]).unwrap(),
            [
                member("G-0001", "d/x-0001.img"),
                member("G-0002", "d/x-0002.img")
            ]
        );
        assert_eq!(
            members(&["--id", "G", "--fleet", "2"]).unwrap()[1],
            member("G-0002", "G-0002.img")
        );
    }

    #[test]
    fn what_cannot_work_is_refused_with_advice() {
        let refusal = |args: &[&str]| members(args).unwrap_err().to_string();
        assert!(refusal(&["--id", "a/b"]).contains("choose another --id"));
        assert!(refusal(&["--id", "x".repeat(62).as_str(), "--fleet", "2"]).contains("--id"));
        assert!(refusal(&["--board", "esp32c3"]).contains("flash core"));
        assert!(refusal(&["--topic-prefix", "a/#"]).contains("no MQTT topic"));
        assert!(refusal(&["--battery", "101"]).contains("101"));
    }
}
