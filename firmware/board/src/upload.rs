//! The upload page's connections: two at a time, so that a browser that fetches the page and its script,
//! or one connection that ends slowly, does not find the port closed.

use core::cell::RefCell;

use airlift_firmware::{
    Event,
    page::{Connection, LINGER_MS, Page, Progress, Settings as PageSettings},
};
use embassy_futures::{join::join, yield_now};
use embassy_net::tcp::TcpSocket;
use embassy_time::{Duration, Timer, with_timeout};
use embedded_io_async::Write;
use embedded_storage::nor_flash::NorFlash;
use heapless::{String, Vec};

use crate::{
    Platform,
    memory::{ANSWER_BYTES_MAX, UploadMemory},
    shell::{Shell, now, now_ms},
};

const PORT: u16 = 8080;
/// Longest time for an answer to reach the peer.
const ANSWER_SECONDS_MAX: u64 = 10;
/// Wait after a connection that could not even be accepted.
const ACCEPT_AGAIN_MS: u64 = 500;

/// Serves the page.
pub(crate) async fn run<F: NorFlash, P: Platform>(
    shell: &Shell<'_, F, P>,
    memory: &mut [UploadMemory; 2],
) {
    let settings = shell.settings;
    let password = Some(settings.page_pass.clone()).filter(|password| !password.is_empty());
    let page = RefCell::new(Page::new(PageSettings {
        password,
        device: settings.id.clone(),
        version: cut(shell.gateway.borrow().version()),
    }));
    let [first, second] = memory;
    join(serve(shell, &page, first), serve(shell, &page, second)).await;
}

/// Serves one connection after the other.
async fn serve<F: NorFlash, P: Platform>(
    shell: &Shell<'_, F, P>,
    page: &RefCell<Page>,
    memory: &mut UploadMemory,
) {
    loop {
        shell.stack.wait_config_up().await;
        let socket = TcpSocket::new(shell.stack, &mut memory.received, &mut memory.to_send);
        memory.connection = Connection::new();
        memory.answer.clear();
        let mut peer = Peer {
            shell,
            page,
            socket,
            connection: &mut memory.connection,
            answer: &mut memory.answer,
        };
        if peer.socket.accept(PORT).await.is_err() {
            Timer::after_millis(ACCEPT_AGAIN_MS).await;
            continue;
        }
        let progress = peer.talk(&mut memory.piece).await;
        peer.part(&mut memory.piece).await;
        if progress == Progress::Installed {
            shell.step(Event::LocalDone);
        }
    }
}

/// The version as far as the page shows it.
fn cut<const N: usize>(text: &str) -> String<N> {
    text.chars().take(N).filter(char::is_ascii).collect()
}

struct Peer<'p, 's, F, P> {
    shell: &'p Shell<'s, F, P>,
    page: &'p RefCell<Page>,
    socket: TcpSocket<'p>,
    connection: &'p mut Connection,
    answer: &'p mut Vec<u8, ANSWER_BYTES_MAX>,
}

impl<F: NorFlash, P: Platform> Peer<'_, '_, F, P> {
    /// From the first byte until the answer is out.
    async fn talk(&mut self, piece: &mut [u8]) -> Progress {
        let accepted_ms = now_ms();
        let head_timeout_ms = self.connection.timeout_ms();
        loop {
            let timeout_ms = self.connection.timeout_ms();
            // The head has to come in time as a whole, of the body each part.
            let is_head = timeout_ms == head_timeout_ms;
            let since_ms = if is_head { accepted_ms } else { now_ms() };
            let wait_ms = (since_ms + timeout_ms).saturating_sub(now_ms());
            let read = with_timeout(Duration::from_millis(wait_ms), self.socket.read(piece)).await;
            let progress = {
                let mut gateway = self.shell.gateway.borrow_mut();
                let mut page = self.page.borrow_mut();
                let (connection, answer) = (&mut *self.connection, &mut *self.answer);
                // Longer than any answer of the page.
                let mut out = |bytes: &[u8]| {
                    let _ = answer.extend_from_slice(bytes);
                };
                match read {
                    Err(_) => connection.timed_out(&mut **gateway, &mut out),
                    Ok(Ok(0)) => connection.ended(&mut **gateway, &mut out),
                    Ok(Ok(length)) => {
                        let bytes = &piece[..length];
                        let now = now(self.shell.platform);
                        connection.receive(bytes, now, &mut page, &mut **gateway, &mut out)
                    }
                    Ok(Err(_)) => {
                        connection.lost(&mut **gateway);
                        return Progress::Close;
                    }
                }
            };
            let sent = self.send().await;
            if !sent && progress == Progress::NeedMore {
                self.connection.lost(&mut **self.shell.gateway.borrow_mut());
                return Progress::Close;
            }
            if progress != Progress::NeedMore {
                return progress;
            }
        }
    }

    async fn send(&mut self) -> bool {
        let sending = async {
            self.socket.write_all(self.answer).await?;
            self.socket.flush().await
        };
        let sent = with_timeout(Duration::from_secs(ANSWER_SECONDS_MAX), sending).await;
        self.answer.clear();
        matches!(sent, Ok(Ok(())))
    }

    /// Ends the connection so that a peer that is still sending sees the answer.
    async fn part(&mut self, piece: &mut [u8]) {
        self.socket.close();
        let draining = async { while !matches!(self.socket.read(piece).await, Ok(0) | Err(_)) {} };
        let lingered = with_timeout(Duration::from_millis(LINGER_MS), draining).await;
        if lingered.is_err() {
            self.socket.abort();
            // Lets the reset out.
            yield_now().await;
        }
    }
}
