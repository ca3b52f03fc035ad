//! Signs what it reads, as `airlift bundle build` signs a manifest: for the tests of `gpg:`, which
//! need a process with another gpg home.

use std::{
    env,
    io::{self, Read as _},
    process::ExitCode,
};

use airlift_bundle::keys::{KeyError, SigningKey};

fn main() -> ExitCode {
    let mut manifest = Vec::new();
    let Some(key) = env::args().nth(1) else {
        eprintln!("Usage: sign KEY <MANIFEST");
        return ExitCode::FAILURE;
    };
    if let Err(error) = io::stdin().read_to_end(&mut manifest) {
        eprintln!("the manifest cannot be read: {error}");
        return ExitCode::FAILURE;
    }
    match sign(&key, &manifest) {
        Ok(signature) => {
            print!("{signature}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn sign(key: &str, manifest: &[u8]) -> Result<String, KeyError> {
    SigningKey::open(key, None)?.sign(manifest)
}
