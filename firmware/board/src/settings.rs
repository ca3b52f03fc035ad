//! What a board is delivered with: strings in NVS, written by ESP-IDF's own tools.

use core::{error::Error, fmt};

use airlift_bundle::{DEVICE_TYPE_BYTES_MAX, TrustedKey};
use airlift_firmware::{
    TRUSTED_KEYS_MAX,
    flash::{
        nvs::{Nvs, NvsError},
        partition_table::{PartitionTable, TableError},
    },
};
use airlift_proto::is_gateway_id;
use embedded_storage::nor_flash::NorFlash;
use heapless::{String, Vec};

const NAMESPACE: &str = "airlift";
/// Registered at IANA for MQTT.
const MQTT_PORT: u16 = 1883;
const PREFIX: &str = "hanqi";
/// Longest string that is read, bytes: that of a trusted key.
const TEXT_BYTES_MAX: usize = 192;
/// The NVS keys of trusted keys.
const TRUSTED_KEYS: [&str; TRUSTED_KEYS_MAX] = [
    "key0", "key1", "key2", "key3", "key4", "key5", "key6", "key7",
];

/// Everything a gateway must be told before it can reach its server.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// Key `id`.
    pub id: String<64>,
    /// Key `mqtt_host`: the broker's name or IPv4 address.
    pub mqtt_host: String<64>,
    /// Key `mqtt_port`, a u16; 1883 if it is missing.
    pub mqtt_port: u16,
    /// Key `token`: password at the broker and for downloads; may be empty.
    pub token: String<128>,
    /// Key `prefix` of the topics; `hanqi` if it is missing.
    pub prefix: String<32>,
    /// Key `page_pass`: the upload page's password; without one nothing can be uploaded.
    pub page_pass: String<64>,
    /// Key `ssid` of the Wi-Fi; may be empty.
    pub ssid: String<32>,
    /// Key `psk` of the Wi-Fi; may be empty.
    pub psk: String<64>,
    /// Key `device_type`: what bundles must be for; any if it is missing.
    pub device_type: String<DEVICE_TYPE_BYTES_MAX>,
    /// Keys `key0` to `key7`, each a trusted key's line: whose bundles are taken. With none, anyone's.
    pub trusted_keys: Vec<TrustedKey, TRUSTED_KEYS_MAX>,
    /// Why the broker cannot be reached with these. The gateway still boots with them: an image on
    /// trial must be able to fail its trial, whatever it makes of the settings.
    pub problem: Option<SettingsError>,
}

/// Why the settings cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SettingsError {
    /// There is no partition table that can be used.
    Table(TableError),
    /// The partition table has no NVS partition.
    NoNvs,
    /// The NVS cannot be read.
    Unreadable,
    /// The value of this key is too long, or not of the type that is expected.
    Unusable(&'static str),
    /// This key is missing.
    Missing(&'static str),
    /// The id is not 1 to 64 of `A-Z a-z 0-9 . _ : -`.
    Id,
}

impl fmt::Display for SettingsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SettingsError::Table(error) => write!(f, "the partition table cannot be used: {error}"),
            SettingsError::NoNvs => f.write_str("the partition table has no nvs partition"),
            SettingsError::Unreadable => f.write_str("the nvs partition cannot be read"),
            SettingsError::Unusable(key) => {
                write!(
                    f,
                    "the value of {NAMESPACE}/{key} in NVS is too long or of another type"
                )
            }
            SettingsError::Missing(key) => {
                write!(f, "{NAMESPACE}/{key} is missing in NVS; provision it")
            }
            SettingsError::Id => write!(
                f,
                "{NAMESPACE}/id in NVS is no gateway id: 1 to 64 of A-Z a-z 0-9 . _ : -"
            ),
        }
    }
}

impl Error for SettingsError {}

impl Settings {
    /// Reads them; `default_id` is taken where no id is.
    pub fn read<F: NorFlash>(flash: &mut F, default_id: &str) -> Self {
        let mut settings = Settings {
            mqtt_port: MQTT_PORT,
            ..Settings::default()
        };
        settings.problem = settings.fill(flash, default_id).err();
        if settings.problem == Some(SettingsError::Unreadable) && settings.trusted_keys.is_empty() {
            // There may be keys.
            let _ = settings.trusted_keys.push(nobody());
        }
        if settings.id.is_empty() {
            settings.id = String::try_from(default_id).unwrap_or_default();
        }
        settings
    }

    fn fill<F: NorFlash>(&mut self, flash: &mut F, default_id: &str) -> Result<(), SettingsError> {
        let table = PartitionTable::read(flash).map_err(SettingsError::Table)?;
        let partition = table.find_nvs().ok_or(SettingsError::NoNvs)?;
        let nvs = Nvs::mount(flash, partition).map_err(|_| SettingsError::Unreadable)?;
        let mut reader = Reader {
            nvs,
            flash,
            problem: None,
        };
        self.id = reader.text_or("id", default_id);
        if !is_gateway_id(&self.id) {
            self.id.clear();
            reader.problem.get_or_insert(SettingsError::Id);
        }
        self.ssid = reader.text_or("ssid", "");
        self.psk = reader.text_or("psk", "");
        self.page_pass = reader.text_or("page_pass", "");
        self.token = reader.text_or("token", "");
        self.prefix = reader.text_or("prefix", PREFIX);
        self.device_type = reader.text_or("device_type", "");
        for key in TRUSTED_KEYS {
            if let Some(trusted) = reader.trusted_key(key) {
                // There is room for all.
                let _ = self.trusted_keys.push(trusted);
            }
        }
        self.mqtt_port = reader.number_or("mqtt_port", MQTT_PORT);
        self.mqtt_host = reader.text_or("mqtt_host", "");
        if self.mqtt_host.is_empty() {
            let missing = SettingsError::Missing("mqtt_host");
            reader.problem.get_or_insert(missing);
        }
        reader.problem.map_or(Ok(()), Err)
    }
}

/// Reads each value by itself, so that one that is unusable does not hide the others.
struct Reader<'f, F> {
    nvs: Nvs,
    flash: &'f mut F,
    /// The first of them.
    problem: Option<SettingsError>,
}

impl<F: NorFlash> Reader<'_, F> {
    fn text<const N: usize>(
        &mut self,
        key: &'static str,
    ) -> Result<Option<String<N>>, SettingsError> {
        let mut buffer = [0; TEXT_BYTES_MAX];
        let found = self.nvs.get_str(self.flash, NAMESPACE, key, &mut buffer);
        match found.map_err(|error| unusable(&error, key))? {
            None => Ok(None),
            Some(text) => String::try_from(text)
                .map(Some)
                .map_err(|_| SettingsError::Unusable(key)),
        }
    }

    fn text_or<const N: usize>(&mut self, key: &'static str, default: &str) -> String<N> {
        let found = self.text(key).unwrap_or_else(|problem| {
            self.problem.get_or_insert(problem);
            None
        });
        found
            .filter(|text: &String<N>| !text.is_empty())
            .unwrap_or_else(|| String::try_from(default).unwrap_or_default())
    }

    /// For a key that cannot be read stands one that signs nothing: without any the gateway would take
    /// everything.
    fn trusted_key(&mut self, key: &'static str) -> Option<TrustedKey> {
        let line = self.text::<TEXT_BYTES_MAX>(key);
        let line = match line {
            Ok(None) => return None,
            Ok(Some(line)) if line.trim_ascii().is_empty() => return None,
            other => other.ok().flatten(),
        };
        let parsed = line.and_then(|line| line.parse().ok());
        if parsed.is_none() {
            self.problem.get_or_insert(SettingsError::Unusable(key));
        }
        Some(parsed.unwrap_or_else(nobody))
    }

    fn number_or(&mut self, key: &'static str, default: u16) -> u16 {
        match self.nvs.get_u16(self.flash, NAMESPACE, key) {
            Ok(found) => found.unwrap_or(default),
            Err(error) => {
                self.problem.get_or_insert(unusable(&error, key));
                default
            }
        }
    }
}

/// A key by which no signature is good, for it never begins to sign.
fn nobody() -> TrustedKey {
    TrustedKey {
        name: String::new(),
        public_key: [0; 32],
        fingerprint: [0; 20],
        valid_from: i64::MAX,
        valid_until: Some(i64::MIN),
    }
}

fn unusable<E>(error: &NvsError<E>, key: &'static str) -> SettingsError {
    match error {
        NvsError::Flash(_) => SettingsError::Unreadable,
        _ => SettingsError::Unusable(key),
    }
}
