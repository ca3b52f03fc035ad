use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

use airlift_testkit::FaultProxy;
use anyhow::{Result, ensure};

/// Longer than any forwarding on loopback takes.
const SILENCE: Duration = Duration::from_millis(300);
const LIMIT: Duration = Duration::from_secs(10);
const SOURCE_SIZE: usize = 20_000;

#[test]
fn a_cut_ends_open_connections_and_is_counted() -> Result<()> {
    let proxy = FaultProxy::start(echo()?)?;
    ensure!(
        proxy.cut() == 0 && proxy.cuts_fired() == 0,
        "a cut without connections counted"
    );
    let mut client = connect(&proxy)?;
    ensure!(ask(&mut client, b"hello")? == b"hello");

    ensure!(proxy.cut() == 1 && proxy.cuts_fired() == 1);
    ensure!(is_ended(&mut client), "the connection lives");

    ensure!(ask(&mut connect(&proxy)?, b"again")? == b"again");
    ensure!(proxy.connections() == 2);
    Ok(())
}

#[test]
fn a_cut_after_n_bytes_lets_exactly_n_pass_and_fires_once() -> Result<()> {
    let proxy = FaultProxy::start(source()?)?;
    let download = || -> Result<usize> {
        let mut got = Vec::new();
        connect(&proxy)?.read_to_end(&mut got)?;
        Ok(got.len())
    };
    proxy.cut_after(10_000);
    ensure!(download()? == 10_000 && proxy.cuts_fired() == 1);
    ensure!(download()? == SOURCE_SIZE && proxy.cuts_fired() == 1);
    Ok(())
}

#[test]
fn an_upload_is_cut_before_its_target_has_all() -> Result<()> {
    let (target, received) = sink()?;
    let proxy = FaultProxy::start(target)?;
    proxy.cut_upload_after(3);
    let mut client = connect(&proxy)?;
    client.write_all(b"hello")?;
    ensure!(is_ended(&mut client), "the connection lives");
    ensure!(received.recv_timeout(LIMIT)? == b"hel" && proxy.cuts_fired() == 1);
    Ok(())
}

#[test]
fn a_stall_holds_bytes_back_and_a_refusal_turns_away_only_newcomers() -> Result<()> {
    let proxy = FaultProxy::start(echo()?)?;
    let mut client = connect(&proxy)?;
    ensure!(ask(&mut client, b"hello")? == b"hello");

    proxy.stall(true);
    client.write_all(b"later")?;
    client.set_read_timeout(Some(SILENCE))?;
    let mut answer = [0; 5];
    let silence = client.read(&mut answer).map_err(|error| error.kind());
    ensure!(silence == Err(ErrorKind::WouldBlock), "{silence:?}");
    proxy.stall(false);
    client.set_read_timeout(Some(LIMIT))?;
    client.read_exact(&mut answer)?;
    ensure!(&answer == b"later");

    proxy.refuse(true)?;
    let refused = TcpStream::connect(proxy.addr()).map_err(|error| error.kind());
    ensure!(
        refused.as_ref().err() == Some(&ErrorKind::ConnectionRefused),
        "{refused:?}"
    );
    ensure!(ask(&mut client, b"alive")? == b"alive");
    proxy.refuse(false)?;
    ensure!(ask(&mut connect(&proxy)?, b"again")? == b"again");
    Ok(())
}

fn echo() -> Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            thread::spawn(move || std::io::copy(&mut &stream, &mut &stream));
        }
    });
    Ok(address)
}

/// Sends [`SOURCE_SIZE`] bytes to everybody.
fn source() -> Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            // The proxy may hang up in the middle: that is the test.
            let _ = stream.write_all(&[7; SOURCE_SIZE]);
        }
    });
    Ok(address)
}

/// Tells what its first client sent.
fn sink() -> Result<(SocketAddr, Receiver<Vec<u8>>)> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    let (tell, told) = channel();
    thread::spawn(move || -> Result<()> {
        let mut got = Vec::new();
        listener.accept()?.0.read_to_end(&mut got)?;
        Ok(tell.send(got)?)
    });
    Ok((address, told))
}

fn connect(proxy: &FaultProxy) -> Result<TcpStream> {
    let stream = TcpStream::connect(proxy.addr())?;
    stream.set_read_timeout(Some(LIMIT))?;
    Ok(stream)
}

fn ask(stream: &mut TcpStream, words: &[u8]) -> Result<Vec<u8>> {
    stream.write_all(words)?;
    let mut answer = vec![0; words.len()];
    stream.read_exact(&mut answer)?;
    Ok(answer)
}

fn is_ended(stream: &mut TcpStream) -> bool {
    let mut rest = Vec::new();
    match stream.read_to_end(&mut rest) {
        Ok(_) => rest.is_empty(),
        Err(error) => error.kind() == ErrorKind::ConnectionReset,
    }
}
