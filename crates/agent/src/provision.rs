//! The device's first token: made here, and claimed with the fleet's provisioning key.

use std::{fs, io, path::Path};

use base64ct::{Base64UrlUnpadded, Encoding};
use serde_json::json;

use crate::{
    config::Config,
    disk::{Disk, none_if_missing, with_suffix},
    http::{Http, HttpError, read_token},
};

const TOKEN_PREFIX: &str = "alg_";
const TOKEN_RANDOM_BYTES: usize = 32;
const OWNER_ALONE: u32 = 0o600;
/// Behind the name of `tokenFile`: the token while it is being claimed.
const CLAIMING: &str = ".claiming";

/// With a provisioning key and no token yet: makes one, keeps it safely, claims it, and puts it in
/// `tokenFile`. Whenever this ends in the middle, the next call claims the same token again.
pub fn provision(config: &Config, disk: &Disk, http: &Http) -> Result<(), HttpError> {
    let (Some(key_file), Some(token_file)) = (&config.provisioning_key_file, &config.token_file)
    else {
        return Ok(());
    };
    if http.has_token() {
        return Ok(());
    }
    let fault =
        |error: io::Error| HttpError::Setup(format!("tokenFile {}: {error}", token_file.display()));
    let key = read_token("provisioningKeyFile", key_file)?;
    let claiming = with_suffix(token_file, CLAIMING);
    if !has_content(&claiming).map_err(fault)? {
        let token = make_token()?;
        let text = format!("{token}\n");
        let written = disk.write_synced(&claiming, text.as_bytes(), OWNER_ALONE);
        written.map_err(fault)?;
    }
    let token = read_token("tokenFile", &claiming)?;
    http.claim(&config.device, &key, &json!({ "token": token }))?;
    let kept = disk
        .rename(&claiming, token_file)
        .and_then(|()| disk.sync_dir(crate::disk::folder_of(token_file)));
    kept.map_err(fault)?;
    http.set_token(token);
    tracing::info!(device = config.device, "has claimed its token");
    Ok(())
}

/// Whether a file is there and not empty.
pub fn has_content(path: &Path) -> io::Result<bool> {
    let text = none_if_missing(fs::read(path))?;
    Ok(text.is_some_and(|text| !text.trim_ascii().is_empty()))
}

fn make_token() -> Result<String, HttpError> {
    let mut random = [0; TOKEN_RANDOM_BYTES];
    let provider = rustls::crypto::aws_lc_rs::default_provider();
    let filled = provider.secure_random.fill(&mut random);
    filled.map_err(|_| HttpError::Setup("this system has no randomness for a token".into()))?;
    let body = Base64UrlUnpadded::encode_string(&random);
    Ok(format!("{TOKEN_PREFIX}{body}"))
}
