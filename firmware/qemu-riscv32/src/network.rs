//! The virtio network card as a driver for embassy-net, without a heap.

use core::{
    cell::{RefCell, UnsafeCell},
    ops::Range,
    ptr::NonNull,
    sync::atomic::{AtomicUsize, Ordering},
    task::Context,
};

use embassy_net_driver::{Capabilities, Driver, HardwareAddress, LinkState, RxToken, TxToken};
use embassy_sync::waitqueue::AtomicWaker;
use static_cell::ConstStaticCell;
use virtio_drivers::{
    BufferDirection, Hal, PAGE_SIZE, PhysAddr,
    device::net::VirtIONetRaw,
    transport::{
        DeviceType, Transport,
        mmio::{MmioTransport, VirtIOHeader},
    },
};

use crate::machine::{self, read, write};

/// Eight places for devices, each with its interrupt line.
const SLOTS: Range<usize> = 0..8;
const SLOT_BYTES: usize = 0x1000;
const FIRST_SLOT: usize = 0x1000_1000;
const FIRST_LINE: u32 = 1;
const INTERRUPT_STATUS: usize = 0x60;
const INTERRUPT_ACK: usize = 0x64;

const QUEUE: usize = 8;
/// An Ethernet frame without its checksum, and virtio's header before it, rounded up.
const BUFFER_BYTES: usize = 1536;
const FRAME_BYTES_MAX: usize = 1514;
/// Two for each of the two queues.
const DMA_PAGES: usize = 4;

static WAKER: AtomicWaker = AtomicWaker::new();
/// Address of the card's registers once it is found, else 0.
static CARD: AtomicUsize = AtomicUsize::new(0);

#[repr(align(4096))]
struct DmaPool(UnsafeCell<[u8; DMA_PAGES * PAGE_SIZE]>);

// SAFETY: each part is handed out once, by `dma_alloc`.
unsafe impl Sync for DmaPool {}

static DMA_POOL: DmaPool = DmaPool(UnsafeCell::new([0; DMA_PAGES * PAGE_SIZE]));
static DMA_PAGES_USED: AtomicUsize = AtomicUsize::new(0);

struct Dma;

// SAFETY: the machine has no MMU and no caches that show; pages come from a pool that is zeroed at
// the start, each once.
unsafe impl Hal for Dma {
    fn dma_alloc(pages: usize, _: BufferDirection) -> (PhysAddr, NonNull<u8>) {
        let first = DMA_PAGES_USED.fetch_add(pages, Ordering::Relaxed);
        assert!(
            first + pages <= DMA_PAGES,
            "the pool is as large as two queues need"
        );
        let pool = NonNull::from(&DMA_POOL.0).cast::<u8>();
        // SAFETY: inside the pool, as was just asserted.
        let page = unsafe { pool.add(first * PAGE_SIZE) };
        (page.as_ptr() as PhysAddr, page)
    }

    unsafe fn dma_dealloc(_: PhysAddr, _: NonNull<u8>, _: usize) -> i32 {
        // The card is in use as long as the machine runs.
        -1
    }

    unsafe fn mmio_phys_to_virt(address: PhysAddr, _: usize) -> NonNull<u8> {
        NonNull::new(address as *mut u8).expect("no device is at 0")
    }

    unsafe fn share(buffer: NonNull<[u8]>, _: BufferDirection) -> PhysAddr {
        buffer.cast::<u8>().as_ptr() as PhysAddr
    }

    unsafe fn unshare(_: PhysAddr, _: NonNull<[u8]>, _: BufferDirection) {}
}

type Device = VirtIONetRaw<Dma, MmioTransport<'static>, QUEUE>;

/// The network card.
pub struct Card {
    device: RefCell<Device>,
    /// Each lies in the receive queue under its index as the token.
    received: &'static mut [[u8; BUFFER_BYTES]; QUEUE],
    sent: &'static mut [u8; BUFFER_BYTES],
}

impl Card {
    /// The machine's card, or `None` if it has none. To be called once.
    pub fn find() -> Option<Self> {
        static RECEIVED: ConstStaticCell<[[u8; BUFFER_BYTES]; QUEUE]> =
            ConstStaticCell::new([[0; BUFFER_BYTES]; QUEUE]);
        static SENT: ConstStaticCell<[u8; BUFFER_BYTES]> = ConstStaticCell::new([0; BUFFER_BYTES]);
        let (slot, transport) = SLOTS.into_iter().find_map(|slot| {
            let header = NonNull::new((FIRST_SLOT + slot * SLOT_BYTES) as *mut VirtIOHeader)?;
            // SAFETY: the machine has registers at each of its slots, device or not.
            let transport = unsafe { MmioTransport::new(header, SLOT_BYTES) }.ok()?;
            (transport.device_type() == DeviceType::Network).then_some((slot, transport))
        })?;
        let mut device = Device::new(transport).ok()?;
        let received = RECEIVED.take();
        for (index, buffer) in received.iter_mut().enumerate() {
            // SAFETY: not touched until it is complete: see `Driver::receive`.
            let token = unsafe { device.receive_begin(buffer) }.ok()?;
            assert_eq!(
                usize::from(token),
                index,
                "a new queue gives tokens in order"
            );
        }
        CARD.store(FIRST_SLOT + slot * SLOT_BYTES, Ordering::Relaxed);
        machine::listen(FIRST_LINE + slot as u32);
        Some(Card {
            device: RefCell::new(device),
            received,
            sent: SENT.take(),
        })
    }
}

/// To be called when the card interrupts.
pub(crate) fn interrupted() {
    let card = CARD.load(Ordering::Relaxed);
    if card != 0 {
        write(card + INTERRUPT_ACK, read(card + INTERRUPT_STATUS));
        WAKER.wake();
    }
}

impl Driver for Card {
    type RxToken<'a> = Received<'a>;
    type TxToken<'a> = ToSend<'a>;

    fn receive(&mut self, context: &mut Context<'_>) -> Option<(Received<'_>, ToSend<'_>)> {
        WAKER.register(context.waker());
        let device = self.device.get_mut();
        let token = device.poll_receive()?;
        let buffer = &mut self.received[usize::from(token)];
        // SAFETY: the buffer that went in under this token: a buffer is put back before the next is
        // taken out, and the queue then gives the token that just became free.
        let (start, bytes) = unsafe { device.receive_complete(token, buffer) }.ok()?;
        let received = Received {
            device: &self.device,
            buffer,
            frame: start..start + bytes,
        };
        let to_send = ToSend {
            device: &self.device,
            buffer: self.sent,
        };
        Some((received, to_send))
    }

    fn transmit(&mut self, context: &mut Context<'_>) -> Option<ToSend<'_>> {
        WAKER.register(context.waker());
        // Sending waits until the card took the frame, so the queue is always free here.
        Some(ToSend {
            device: &self.device,
            buffer: self.sent,
        })
    }

    fn link_state(&mut self, _: &mut Context<'_>) -> LinkState {
        LinkState::Up
    }

    fn capabilities(&self) -> Capabilities {
        let mut capabilities = Capabilities::default();
        capabilities.max_transmission_unit = FRAME_BYTES_MAX;
        capabilities.max_burst_size = Some(QUEUE);
        capabilities
    }

    fn hardware_address(&self) -> HardwareAddress {
        HardwareAddress::Ethernet(self.device.borrow().mac_address())
    }
}

/// A frame that came in; its buffer goes back to the card when this is dropped.
pub struct Received<'a> {
    device: &'a RefCell<Device>,
    buffer: &'a mut [u8; BUFFER_BYTES],
    frame: Range<usize>,
}

impl RxToken for Received<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, take: F) -> R {
        take(&mut self.buffer[self.frame.clone()])
    }
}

impl Drop for Received<'_> {
    fn drop(&mut self) {
        // SAFETY: static memory that nobody touches until it is complete: see `Driver::receive`.
        let token = unsafe { self.device.borrow_mut().receive_begin(self.buffer) };
        debug_assert!(token.is_ok(), "the place it came from is free");
    }
}

/// A frame to go out.
pub struct ToSend<'a> {
    device: &'a RefCell<Device>,
    buffer: &'a mut [u8; BUFFER_BYTES],
}

impl TxToken for ToSend<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, bytes: usize, fill: F) -> R {
        let frame = &mut self.buffer[..bytes];
        let result = fill(frame);
        // A frame the card does not take is lost, as on any network.
        let _ = self.device.borrow_mut().send(frame);
        result
    }
}
