//! nginx with sendfile, as Debian's package sets it up, for one folder of files.

use std::{fs, path::Path, sync::Arc, time::Duration};

use airlift_testkit::{Process, Scratch, free_port, program};
use anyhow::Result;

const START_LIMIT: Duration = Duration::from_secs(20);

/// A running nginx.
pub struct Nginx {
    pub port: u16,
    _process: Process,
}

impl Nginx {
    /// Serves this file under `/<name>`.
    pub fn start(name: &str, content: &[u8]) -> Result<Nginx> {
        let scratch = Arc::new(Scratch::new("nginx")?);
        let folder = scratch.path();
        fs::create_dir(folder.join("files"))?;
        fs::write(folder.join("files").join(name), content)?;
        let port = free_port()?;
        let config = folder.join("nginx.conf");
        fs::write(&config, configuration(folder, port))?;
        let args = ["-c", &config.display().to_string(), "-e", "stderr"].map(str::to_owned);
        let program = program("nginx", "nginx")?;
        let mut process = Process::spawn_in(scratch, program, &args, &[], "nginx")?;
        process.wait_until("listening", START_LIMIT, || {
            std::net::TcpStream::connect(("127.0.0.1", port)).is_ok()
        })?;
        Ok(Nginx {
            port,
            _process: process,
        })
    }
}

fn configuration(folder: &Path, port: u16) -> String {
    let folder = folder.display();
    // A kept-alive connection of this load has more requests than the 1,000 that nginx allows.
    format!(
        "daemon off;
        worker_processes auto;
        pid {folder}/nginx.pid-file;
        error_log stderr;
        events {{ worker_connections 768; }}
        http {{
            access_log off;
            sendfile on;
            tcp_nopush on;
            keepalive_requests 1000000000;
            client_body_temp_path {folder}/body;
            proxy_temp_path {folder}/proxy;
            fastcgi_temp_path {folder}/fastcgi;
            uwsgi_temp_path {folder}/uwsgi;
            scgi_temp_path {folder}/scgi;
            server {{
                listen 127.0.0.1:{port};
                root {folder}/files;
            }}
        }}
        "
    )
}
