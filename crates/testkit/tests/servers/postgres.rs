use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use airlift_testkit::{Durability, Postgres, TestDatabase};
use anyhow::{Context, Result, ensure};

const CLEANUP_LIMIT: Duration = Duration::from_secs(15);

#[test]
fn a_killed_cluster_comes_back_with_its_data_and_leaves_nothing_behind() -> Result<()> {
    let mut postgres = Postgres::start(Durability::Real)?;
    let (url, data) = (postgres.url(), postgres.psql("SHOW data_directory")?);
    postgres.psql("CREATE TABLE kept (word text); INSERT INTO kept VALUES ('still here')")?;

    postgres.kill9()?;
    ensure!(
        postgres.psql("SELECT 1").is_err(),
        "a killed server answers"
    );
    ensure!(postgres.kill9().is_err(), "a dead server was killed again");
    postgres.start_again()?;

    ensure!(postgres.url() == url, "the URL changed");
    ensure!(postgres.psql("SELECT word FROM kept")? == "still here");
    ensure!(
        postgres.log().contains("was not properly shut down"),
        "the kill was no kill: {}",
        postgres.log()
    );

    postgres.kill9()?;
    let pid_file = std::fs::read_to_string(Path::new(&data).join("postmaster.pid"))?;
    drop(postgres);
    ensure!(!Path::new(&data).exists(), "{data} is still there");
    let shared_memory = pid_file
        .lines()
        .nth(6)
        .and_then(|line| line.split_whitespace().nth(1))
        .context("no segment")?;
    let listed = Command::new("ipcs").arg("-m").output()?;
    let listed = String::from_utf8_lossy(&listed.stdout).into_owned();
    ensure!(
        !listed.split_whitespace().any(|word| word == shared_memory),
        "segment {shared_memory} remains:\n{listed}"
    );
    Ok(())
}

#[test]
fn a_cluster_that_may_lose_commits_is_not_killed() -> Result<()> {
    let mut postgres = Postgres::start(Durability::Fast)?;
    let refused = postgres.kill9().err().context("it was killed")?;
    ensure!(
        refused.to_string().contains("Durability::Real"),
        "{refused}"
    );
    Ok(())
}

#[test]
fn two_test_databases_do_not_see_each_other_and_are_dropped_while_in_use() -> Result<()> {
    let (one, other) = (TestDatabase::create()?, TestDatabase::create()?);
    one.psql("CREATE TABLE mine (id int)")?;
    ensure!(
        other.psql("SELECT * FROM mine").is_err(),
        "a table of another database was seen"
    );

    let name = one.name().to_owned();
    let mut user = Command::new("psql")
        .args(["-d", one.url(), "-c", "SELECT pg_sleep(60)"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()?;
    let in_use = format!("SELECT count(*) FROM pg_stat_activity WHERE datname = '{name}'");
    wait_until("a connection", || Ok(other.psql(&in_use)? == "1"))?;
    drop(one);
    ensure!(
        !user.wait()?.success(),
        "the connection outlived its database"
    );
    ensure!(
        other.psql(&format!(
            "SELECT count(*) FROM pg_database WHERE datname = '{name}'"
        ))? == "0"
    );
    Ok(())
}

#[test]
fn a_killed_test_process_leaves_neither_server_nor_folder() -> Result<()> {
    let example = std::env::current_exe()?;
    let example = example
        .ancestors()
        .nth(2)
        .context("no target folder")?
        .join("examples/postgres_for_tests");
    let mut holder = Command::new(&example)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .with_context(|| format!("starting {}", example.display()))?;
    let mut url = String::new();
    BufReader::new(holder.stdout.take().context("no output")?).read_line(&mut url)?;
    let url = url.trim();
    let output = Command::new("psql")
        .args(["-tA", "-d", url, "-c", "SHOW data_directory"])
        .output()?;
    let data = String::from_utf8(output.stdout)?.trim().to_owned();
    ensure!(Path::new(&data).exists(), "no cluster at {url}");
    let address: SocketAddr = url
        .split(['@', '/'])
        .nth(3)
        .context("no address")?
        .parse()?;

    holder.kill()?;
    holder.wait()?;

    wait_until("an end of the server", || {
        Ok(TcpStream::connect(address).is_err())
    })?;
    let folder = Path::new(&data).parent().context("no folder")?;
    wait_until("an end of the folder", || Ok(!folder.exists()))
}

fn wait_until(what: &str, mut done: impl FnMut() -> Result<bool>) -> Result<()> {
    let start = Instant::now();
    while !done()? {
        ensure!(
            start.elapsed() < CLEANUP_LIMIT,
            "{what} did not come within {CLEANUP_LIMIT:?}"
        );
        thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}
