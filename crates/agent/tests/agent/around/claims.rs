//! How a device gets its first token by itself, and what a death in between leaves.

use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    os::unix::fs::PermissionsExt,
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    thread,
};

use airlift_agent::{config::Config, disk::Disk, http::Http, provision::provision};
use serde_json::{Value, json};

use super::deaths::{Reaper, was_death};

const KEY: &str = "alp_key";

/// Grants the first token that is claimed, as often as it is claimed, and no other.
#[derive(Default)]
struct Granted {
    token: Option<String>,
    claims: usize,
    refusals: usize,
    /// So many answers are lost on the way.
    lost: usize,
}

struct Claims {
    address: SocketAddr,
    granted: Arc<Mutex<Granted>>,
}

impl Claims {
    fn start(lost: usize) -> Claims {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let granted = Arc::new(Mutex::new(Granted {
            lost,
            ..Granted::default()
        }));
        let shared = granted.clone();
        thread::spawn(move || {
            for stream in listener.incoming() {
                answer(stream.unwrap(), &shared);
            }
        });
        Claims { address, granted }
    }

    fn token(&self) -> Option<String> {
        self.granted.lock().unwrap().token.clone()
    }
}

fn answer(mut stream: TcpStream, granted: &Mutex<Granted>) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let (mut length, mut key, mut line) = (0, String::new(), String::new());
    reader.read_line(&mut line).unwrap();
    let asked = line.trim().to_owned();
    loop {
        line.clear();
        reader.read_line(&mut line).unwrap();
        let header = line.trim().to_ascii_lowercase();
        match header.split_once(": ") {
            Some(("content-length", value)) => length = value.parse().unwrap(),
            Some(("authorization", value)) => key = value.to_owned(),
            _ => {}
        }
        if header.is_empty() {
            break;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).unwrap();
    let body: Value = serde_json::from_slice(&body).unwrap();
    let token = body["token"].as_str().unwrap().to_owned();
    assert_eq!(asked, "POST /api/ota/gateways/GW-1/claim HTTP/1.1");
    let mut granted = granted.lock().unwrap();
    granted.claims += 1;
    let is_granted = key == format!("bearer {KEY}")
        && *granted.token.get_or_insert_with(|| token.clone()) == token;
    if granted.lost > 0 {
        granted.lost -= 1;
        return;
    }
    let (status, body) = match is_granted {
        true => ("200 OK", "{}"),
        false => {
            granted.refusals += 1;
            (
                "409 Conflict",
                r#"{"code":"already_claimed","message":"no"}"#,
            )
        }
    };
    let length = body.len();
    let _ = write!(
        stream,
        "HTTP/1.1 {status}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}"
    );
}

fn device(claims: &Claims, folder: &Path) -> PathBuf {
    let file = folder.join("device.json");
    let server = format!("http://{}", claims.address);
    let package = json!({ "package": "app", "branch": "main", "remote": server, "local": "/x" });
    let config = json!({
        "device": "GW-1", "package": [package], "tokenFile": "token",
        "provisioningKeyFile": "key",
    });
    fs::write(&file, config.to_string()).unwrap();
    fs::write(folder.join("key"), format!("{KEY}\n")).unwrap();
    file
}

/// One start; whether the device then has its token.
fn start(file: &Path, disk: &Disk) -> Result<bool, String> {
    let config = Config::read(file).unwrap();
    let http = Http::new(&config).map_err(|error| error.to_string())?;
    provision(&config, disk, &http).map_err(|error| error.to_string())?;
    Ok(http.has_token())
}

fn kept(folder: &Path) -> String {
    let file = folder.join("token");
    let mode = fs::metadata(&file).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    fs::read_to_string(file).unwrap().trim().to_owned()
}

#[test]
fn a_device_without_a_token_makes_one_and_claims_it_once() {
    let folder = tempfile::tempdir().unwrap();
    let claims = Claims::start(0);
    let file = device(&claims, folder.path());
    assert_eq!(start(&file, &Disk::default()), Ok(true));
    let token = kept(folder.path());
    assert!(token.starts_with("alg_") && token.len() == 47);
    assert_eq!(claims.token(), Some(token.clone()));
    assert_eq!(start(&file, &Disk::default()), Ok(true));
    assert_eq!(claims.granted.lock().unwrap().claims, 1);
    assert_eq!(kept(folder.path()), token);
}

#[test]
fn a_token_that_is_there_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let claims = Claims::start(0);
    let file = device(&claims, folder.path());
    fs::write(folder.path().join("token"), "alg_given\n").unwrap();
    assert_eq!(start(&file, &Disk::default()), Ok(true));
    assert_eq!(claims.granted.lock().unwrap().claims, 0);
}

#[test]
fn an_answer_that_is_lost_is_asked_for_again() {
    let folder = tempfile::tempdir().unwrap();
    let claims = Claims::start(1);
    let file = device(&claims, folder.path());
    assert!(start(&file, &Disk::default()).is_err());
    assert!(!folder.path().join("token").exists());
    assert_eq!(start(&file, &Disk::default()), Ok(true));
    assert_eq!(claims.token(), Some(kept(folder.path())));
    let granted = claims.granted.lock().unwrap();
    assert_eq!((granted.claims, granted.refusals), (2, 0));
}

#[test]
fn a_refusal_says_why_and_shows_no_secret() {
    let folder = tempfile::tempdir().unwrap();
    let claims = Claims::start(0);
    claims.granted.lock().unwrap().token = Some("alg_other".into());
    let file = device(&claims, folder.path());
    let error = start(&file, &Disk::default()).unwrap_err();
    assert!(
        error.contains("409") && !error.contains("alg_") && !error.contains("alp_"),
        "{error}"
    );
}

#[test]
fn a_death_at_any_moment_loses_no_token() {
    let mut deaths = 0;
    for at in 0.. {
        let folder = tempfile::tempdir().unwrap();
        let claims = Claims::start(0);
        let file = device(&claims, folder.path());
        let disk = Disk::watched(Reaper::at(at));
        let died = match catch_unwind(AssertUnwindSafe(|| start(&file, &disk))) {
            Ok(done) => {
                assert_eq!(done, Ok(true));
                false
            }
            Err(why) => was_death(why),
        };
        assert_eq!(start(&file, &Disk::default()), Ok(true), "after {at}");
        let granted = claims.granted.lock().unwrap();
        assert_eq!(granted.refusals, 0, "after {at}");
        assert_eq!(granted.token, Some(kept(folder.path())), "after {at}");
        if !died {
            break;
        }
        deaths += 1;
    }
    // Create, write, sync, rename, sync of the folder; rename, sync of the folder: each before and after.
    assert_eq!(deaths, 14);
}
