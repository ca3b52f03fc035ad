//! TLS of the server's own doors: one certificate for HTTP and the built-in broker, and a CA that
//! signs gateways' certificates. The files are read again when they change.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::{Arc, PoisonError, RwLock},
    time::{Duration, SystemTime},
};

use rustls::{
    RootCertStore, ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    server::WebPkiClientVerifier,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    time::{sleep, timeout},
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};
use x509_parser::prelude::{FromDer, X509Certificate};

/// For a TLS handshake.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// Between two looks at the files.
const LOOK_INTERVAL: Duration = Duration::from_secs(2);

/// Why TLS can't be had.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    #[error("can't read {}: {source}", path.display())]
    Unreadable { path: PathBuf, source: io::Error },
    #[error("{} holds no {what} in PEM: {why}", path.display())]
    NotPem {
        path: PathBuf,
        what: &'static str,
        why: String,
    },
    #[error("{} and {} can't be used together: {why}", cert.display(), key.display())]
    Pair {
        cert: PathBuf,
        key: PathBuf,
        why: String,
    },
    #[error("{} can't be used to check gateways' certificates: {why}", path.display())]
    DeviceCa { path: PathBuf, why: String },
}

/// Where certificates and keys are.
#[derive(Clone, Debug)]
pub struct TlsPaths {
    pub cert: PathBuf,
    pub key: PathBuf,
    pub device_ca: Option<PathBuf>,
}

/// What a file was like when it was read: size and time behind all symbolic links.
type Stamp = Option<(u64, SystemTime, PathBuf)>;

/// TLS as the files have it now.
pub struct Tls {
    paths: TlsPaths,
    config: RwLock<Arc<ServerConfig>>,
}

impl Tls {
    /// Reads the files. `now` is for a warning about a certificate that is not good then.
    pub fn load(paths: TlsPaths, now: i64) -> Result<Tls, TlsError> {
        let config = read(&paths, now)?;
        Ok(Tls {
            paths,
            config: RwLock::new(config),
        })
    }

    fn config(&self) -> Arc<ServerConfig> {
        let config = self.config.read().unwrap_or_else(PoisonError::into_inner);
        config.clone()
    }

    /// Does the handshake; also the gateway that the client's certificate names.
    pub async fn accept<S>(&self, stream: S) -> io::Result<(TlsStream<S>, Option<Arc<str>>)>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let acceptor = TlsAcceptor::from(self.config());
        let stream = timeout(HANDSHAKE_TIMEOUT, acceptor.accept(stream)).await??;
        let certificates = stream.get_ref().1.peer_certificates();
        let gateway = match certificates.and_then(<[_]>::first) {
            Some(certificate) => Some(common_name(certificate)?),
            None => None,
        };
        Ok((stream, gateway))
    }

    /// Reads the files again whenever they change. A change that can't be used is told once, and
    /// what was read before stays.
    pub async fn watch(&self, now: impl Fn() -> i64) {
        let mut seen = self.stamps();
        loop {
            sleep(LOOK_INTERVAL).await;
            let stamps = self.stamps();
            if stamps == seen {
                continue;
            }
            seen = stamps;
            match read(&self.paths, now()) {
                Ok(config) => {
                    *self.config.write().unwrap_or_else(PoisonError::into_inner) = config;
                    let cert = self.paths.cert.display();
                    tracing::info!(%cert, "the TLS certificate was read again");
                }
                Err(error) => {
                    tracing::warn!(%error, "the TLS files changed, but what was read before stays");
                }
            }
        }
    }

    fn stamps(&self) -> Vec<Stamp> {
        let TlsPaths {
            cert,
            key,
            device_ca,
        } = &self.paths;
        let paths = [Some(cert), Some(key), device_ca.as_ref()];
        let stamp = |path: &PathBuf| {
            let about = fs::metadata(path).ok()?;
            let real = fs::canonicalize(path).ok()?;
            Some((about.len(), about.modified().ok()?, real))
        };
        paths.into_iter().flatten().map(stamp).collect()
    }
}

fn read(paths: &TlsPaths, now: i64) -> Result<Arc<ServerConfig>, TlsError> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let chain = certificates(&paths.cert)?;
    let not_pem = |why: rustls::pki_types::pem::Error| TlsError::NotPem {
        path: paths.key.clone(),
        what: "private key",
        why: why.to_string(),
    };
    let key = PrivateKeyDer::from_pem_slice(&file(&paths.key)?).map_err(not_pem)?;
    let pair = |why: rustls::Error| TlsError::Pair {
        cert: paths.cert.clone(),
        key: paths.key.clone(),
        why: why.to_string(),
    };
    warn_of_dates(&paths.cert, &chain, now);
    let config = ServerConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .map_err(pair)?;
    let config = match &paths.device_ca {
        None => config.with_no_client_auth(),
        Some(path) => {
            let refused = |why: String| TlsError::DeviceCa {
                path: path.clone(),
                why,
            };
            let authorities = certificates(path)?;
            warn_of_dates(path, &authorities, now);
            let mut roots = RootCertStore::empty();
            for authority in authorities {
                roots
                    .add(authority)
                    .map_err(|error| refused(error.to_string()))?;
            }
            let verifier = WebPkiClientVerifier::builder_with_provider(roots.into(), provider)
                .allow_unauthenticated()
                .build()
                .map_err(|error| refused(error.to_string()))?;
            config.with_client_cert_verifier(verifier)
        }
    };
    let mut config = config.with_single_cert(chain, key).map_err(pair)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec(), b"mqtt".to_vec()];
    Ok(Arc::new(config))
}

fn file(path: &Path) -> Result<Vec<u8>, TlsError> {
    fs::read(path).map_err(|source| TlsError::Unreadable {
        path: path.to_owned(),
        source,
    })
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let not_pem = |why: String| TlsError::NotPem {
        path: path.to_owned(),
        what: "certificate",
        why,
    };
    let pem = file(path)?;
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    let found = found.map_err(|error| not_pem(error.to_string()))?;
    match found.is_empty() {
        true => Err(not_pem("there is no BEGIN CERTIFICATE".to_owned())),
        false => Ok(found),
    }
}

fn warn_of_dates(path: &Path, chain: &[CertificateDer<'_>], now: i64) {
    let path = path.display();
    for certificate in chain {
        let Ok((_, certificate)) = X509Certificate::from_der(certificate) else {
            continue;
        };
        let validity = certificate.validity();
        let subject = certificate.subject();
        if validity.not_after.timestamp() < now {
            let expired = validity.not_after;
            tracing::warn!(%path, %subject, %expired, "a certificate has expired: clients refuse it");
        }
        if validity.not_before.timestamp() > now {
            let begins = validity.not_before;
            tracing::warn!(%path, %subject, %begins, "a certificate is not valid yet: clients refuse it");
        }
    }
}

/// The common name of a certificate that was verified.
fn common_name(certificate: &CertificateDer<'_>) -> io::Result<Arc<str>> {
    let refused = |why| io::Error::new(io::ErrorKind::PermissionDenied, why);
    let (_, certificate) = X509Certificate::from_der(certificate)
        .map_err(|_| refused("the client's certificate can't be read"))?;
    let mut names = certificate.subject().iter_common_name();
    let name = names.next().and_then(|name| name.as_str().ok());
    match (name, names.next()) {
        (Some(name), None) if !name.is_empty() => Ok(name.into()),
        _ => Err(refused(
            "the client's certificate must have one common name, its gateway's id",
        )),
    }
}
