//! The command line, read and checked.

use std::{net::SocketAddr, num::NonZeroU64, path::PathBuf};

use airlift_bundle::{DEVICE_TYPE_BYTES_MAX, TrustedKey, keys::TrustedKeys};
use airlift_firmware::{TRUSTED_KEYS_MAX, Text, VERSION_BYTES_MAX};
use airlift_proto::{GATEWAY_ID_LENGTH_MAX, is_gateway_id};
use anyhow::{Result, anyhow, ensure};
use clap::{Parser, ValueEnum};

use crate::{
    board::{Board, BootloaderKind},
    credentials::{Credentials, Provisioning, Token, read_list},
    faults::Seed,
    flaws::{Flaw, Shares},
    local,
};

/// The keys that a gateway trusts.
pub type TrustedKeyList = heapless::Vec<TrustedKey, TRUSTED_KEYS_MAX>;

/// Largest `--fleet`.
const FLEET_MAX: u32 = 100_000;

/// An OTA gateway on this PC: takes upgrade commands over MQTT, downloads over HTTP (and goes on
/// where it was cut), checks MD5 and SHA-256, writes the image to the flash in a file, reports,
/// "reboots" into it, and keeps it once its first heartbeat is acknowledged; else the old one comes
/// back.
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

  airlift-gateway --board esp32c3 --flash c3.bin --local-listen 127.0.0.1:8080
      One that takes nothing but application images for the ESP32-C3, also over its own page:
        curl -u :PASSWORD -F firmware=@firmware.bin http://127.0.0.1:8080/api/ota/upload

  airlift-gateway --id LAB --fleet 1000 --flash fleet/lab.img
      A thousand gateways, LAB-0001 to LAB-1000, with fleet/lab-0001.img and so on.

  airlift-gateway --board esp32-wroom --trusted-keys keys/ --device-type gateway
      One that takes nothing but bundles for it that a key of the folder signed; over its page, too:
      their files, as `airlift bundle extract --help` shows.

  airlift-gateway --fleet 50 --faults --self-test-seconds 10
      Fifty with bad luck, by a random seed; it is printed, to have the same again.

  airlift-gateway --fleet 500 --never-answer 5 --roll-back 5 --wrong-digest 2
      Five hundred of which 25 never answer, 25 roll back and 10 corrupt each download. Always
      the same ones, spread over the fleet; they are told at start, a line for each kind.

  airlift-gateway --fleet 1000 --provisioning-key alp_...
      A thousand that make and claim their tokens themselves. The key is what
      airlift provisioning-key create shows; it may stand in AIRLIFT_PROVISIONING_KEY.

Boards:
  raw           two slots of 1 GiB; any bytes are an image
  esp32-wroom   ESP32 with 4 MB: two slots of 1.19 MiB
  esp32-wrover  ESP32 with 8 MB: two slots of 2 MiB
  esp32c3       ESP32-C3 with 4 MB: two slots of 1.875 MiB
  The ESP32 boards demand a valid application image for their chip (esptool elf2image, idf.py
  build); a fresh flash has a small one of --firmware-version in its first slot.

Files, kept between runs:
  FILE       the flash, byte for byte: the partition table at 0x8000, NVS (the gateway's memory)
             at 0x9000, otadata (which slot boots) at 0xe000, then the slots. A dump read from a
             device with esptool read-flash works too. Sparse: it takes little more room than what
             was written. Delete it to begin anew.
  FILE.lock  held while the program runs
  FILE.token the token that the gateway made itself (--provisioning-key); for its owner alone

Faults (--faults), each told as a line FAULT and counted at the end:
  power_cut     the power goes in a write or erase of the flash, which is left torn
  mqtt_drop     the connection to the broker drops
  http_drop     a download's connection drops
  corrupt_byte  a bit of a download is turned over (the upgrade fails: DIGEST_MISMATCH)
  low_battery   for a while upgrades are refused (BATTERY_LOW)
  bad_boot      a new image dies or stays silent for one to three boots; after three the old one
                is back"
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

    /// Tokens of a fleet: CSV gateway_id,token, as airlift gateway add --csv writes it
    #[arg(long, value_name = "FILE", conflicts_with = "token")]
    pub tokens: Option<PathBuf>,

    /// With it each gateway without a token makes one at its first start, keeps it as FILE.token and
    /// claims it at --server
    #[arg(long, value_name = "KEY", env = "AIRLIFT_PROVISIONING_KEY", hide_env_values = true,
          conflicts_with_all = ["token", "tokens"])]
    pub provisioning_key: Option<String>,

    /// Where tokens are claimed
    #[arg(long, value_name = "URL", default_value = "http://localhost:8018")]
    pub server: String,

    /// The flash file [default: ./<id>.img]; with --fleet N > 1 -0001 and so on is added to its name
    #[arg(long, value_name = "FILE")]
    pub flash: Option<PathBuf>,

    /// What the gateway is; raw takes any bytes whose digests fit
    #[arg(long, value_enum, default_value_t = Board::Raw, hide_possible_values = true)]
    pub board: Board,

    /// What starts the gateway
    #[arg(long, value_enum, default_value_t = BootloaderKind::Stock)]
    pub bootloader: BootloaderKind,

    /// Folder of OpenPGP public keys: only bundles that one of them signed are taken, no plain images
    #[arg(long, value_name = "DIR")]
    pub trusted_keys: Option<PathBuf>,

    /// The device type that bundles must be for; without it, any
    #[arg(long, value_name = "TYPE")]
    pub device_type: Option<String>,

    /// Battery charge in percent; under 20 every upgrade is refused
    #[arg(long, value_name = "PERCENT", default_value_t = 80,
          value_parser = clap::value_parser!(u8).range(0..=100))]
    pub battery: u8,

    /// Version at the very first start; later the flash knows
    #[arg(long, value_name = "VERSION", default_value = "1.0.1")]
    pub firmware_version: String,

    /// First level of the MQTT topics
    #[arg(long, value_name = "PREFIX", default_value = "hanqi")]
    pub topic_prefix: String,

    /// Time between two heartbeats
    #[arg(long, value_name = "SECONDS", default_value_t = 30,
          value_parser = clap::value_parser!(u32).range(1..))]
    pub heartbeat_seconds: u32,

    /// How long a new version may take to be heard at the broker before the old one comes back
    #[arg(long, value_name = "SECONDS", default_value_t = 300,
          value_parser = clap::value_parser!(u32).range(1..))]
    pub self_test_seconds: u32,

    /// Serve the upload page there, such as 127.0.0.1:8080; for a single gateway
    #[arg(long, value_name = "ADDRESS")]
    pub local_listen: Option<SocketAddr>,

    /// The upload page's password, any user name; without one a new one is printed at each start
    #[arg(
        long,
        value_name = "PASSWORD",
        env = "AIRLIFT_LOCAL_PASSWORD",
        hide_env_values = true
    )]
    pub local_password: Option<String>,

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

    /// Inject faults, the same by the same seed; without a number by a random one
    #[arg(long, value_name = "SEED", num_args = 0..=1, default_missing_value = "random")]
    pub faults: Option<Seed>,

    #[command(flatten)]
    pub flaws: Shares,

    /// How to write what happens to stdout, one line per thing
    #[arg(long, value_enum, default_value_t = LogFormat::Text)]
    pub log: LogFormat,
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
    /// Its number in the fleet, from 1; 0 alone.
    pub number: u32,
    pub flaw: Option<Flaw>,
    /// Once it has one.
    pub token: Option<Token>,
}

impl Args {
    /// The gateways to run, or what is wrong with the arguments.
    pub fn members(&self) -> Result<Vec<Member>> {
        self.first_version()?;
        ensure!(
            self.fleet == 1 || self.local_listen.is_none(),
            "--local-listen serves one gateway's page; leave --fleet away"
        );
        if let Some(password) = &self.local_password {
            local::check_password(password)?;
        }
        ensure!(
            !self.topic_prefix.is_empty() && !self.topic_prefix.contains(['+', '#', '\0']),
            "--topic-prefix {:?} is no MQTT topic: it must not be empty nor hold + or #",
            self.topic_prefix
        );
        let flaws = self.flaws.choose(self.fleet)?;
        let members: Vec<Member> = if self.fleet == 1 {
            vec![self.member(0, "", flaws[0])]
        } else {
            (1..=self.fleet)
                .zip(flaws)
                .map(|(number, flaw)| self.member(number, &format!("-{number:04}"), flaw))
                .collect()
        };
        let id = &members[members.len() - 1].id;
        ensure!(
            is_gateway_id(id),
            "{id:?} is no gateway id: 1 to {GATEWAY_ID_LENGTH_MAX} of A-Z a-z 0-9 . _ : -; choose another --id"
        );
        Ok(members)
    }

    /// Where the gateways' tokens come from.
    pub fn credentials(&self) -> Result<Credentials> {
        Ok(match (&self.tokens, &self.provisioning_key) {
            (Some(file), _) => Credentials::Listed(read_list(file)?),
            (None, Some(key)) => Credentials::Claimed(Provisioning::new(key, &self.server)?),
            (None, None) => Credentials::Given(self.token.clone().map(Token::new)),
        })
    }

    /// The keys of `--trusted-keys` that a gateway can check signatures by, and what to say of the
    /// others.
    pub fn trusted_keys(&self) -> Result<(TrustedKeyList, String)> {
        let Some(folder) = &self.trusted_keys else {
            return Ok((TrustedKeyList::new(), String::new()));
        };
        let keys = TrustedKeys::read(folder)?;
        let usable = keys.for_devices();
        ensure!(
            !usable.is_empty(),
            "--trusted-keys {}: no Ed25519 key is in it, and gateways can check no other; every \
             update would be refused. Sign with an Ed25519 key too, and put its public key there",
            folder.display()
        );
        ensure!(
            usable.len() <= TRUSTED_KEYS_MAX,
            "--trusted-keys {}: {} keys that sign are in it, a gateway takes {TRUSTED_KEYS_MAX}; \
             take the old ones away",
            folder.display(),
            usable.len()
        );
        let is_used = |name: &str| usable.iter().any(|key| key.name == name);
        let others = keys.keys().iter().filter(|key| !is_used(&key.name));
        let others: Vec<String> = others
            .map(|key| format!("{} ({})", key.name, key.algorithm))
            .collect();
        Ok((usable.into_iter().collect(), others.join(", ")))
    }

    /// What bundles must be for; empty: anything.
    pub fn device_type(&self) -> Result<Text<DEVICE_TYPE_BYTES_MAX>> {
        let device_type = self.device_type.as_deref().unwrap_or_default();
        device_type.try_into().map_err(|_| {
            anyhow!("--device-type must not have more than {DEVICE_TYPE_BYTES_MAX} bytes")
        })
    }

    /// The version of a flash that does not tell one.
    pub fn first_version(&self) -> Result<Text<VERSION_BYTES_MAX>> {
        let version = self.firmware_version.as_str();
        version.try_into().map_err(|_| {
            anyhow!("--firmware-version must not have more than {VERSION_BYTES_MAX} bytes")
        })
    }

    fn member(&self, number: u32, suffix: &str, flaw: Option<Flaw>) -> Member {
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
        Member {
            id,
            flash,
            number,
            flaw,
            token: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use airlift_bundle::keys::generate;

    use super::*;

    fn members(args: &[&str]) -> Result<Vec<Member>> {
        let args = [&["airlift-gateway"], args].concat();
        Args::try_parse_from(args)?.members()
    }

    fn member(number: u32, id: &str, flash: &str) -> Member {
        Member {
            id: id.into(),
            flash: flash.into(),
            number,
            flaw: None,
            token: None,
        }
    }

    #[test]
    fn one_gateway_by_default() {
        assert_eq!(
            members(&[]).unwrap(),
            [member(0, "SIM_GATEWAY_001", "SIM_GATEWAY_001.img")]
        );
    }

    #[test]
    fn a_fleet_numbers_its_ids_and_files() {
        assert_eq!(
            members(&["--id", "G", "--fleet", "2", "--flash", "d/x.img"]).unwrap(),
            [
                member(1, "G-0001", "d/x-0001.img"),
                member(2, "G-0002", "d/x-0002.img")
            ]
        );
        assert_eq!(
            members(&["--id", "G", "--fleet", "2"]).unwrap()[1],
            member(2, "G-0002", "G-0002.img")
        );
    }

    #[test]
    fn a_share_of_the_fleet_is_flawed() {
        let flaws = |args: &[&str]| -> Vec<Option<Flaw>> {
            let members = members(args).unwrap();
            members.into_iter().map(|member| member.flaw).collect()
        };
        assert_eq!(flaws(&["--never-answer=100"]), [Some(Flaw::NeverAnswer)]);
        let four = flaws(&["--fleet=4", "--roll-back=50", "--wrong-digest=25"]);
        let count = |flaw| four.iter().filter(|one| **one == flaw).count();
        assert_eq!(count(Some(Flaw::RollBack)), 2);
        assert_eq!(count(Some(Flaw::WrongDigest)), 1);
        assert_eq!(count(None), 1);
    }

    #[test]
    fn what_cannot_work_is_refused_with_advice() {
        let refusal = |args: &[&str]| members(args).unwrap_err().to_string();
        assert!(refusal(&["--id", "a/b"]).contains("choose another --id"));
        assert!(refusal(&["--id", "x".repeat(62).as_str(), "--fleet", "2"]).contains("--id"));
        assert!(refusal(&["--firmware-version", &"1".repeat(65)]).contains("64 bytes"));
        assert!(refusal(&["--faults", "x"]).contains("--faults"));
        let local = ["--local-listen", "127.0.0.1:0"];
        assert!(refusal(&[&local[..], &["--fleet", "2"]].concat()).contains("--fleet"));
        let empty = [&local[..], &["--local-password", ""]].concat();
        assert!(refusal(&empty).contains("--local-password"));
        assert!(refusal(&["--topic-prefix", "a/#"]).contains("no MQTT topic"));
        assert!(refusal(&["--battery", "101"]).contains("101"));
        assert!(refusal(&["--roll-back", "101"]).contains("101"));
        assert!(refusal(&["--roll-back", "60", "--wrong-digest", "60"]).contains("100 percent"));
    }

    #[test]
    fn the_keys_of_a_folder_are_trusted_if_a_gateway_can_check_them() {
        let folder = tempfile::tempdir().unwrap();
        let args = |folder: &std::path::Path| {
            let folder = folder.to_str().unwrap();
            Args::try_parse_from(["airlift-gateway", "--trusted-keys", folder]).unwrap()
        };
        let refusal = args(folder.path()).trusted_keys().unwrap_err().to_string();
        assert!(refusal.contains("no Ed25519 key"), "{refusal}");
        let (secret, public) = generate("Releases", None, None).unwrap();
        std::fs::write(folder.path().join("release.asc"), public).unwrap();
        let (keys, others) = args(folder.path()).trusted_keys().unwrap();
        assert_eq!((keys.len(), others.as_str()), (1, ""));
        assert_eq!(keys[0].name, "release");
        std::fs::write(folder.path().join("mine.asc"), secret).unwrap();
        assert!(args(folder.path()).trusted_keys().is_err());
        assert!(args(&folder.path().join("none")).trusted_keys().is_err());
        let none = Args::try_parse_from(["airlift-gateway"]).unwrap();
        assert!(none.trusted_keys().unwrap().0.is_empty());
    }

    #[test]
    fn a_seed_of_faults_is_given_or_drawn() {
        let faults = |args: &[&str]| {
            let args = [&["airlift-gateway"], args].concat();
            Args::try_parse_from(args).unwrap().faults
        };
        assert_eq!(faults(&[]), None);
        assert_eq!(faults(&["--faults", "42"]), Some(Seed(42)));
        assert!(faults(&["--faults"]).is_some());
        assert!(faults(&["--faults", "--log", "json"]).is_some());
        assert!(faults(&["--faults", "random"]).is_some());
    }
}
