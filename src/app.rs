//! The only wiring place: settings → stores, broker, clock → services → doors. No logic.

use std::{fs::File, net::SocketAddr, path::Path, sync::Arc, time::Duration};

use airlift_proto::Topics;
use anyhow::{Context, Result, bail};
use chrono::TimeDelta;
use tokio::{net::TcpListener, sync::mpsc, task::JoinSet, time::timeout};
use tokio_util::sync::CancellationToken;

use crate::{
    blob::{BlobStore, BlobUrl},
    cli::database::caller,
    config::{Broker, Config, ListedOption, RequireSignature, Source},
    domain::{Clock, Role, Setting, SettingSource, SignaturePolicy, TaskDeadlines},
    http::{self, HttpServer},
    ingest, jobs,
    metrics::Metrics,
    mqtt::{
        BrokerUrl, INCOMING_QUEUE_MAX, Publisher, SessionOptions,
        embedded::{EmbeddedBroker, EmbeddedBrokerOptions, OnConnect, OnLook, OnPublish},
        run_session,
    },
    oidc::{OidcProvider, ProviderOptions},
    service::{FirstStart, OidcLogIns, Service, Settings},
    store::Db,
    tls::{Tls, TlsPaths},
    webhook::WebhookClient,
};

/// Wait for requests that are running when the server is told to stop.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(10);

/// A running server.
pub struct App {
    pub http_addr: SocketAddr,
    /// The built-in broker's address, if it runs.
    pub mqtt_addr: Option<SocketAddr>,
    pub service: Arc<Service>,
    shutdown: CancellationToken,
    tasks: JoinSet<()>,
    workers_shutdown: CancellationToken,
    workers: JoinSet<()>,
    broker: Option<EmbeddedBroker>,
    db: Db,
    /// Kept open: its lock says that a server has this folder to itself.
    _data_dir_lock: Option<File>,
}

/// The use cases over the database alone, for commands that work beside servers: no broker, no
/// files, no jobs.
pub struct Database {
    pub service: Service,
    db: Db,
}

impl Database {
    /// Opens the database, which is made if it is not there yet.
    pub async fn open(config: &Config, clock: Clock) -> Result<Database> {
        let db = Db::open(&config.database_url)
            .await
            .with_context(|| format!("can't open {}", without_password(&config.database_url)))?;
        let (service, _workers) = Service::new(
            db.clone(),
            BlobStore::open(&BlobUrl::parse("memory:")?)?,
            Publisher::default(),
            WebhookClient::default(),
            clock,
            Arc::new(Metrics::new()),
            settings(config, Topics::new(&config.topic_prefix)),
        );
        service.look_for_credentials().await?;
        Ok(Database { service, db })
    }

    pub async fn close(self) {
        self.db.close().await;
    }
}

impl App {
    /// Opens everything and begins to serve; when this returns, HTTP listens.
    pub async fn start(config: &Config, clock: Clock) -> Result<App> {
        std::fs::create_dir_all(&config.data_dir)
            .with_context(|| format!("can't create the data dir {}", config.data_dir.display()))?;
        let tls = load_tls(config, &clock)?;
        let listener = TcpListener::bind(config.listen).await.with_context(|| {
            format!(
                "can't listen on {}: stop what uses this address, or choose another with --listen",
                config.listen
            )
        })?;
        let http_addr = listener.local_addr()?;
        // Before the database is opened: opening it may migrate it.
        let data_dir_lock = match config.database_url.starts_with("sqlite:") {
            true => Some(lock_data_dir(&config.data_dir)?),
            false => None,
        };
        let db = Db::open(&config.database_url).await?;
        let blobs = BlobStore::open(&BlobUrl::parse(&config.blob_url)?)?;
        let publisher = Publisher::default();
        let topics = Topics::new(&config.topic_prefix);
        let (service, workers) = Service::new(
            db.clone(),
            blobs,
            publisher.clone(),
            WebhookClient::default(),
            clock.clone(),
            Arc::new(Metrics::new()),
            settings(config, topics.clone()),
        );
        let service = Arc::new(service.with_oidc(oidc_log_ins(config)?));
        service.check_trusted_keys().await?;
        if config.insecure_open {
            // Of a start without it, which the operator has thought better of.
            service.withdraw_setup_links().await?;
        }
        service.close_doors_for_oidc().await?;
        service.look_for_credentials().await?;
        refuse_public_address(config, &service).await?;
        service.expire_own_sessions().await?;
        let recovered = service.recover_inbox(TimeDelta::zero()).await?;
        if recovered > 0 {
            tracing::info!(recovered, "messages taken in that a crash had left behind");
        }
        let (broker, broker_url) = start_broker(config, &service, tls.clone()).await?;

        let shutdown = CancellationToken::new();
        let (incoming, received) = mpsc::channel(INCOMING_QUEUE_MAX);
        let mut tasks = JoinSet::new();
        let mut workers_running = JoinSet::new();
        let workers_shutdown = CancellationToken::new();
        workers_running.spawn(workers.run(service.clone(), workers_shutdown.clone()));
        tasks.spawn(run_session(
            SessionOptions {
                broker: broker_url,
                topics,
                holder: clock.new_id(),
                ids: service.clone(),
                publisher,
                incoming,
            },
            shutdown.clone(),
        ));
        tasks.spawn(ingest::run(service.clone(), received, shutdown.clone()));
        tasks.spawn(jobs::run(service.clone(), shutdown.clone()));
        let server = HttpServer {
            listener,
            service: service.clone(),
            tls: tls.clone(),
            connections_max: config.connections_max,
            trusted_proxies: config.trusted_proxies.clone(),
        };
        tasks.spawn(http::serve(server, shutdown.clone()));
        if let Some(tls) = tls {
            let clock = clock.clone();
            let watch = async move { tls.watch(|| clock.now().timestamp()).await };
            tasks.spawn(run_until(watch, shutdown.clone()));
        }
        Ok(App {
            http_addr,
            mqtt_addr: broker.as_ref().map(EmbeddedBroker::local_addr),
            service,
            shutdown,
            tasks,
            workers_shutdown,
            workers: workers_running,
            broker,
            db,
            _data_dir_lock: data_dir_lock,
        })
    }

    /// Ends cleanly: no new work; what is not finished goes on at the next start.
    pub async fn stop(mut self) {
        self.shutdown.cancel();
        let ended = async { while self.tasks.join_next().await.is_some() {} };
        if timeout(DRAIN_TIMEOUT, ended).await.is_err() {
            tracing::warn!("requests were still running; they are cut");
            self.tasks.shutdown().await;
        }
        if let Some(broker) = self.broker {
            broker.shutdown().await;
        }
        // Last: what still ran has asked them.
        self.workers_shutdown.cancel();
        while self.workers.join_next().await.is_some() {}
        self.db.close().await;
    }
}

/// An address that others can reach is served without credentials only if the operator says so.
/// Without them a one-time link is made that makes the first administrator.
async fn refuse_public_address(config: &Config, service: &Service) -> Result<()> {
    if config.oidc.is_some() {
        return Ok(service.close_doors().await?);
    }
    let public = config.public_addresses();
    let (Some((flag, address)), false) = (public.first(), config.insecure_open) else {
        return Ok(());
    };
    match service.first_start(&caller()).await? {
        FirstStart::Over => Ok(()),
        FirstStart::LinkWaits(end) => {
            tracing::warn!(
                good_until = %end,
                "there are no credentials yet, so every door is closed: open the setup link that the \
                 first start printed, or run airlift token create"
            );
            Ok(())
        }
        FirstStart::LinkMade(link) => bail!(
            "{flag} {address} can be reached by others, and there are no credentials yet. Start \
             again – every door will be closed – and open this link within an hour; it makes the \
             first administrator, once:\n\n  {}/setup#{}\n\nOr make a token on this machine: \
             airlift token create --role admin --name NAME. If the network is yours alone, say \
             --insecure-open instead.",
            config.public_url,
            link.reveal()
        ),
    }
}

/// The address of a database as it may be shown.
fn without_password(url: &str) -> String {
    match (url.split_once("://"), url.rsplit_once('@')) {
        (Some((scheme, _)), Some((_, place))) => format!("{scheme}://***@{place}"),
        _ => url.to_owned(),
    }
}

fn load_tls(config: &Config, clock: &Clock) -> Result<Option<Arc<Tls>>> {
    let Some(files) = &config.tls else {
        for (flag, address) in config.public_addresses() {
            tracing::warn!(
                "{flag} {address} speaks without TLS: whoever can listen on the network reads every \
                 token, firmware and report that passes and can use the tokens; give --tls-cert and \
                 --tls-key, or put a TLS proxy before it"
            );
        }
        return Ok(None);
    };
    if config.public_url.starts_with("http:") {
        tracing::warn!(
            "--public-url {} is sent to devices for downloads, but with --tls-cert this server \
             speaks https only: begin it with https://",
            config.public_url
        );
    }
    let paths = TlsPaths {
        cert: files.cert.clone(),
        key: files.key.clone(),
        device_ca: files.device_ca.clone(),
    };
    let tls = Tls::load(paths, clock.now().timestamp())
        .context("--tls-cert, --tls-key and --device-ca can't be used")?;
    Ok(Some(Arc::new(tls)))
}

/// The provider that people log in with; it is asked at the first login.
fn oidc_log_ins(config: &Config) -> Result<Option<OidcLogIns>> {
    let Some(oidc) = &config.oidc else {
        return Ok(None);
    };
    let secret = oidc.client_secret_file.as_ref().map(|path| {
        std::fs::read_to_string(path)
            .with_context(|| format!("can't read --oidc-client-secret-file {}", path.display()))
    });
    let default_role = oidc.default_role.as_deref().map(|word| {
        Role::parse(word).with_context(|| {
            format!(
                "--oidc-default-role {word:?} is no role: say viewer, publisher, operator or admin"
            )
        })
    });
    Ok(Some(OidcLogIns {
        provider: OidcProvider::new(ProviderOptions {
            issuer: oidc.issuer.clone(),
            client_id: oidc.client_id.clone(),
            client_secret: secret.transpose()?.map(|secret| secret.trim().to_owned()),
            redirect_url: format!("{}/api/ota/login/oidc/callback", config.public_url),
            role_claim: oidc.role_claim.clone(),
        }),
        default_role: default_role.transpose()?,
        role_claim: oidc.role_claim.clone(),
    }))
}

/// What the services are told of the configuration.
fn settings(config: &Config, topics: Topics) -> Settings {
    Settings {
        public_url: config.public_url.clone(),
        upload_bytes_max: config.upload_bytes_max,
        download_bytes_per_second: config.download_bytes_per_second,
        deadlines: TaskDeadlines {
            pending: config.pending_timeout,
            silence: config.task_timeout,
            confirm: config.confirm_timeout,
        },
        history_kept: TimeDelta::days(config.history_days.into()),
        events_kept: TimeDelta::days(config.event_days.into()),
        heartbeat_interval: config
            .heartbeat_interval
            .map(|interval| TimeDelta::seconds(interval.as_secs().cast_signed())),
        heartbeats_kept: TimeDelta::hours(config.heartbeats_keep_hours.into()),
        topics,
        announce_interval: match config.announce_hours {
            0 => None,
            hours => Some(TimeDelta::hours(hours.into())),
        },
        trusted_keys: config.trusted_keys.clone(),
        signatures: match config.require_signature {
            RequireSignature::Auto => SignaturePolicy::Auto,
            RequireSignature::Always => SignaturePolicy::Always,
            RequireSignature::Never => SignaturePolicy::Never,
        },
        public_downloads: config.public_downloads,
        download_url_lifetime: TimeDelta::hours(config.download_url_hours.into()),
        requests_per_second: config.requests_per_second,
        https: config.tls.is_some() || config.public_url.starts_with("https://"),
        uploads_max: config.uploads_max,
        trusted_proxies: config.trusted_proxies.clone(),
        session_lifetime: TimeDelta::hours(config.session_hours.into()),
        built_in_broker: matches!(config.broker, Broker::BuiltIn(_)),
        listed: config.listed().into_iter().map(setting).collect(),
    }
}

fn setting(option: ListedOption) -> Setting {
    let source = match option.source {
        Source::Default => SettingSource::Default,
        Source::CommandLine => SettingSource::CommandLine,
        Source::Environment => SettingSource::Environment,
        Source::File => SettingSource::File,
    };
    Setting::new(option.name, option.value, option.help, source)
}

/// The built-in broker forgets what it holds when the process dies, so it acknowledges a message
/// only once the inbox has it.
fn keep_before_acknowledging(service: &Arc<Service>) -> OnPublish {
    let service = Arc::clone(service);
    Arc::new(move |topic, payload| {
        let service = Arc::clone(&service);
        Box::pin(async move { service.keep_in_inbox(topic, payload).await })
    })
}

fn admit_clients(service: &Arc<Service>) -> OnConnect {
    let service = Arc::clone(service);
    Arc::new(move |request| {
        let service = Arc::clone(&service);
        Box::pin(async move { service.admit_client(request).await })
    })
}

fn look_for_ended(service: &Arc<Service>) -> OnLook {
    let service = Arc::clone(service);
    Arc::new(move |within| {
        let service = Arc::clone(&service);
        Box::pin(async move { service.ended_credentials(within).await })
    })
}

/// An embedded database has one server; a second would take the first one's sessions for its own.
fn lock_data_dir(data_dir: &Path) -> Result<File> {
    let path = data_dir.join("airlift.lock");
    let file = File::create(&path).with_context(|| format!("can't open {}", path.display()))?;
    file.try_lock().with_context(|| {
        format!(
            "another airlift serves {}: stop it, choose another --data-dir, or use PostgreSQL \
             for several servers",
            data_dir.display()
        )
    })?;
    Ok(file)
}

/// The built-in broker, if it is wanted, and where the server's own session finds its broker.
async fn start_broker(
    config: &Config,
    service: &Arc<Service>,
    tls: Option<Arc<Tls>>,
) -> Result<(Option<EmbeddedBroker>, BrokerUrl)> {
    let listen = match &config.broker {
        Broker::BuiltIn(listen) => *listen,
        Broker::Outside(url) => return Ok((None, BrokerUrl::parse(url)?)),
    };
    let broker = EmbeddedBroker::start(EmbeddedBrokerOptions {
        listen,
        on_publish: keep_before_acknowledging(service),
        on_connect: admit_clients(service),
        on_look: look_for_ended(service),
        topic_prefix: config.topic_prefix.clone(),
        messages_per_second: config.gateway_messages_per_second,
        tls,
    })
    .await?;
    let url = broker.own_url();
    Ok((Some(broker), url))
}

async fn run_until(work: impl Future<Output = ()>, shutdown: CancellationToken) {
    tokio::select! {
        () = work => {}
        () = shutdown.cancelled() => {}
    }
}
