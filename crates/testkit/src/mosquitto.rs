//! A real Mosquitto broker, for tests of the outside broker (`--mqtt-url`).

use std::fmt::Write as _;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::{Process, Scratch, free_port, programs};

const READY_LIMIT: Duration = Duration::from_secs(20);
const CONNECT_LIMIT: Duration = Duration::from_secs(1);

/// How the broker is set up.
#[derive(Debug, Clone, Default)]
pub struct MosquittoOptions {
    /// User names and passwords. None: everybody may connect.
    pub users: Vec<(String, String)>,
    /// Further lines for `mosquitto.conf`, like `message_size_limit 1000`.
    pub extra_config: Vec<String>,
}

/// A running broker. It saves its state about once a second, in the main loop and so *after* it has
/// acknowledged it: a kill at the wrong moment loses a message, as it does in the field.
#[derive(Debug)]
pub struct Mosquitto {
    process: Process,
    port: u16,
}

impl Mosquitto {
    /// Starts a broker and waits until it accepts connections.
    ///
    /// # Errors
    /// When Mosquitto is not installed or does not start.
    pub fn start(options: &MosquittoOptions) -> Result<Self> {
        let program = programs::program("mosquitto", "mosquitto")?;
        let scratch = Arc::new(Scratch::new("mosquitto")?);
        let folder = scratch.path().display().to_string();
        let port = free_port()?;
        let access = if options.users.is_empty() {
            "allow_anonymous true".to_owned()
        } else {
            write_passwords(&scratch, &options.users)?;
            format!("allow_anonymous false\npassword_file {folder}/passwords")
        };
        // `user root`: started as root it would else become a user who may not write our folder.
        let mut config = format!(
            "user root\n\
             listener {port} 127.0.0.1\n\
             {access}\n\
             persistence true\n\
             persistence_location {folder}/\n\
             persistence_file mosquitto.db\n\
             autosave_interval 1\n\
             autosave_on_changes false\n\
             persistent_client_expiration 1d\n\
             max_inflight_messages 0\n\
             max_queued_messages 1000000\n\
             log_dest stdout\n"
        );
        for line in &options.extra_config {
            writeln!(config, "{line}")?;
        }
        let config_path = format!("{folder}/mosquitto.conf");
        fs::write(&config_path, config)?;
        let process = Process::spawn_in(scratch, program, &["-c", &config_path], &[], "mosquitto")?;
        let mut broker = Self { process, port };
        broker.wait_until_ready()?;
        Ok(broker)
    }

    /// `mqtt://127.0.0.1:<port>`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("mqtt://127.0.0.1:{}", self.port)
    }

    /// The port, the same after [`Mosquitto::start_again`].
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// SIGKILL.
    ///
    /// # Errors
    /// When it had already ended.
    pub fn kill9(&mut self) -> Result<()> {
        self.process.kill9()
    }

    /// SIGTERM; the broker saves its state. Gone when this returns.
    ///
    /// # Errors
    /// When it had already ended or does not end in time.
    pub fn terminate(&mut self) -> Result<()> {
        self.process.terminate(READY_LIMIT).map(drop)
    }

    /// Starts the ended broker on its port with what it had saved.
    ///
    /// # Errors
    /// When it still runs or does not come up.
    pub fn start_again(&mut self) -> Result<()> {
        self.process.start_again()?;
        self.wait_until_ready()
    }

    /// What the broker has logged: connections, refusals.
    #[must_use]
    pub fn log(&self) -> String {
        self.process.log()
    }

    fn wait_until_ready(&mut self) -> Result<()> {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, self.port));
        self.process
            .wait_until("accepting connections", READY_LIMIT, || {
                TcpStream::connect_timeout(&address, CONNECT_LIMIT).is_ok()
            })
    }
}

fn write_passwords(scratch: &Scratch, users: &[(String, String)]) -> Result<()> {
    let program = programs::program("mosquitto_passwd", "mosquitto")?;
    let file = scratch.path().join("passwords");
    fs::write(&file, "")?;
    for (user, password) in users {
        let output = Command::new(&program)
            .arg("-b")
            .arg(&file)
            .args([user, password])
            .stdin(Stdio::null())
            .output()
            .context("running mosquitto_passwd")?;
        if !output.status.success() {
            bail!(
                "mosquitto_passwd refused the user {user}: {}",
                String::from_utf8_lossy(&output.stderr).trim()
            );
        }
    }
    Ok(())
}
