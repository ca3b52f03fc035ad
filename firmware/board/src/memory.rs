//! All buffers of the shell, in one place and static: a future that held them would be moved over
//! the stack.

use core::cell::RefCell;

use airlift_firmware::page::Connection;
use embassy_net::tcp::client::TcpClientState;
use heapless::Vec;

use crate::outbox::Outbox;

/// Largest packet taken from the broker: a command of a bundle with the longest URLs fits.
pub(crate) const PACKET_BYTES_MAX: usize = 4096;
/// Largest piece of a download handed to the core at once.
pub(crate) const CHUNK_BYTES_MAX: usize = 4096;
/// Longest head of an answer to a download.
pub(crate) const HEAD_BYTES_MAX: usize = 2048;
/// Longest answer of the upload page: its script is the longest.
pub(crate) const ANSWER_BYTES_MAX: usize = 6 * 1024;

pub(crate) type Downloads = TcpClientState<1, 1024, 4096>;

/// The shell's buffers; about 52 KB.
pub struct Memory {
    pub(crate) outbox: RefCell<Outbox>,
    pub(crate) broker: BrokerMemory,
    pub(crate) fetch: FetchMemory,
    pub(crate) upload: [UploadMemory; 2],
}

pub(crate) struct BrokerMemory {
    pub(crate) received: [u8; 2048],
    pub(crate) to_send: [u8; 1536],
    /// Room for a packet, and for what comes with it.
    pub(crate) packet: [u8; PACKET_BYTES_MAX + 256],
}

pub(crate) struct FetchMemory {
    pub(crate) sockets: Downloads,
    pub(crate) head: [u8; HEAD_BYTES_MAX],
    pub(crate) chunk: [u8; CHUNK_BYTES_MAX],
}

pub(crate) struct UploadMemory {
    pub(crate) received: [u8; 2048],
    pub(crate) to_send: [u8; 1024],
    pub(crate) piece: [u8; 1024],
    pub(crate) answer: Vec<u8, ANSWER_BYTES_MAX>,
    pub(crate) connection: Connection,
}

impl Memory {
    /// For a `ConstStaticCell`.
    #[expect(
        clippy::new_without_default,
        reason = "a default would be built on the stack"
    )]
    pub const fn new() -> Self {
        Memory {
            outbox: RefCell::new(Outbox::new()),
            broker: BrokerMemory {
                received: [0; 2048],
                to_send: [0; 1536],
                packet: [0; PACKET_BYTES_MAX + 256],
            },
            fetch: FetchMemory {
                sockets: Downloads::new(),
                head: [0; HEAD_BYTES_MAX],
                chunk: [0; CHUNK_BYTES_MAX],
            },
            upload: [const { UploadMemory::new() }; 2],
        }
    }
}

impl UploadMemory {
    const fn new() -> Self {
        UploadMemory {
            received: [0; 2048],
            to_send: [0; 1024],
            piece: [0; 1024],
            answer: Vec::new(),
            connection: Connection::new(),
        }
    }
}
