use std::process::{Command, Output};
use std::thread;
use std::time::Duration;

use airlift_testkit::{Mosquitto, MosquittoOptions};
use anyhow::{Result, ensure};

/// With `autosave_interval 1` the broker saves every two seconds.
const SAVED_AFTER: Duration = Duration::from_millis(3500);

#[test]
fn a_killed_broker_comes_back_with_its_retained_messages() -> Result<()> {
    let mut broker = Mosquitto::start(&MosquittoOptions::default())?;
    let published = client(
        "mosquitto_pub",
        broker.port(),
        &["-t", "airlift/kept", "-m", "still here", "-q", "1", "-r"],
    )?;
    ensure!(published.status.success(), "{published:?}");
    thread::sleep(SAVED_AFTER);

    broker.kill9()?;
    ensure!(
        !client("mosquitto_pub", broker.port(), &["-t", "x", "-m", "x"])?
            .status
            .success(),
        "a dead broker took a message"
    );
    broker.start_again()?;

    let got = client(
        "mosquitto_sub",
        broker.port(),
        &["-t", "airlift/kept", "-C", "1", "-W", "5"],
    )?;
    ensure!(got.stdout == b"still here\n", "{got:?}");
    Ok(())
}

#[test]
fn a_broker_with_users_refuses_everybody_else() -> Result<()> {
    let users = vec![("gateway-1".to_owned(), "secret".to_owned())];
    let broker = Mosquitto::start(&MosquittoOptions {
        users,
        ..MosquittoOptions::default()
    })?;
    let publish = |access: &[&str]| {
        let mut args = vec!["-t", "x", "-m", "x", "-q", "1"];
        args.extend(access);
        client("mosquitto_pub", broker.port(), &args)
    };
    ensure!(
        publish(&["-u", "gateway-1", "-P", "secret"])?
            .status
            .success()
    );
    ensure!(
        !publish(&["-u", "gateway-1", "-P", "guess"])?
            .status
            .success()
    );
    ensure!(!publish(&[])?.status.success());
    Ok(())
}

fn client(program: &str, port: u16, args: &[&str]) -> Result<Output> {
    Ok(Command::new(program)
        .args(["-h", "127.0.0.1", "-p", &port.to_string()])
        .args(args)
        .output()?)
}
