//! Starts a PostgreSQL cluster for a whole test run, prints its URL on one line, and keeps it until
//! standard input ends. `test.sh` starts this once and hands the URL to all test processes.

use std::io;

use airlift_testkit::{Durability, Postgres};

fn main() -> anyhow::Result<()> {
    let postgres = Postgres::start(Durability::Fast)?;
    println!("{}", postgres.url());
    io::copy(&mut io::stdin().lock(), &mut io::sink())?;
    Ok(())
}
