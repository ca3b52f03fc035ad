//! Firmwares that a build pushes.

use std::{
    fs::{self, File},
    io::{Read, Write},
    net::TcpStream,
    path::{Path, PathBuf},
    time::Instant,
};

use airlift_testkit::Scratch;
use anyhow::{Context, Result, ensure};
use md5::{Digest, Md5};
use serde_json::Map;
use sha2::Sha256;

use super::run;
use crate::{
    Plan,
    figure::{Aim, Figure, Round},
    memory::{memory, reset_peak},
    server::{Broker, Database, Server},
};

const SMALL_BYTES: usize = 1_500_000;
const SMALL_FILES: usize = 100;
const LARGE_BYTES: usize = 1_000_000_000;
const PIECE_BYTES: usize = 1 << 20;
const BOUNDARY: &str = "airlift-load-boundary";

pub fn small(plan: &Plan) -> Result<Vec<Figure>> {
    let files = plan.scaled(SMALL_FILES);
    run(measure(plan, "upload.small", files, SMALL_BYTES))
}

pub fn large(plan: &Plan) -> Result<Vec<Figure>> {
    let bytes = plan.scaled(LARGE_BYTES);
    run(measure(plan, "upload.large", 1, bytes))
}

async fn measure(plan: &Plan, name: &str, files: usize, bytes: usize) -> Result<Vec<Figure>> {
    let server = Server::start(Database::Postgres, Broker::Mosquitto, &[]).await?;
    let folder = Scratch::new("upload")?;
    let sources: Vec<PathBuf> = (0..files)
        .map(|number| folder.path().join(format!("source-{number}")))
        .collect();
    for source in &sources {
        generate(source, bytes)?;
    }
    let before = memory(server.pid())?;
    reset_peak(server.pid())?;
    let mut rounds = Vec::new();
    for round in 0..plan.rounds {
        make_new(&sources, round)?;
        let megabytes = (files * bytes) as f64 / 1e6;
        let (copied, uploaded) = tokio::task::block_in_place(|| {
            let copied = timed(|| copy_all(&sources, folder.path()))?;
            let uploaded = timed(|| upload_all(server.http_port, &sources, round))?;
            anyhow::Ok((copied, uploaded))
        })?;
        rounds.push(Round {
            value: megabytes / uploaded,
            limit: Some(megabytes / copied),
        });
    }
    let after = memory(server.pid())?;
    Ok(vec![
        Figure {
            name: name.to_owned(),
            unit: "MB/s",
            aim: Aim::RatioMin(0.9),
            limit: "a thread that reads, hashes (MD5, SHA-256), writes and syncs the same files",
            rounds,
            details: Map::new(),
        }
        .detail("files", files)
        .detail("fileBytes", bytes)
        .memory(before, after),
    ])
}

fn timed(work: impl FnOnce() -> Result<()>) -> Result<f64> {
    let began = Instant::now();
    work()?;
    Ok(began.elapsed().as_secs_f64())
}

fn generate(path: &Path, bytes: usize) -> Result<()> {
    let mut piece = vec![0; PIECE_BYTES];
    let mut file = File::create(path)?;
    let (mut left, mut number) = (bytes, 0_u64);
    while left > 0 {
        for word in piece.chunks_exact_mut(8) {
            number += 1;
            word.copy_from_slice(&number.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes());
        }
        let length = left.min(piece.len());
        file.write_all(&piece[..length])?;
        left -= length;
    }
    Ok(file.sync_all()?)
}

/// Bytes that were uploaded before would not be stored again.
fn make_new(sources: &[PathBuf], round: usize) -> Result<()> {
    for (number, source) in sources.iter().enumerate() {
        let mut file = File::options().write(true).open(source)?;
        file.write_all(format!("{round:4}{number:4}").as_bytes())?;
        file.sync_all()?;
    }
    Ok(())
}

/// What a server can't do without: digests, and a copy that outlives a power cut.
fn copy_all(sources: &[PathBuf], folder: &Path) -> Result<()> {
    let copies = folder.join("copies");
    fs::create_dir(&copies)?;
    let mut piece = vec![0; PIECE_BYTES];
    for (number, source) in sources.iter().enumerate() {
        let mut source = File::open(source)?;
        let mut copy = File::create(copies.join(number.to_string()))?;
        let (mut md5, mut sha256) = (Md5::new(), Sha256::new());
        loop {
            let length = source.read(&mut piece)?;
            if length == 0 {
                break;
            }
            md5.update(&piece[..length]);
            sha256.update(&piece[..length]);
            copy.write_all(&piece[..length])?;
        }
        std::hint::black_box((md5.finalize(), sha256.finalize()));
        copy.sync_all()?;
        File::open(&copies)?.sync_all()?;
    }
    Ok(fs::remove_dir_all(&copies)?)
}

/// One after the other over one connection.
fn upload_all(port: u16, sources: &[PathBuf], round: usize) -> Result<()> {
    let mut server = TcpStream::connect(("127.0.0.1", port))?;
    server.set_nodelay(true)?;
    let mut piece = vec![0; PIECE_BYTES];
    for (number, source) in sources.iter().enumerate() {
        let mut source = File::open(source)?;
        let (head, tail) = around(source.metadata()?.len(), &format!("1.{round}.{number}"));
        server.write_all(head.as_bytes())?;
        loop {
            let length = source.read(&mut piece)?;
            if length == 0 {
                break;
            }
            server.write_all(&piece[..length])?;
        }
        server.write_all(tail.as_bytes())?;
        read_answer(&mut server)?;
    }
    Ok(())
}

/// What goes before and after the file's bytes.
fn around(bytes: u64, version: &str) -> (String, String) {
    let form = format!(
        "--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"version\"\r\n\r\n{version}\r\n\
         --{BOUNDARY}\r\nContent-Disposition: form-data; name=\"file\"; filename=\"firmware.bin\"\r\n\
         Content-Type: application/octet-stream\r\n\r\n"
    );
    let tail = format!("\r\n--{BOUNDARY}--\r\n");
    let length = form.len() as u64 + bytes + tail.len() as u64;
    let head = format!(
        "POST /api/ota/firmware/upload HTTP/1.1\r\nHost: 127.0.0.1\r\n\
         Content-Type: multipart/form-data; boundary={BOUNDARY}\r\nContent-Length: {length}\r\n\r\n{form}"
    );
    (head, tail)
}

/// It is a few hundred bytes, and ends with the envelope's brace.
fn read_answer(server: &mut TcpStream) -> Result<()> {
    let mut answer = Vec::new();
    let mut piece = [0; 4096];
    loop {
        let read = server.read(&mut piece)?;
        ensure!(read > 0, "the server closed the connection");
        answer.extend_from_slice(&piece[..read]);
        let text = std::str::from_utf8(&answer)?;
        let Some((head, body)) = text.split_once("\r\n\r\n") else {
            continue;
        };
        ensure!(head.starts_with("HTTP/1.1 200"), "refused: {text}");
        let length = head
            .lines()
            .find_map(|line| line.strip_prefix("content-length: "));
        let length: usize = length
            .context("an answer without Content-Length")?
            .parse()?;
        if body.len() >= length {
            return Ok(());
        }
    }
}
