//! Ports that stay ours. A server that is killed leaves its port free for a moment, and with tests
//! running side by side somebody else would take it before the server is started again.

use std::net::{Ipv4Addr, TcpListener};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener};
use std::sync::Mutex;

use anyhow::{Result, bail};
use uuid::Uuid;

/// Below Linux's range for outgoing connections (32768 and up), so that none of those lands on a
/// port whose server is down at the moment.
const PORT_FIRST: u16 = 10_000;
const PORT_COUNT: u16 = 20_000;

/// Leases of this process. An abstract socket is a lock that all users of the machine share, that
/// leaves no file behind and that ends with the process.
static LEASES: Mutex<Vec<UnixListener>> = Mutex::new(Vec::new());

/// A loopback TCP port nobody listens on, reserved against all other test processes until this
/// process ends.
///
/// # Errors
/// When no port between 10000 and 29999 is free.
pub fn free_port() -> Result<u16> {
    let (random, _) = Uuid::new_v4().as_u64_pair();
    let start = u16::try_from(random % u64::from(PORT_COUNT))?;
    for step in 0..PORT_COUNT {
        let offset = (u32::from(start) + u32::from(step)) % u32::from(PORT_COUNT);
        let port = PORT_FIRST + u16::try_from(offset)?;
        let Some(lease) = lease(port)? else { continue };
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            LEASES
                .lock()
                .unwrap_or_else(std::sync::PoisonError::into_inner)
                .push(lease);
            return Ok(port);
        }
    }
    bail!(
        "no free loopback port from {PORT_FIRST} on: are test servers of an earlier run still up?"
    )
}

fn lease(port: u16) -> Result<Option<UnixListener>> {
    let name = SocketAddr::from_abstract_name(format!("airlift-testkit-port-{port}"))?;
    Ok(UnixListener::bind_addr(&name).ok())
}
