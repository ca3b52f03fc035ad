use std::{net::SocketAddr, sync::Arc};

/// The other end of a connection; every request on it has this as an extension.
#[derive(Clone, Debug)]
pub struct Peer {
    pub address: SocketAddr,
    /// The gateway named by its certificate, if the device CA has signed one.
    pub certified_gateway: Option<Arc<str>>,
}
