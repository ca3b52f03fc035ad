//! The agent ends at every one of its acts in a whole poll: fetching, unpacking, keeping reports. What
//! a transaction does then has tests of its own, by real kills and power cuts.

use std::{
    any::Any,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    sync::atomic::{AtomicUsize, Ordering},
    thread,
};

use airlift_agent::{
    cycle::Summary,
    disk::{Act, Disk, Witness},
};
use serde_json::json;

use super::{
    device::{Device, content, tar, with},
    server::Server,
};

/// Deaths that are tried at the same time: most of their time they wait for the next second.
const THREADS: usize = 16;

struct Died;

/// Ends the agent at one of the moments before and after acts.
pub struct Reaper {
    at: usize,
    seen: AtomicUsize,
}

impl Reaper {
    pub fn at(at: usize) -> Reaper {
        let seen = AtomicUsize::new(0);
        Reaper { at, seen }
    }

    fn moment(&self) {
        if self.seen.fetch_add(1, Ordering::SeqCst) == self.at {
            resume_unwind(Box::new(Died));
        }
    }
}

impl Witness for Reaper {
    fn before(&self, _act: &Act) {
        self.moment();
    }

    fn after(&self, _act: &Act) {
        self.moment();
    }
}

fn ready() -> (Server, Device) {
    let server = Server::start();
    let device = Device::new(&server, &["app", "lib"]);
    let tree = tar(&[("bin/run", &[1; 100_000]), ("etc/conf", b"x")]);
    let app = with(
        content("app", "1.0.0"),
        "dependencies",
        json!({"lib": "^1"}),
    );
    let app = with(app, "AfterUpdate", json!("test -f $OTA_LOCAL/bin/run"));
    server.push(app, &zstd::encode_all(&tree[..], 1).unwrap());
    server.push(content("lib", "1.0.0"), b"lib");
    (server, device)
}

/// Whether it died at that moment.
fn dies(device: &Device, at: usize) -> bool {
    let disk = Disk::watched(Reaper::at(at));
    let poll = || device.poll_by(disk, |cycle| cycle.poll().unwrap());
    match catch_unwind(AssertUnwindSafe(poll)) {
        Ok(_) => false,
        Err(why) => was_death(why),
    }
}

/// True; whatever else unwinds goes on.
pub fn was_death(why: Box<dyn Any + Send>) -> bool {
    match why.is::<Died>() {
        true => true,
        false => resume_unwind(why),
    }
}

/// Dies at that moment and comes back; false if there is no such moment.
fn die_and_come_back(at: usize) -> bool {
    let (server, device) = ready();
    if !dies(&device, at) {
        return false;
    }
    device.poll_by(Disk::default(), |cycle| {
        cycle.recover(&mut Summary::default()).unwrap()
    });
    let (app, lib) = (device.local("app"), device.local("lib"));
    assert_eq!(
        app.join("etc/conf").exists(),
        lib.exists(),
        "half of it after {at}"
    );
    assert_eq!(
        lib.exists(),
        device.installed("lib").is_some(),
        "after {at}"
    );
    let mut polls = 0;
    loop {
        let summary = device.poll();
        assert!(summary.is_good(), "after {at}: {summary:?}");
        polls += 1;
        if device.installed("app").is_some() && device.names("outbox").is_empty() {
            break;
        }
        assert!(polls < 3, "after {at}: {summary:?}");
    }
    assert_eq!(std::fs::read(&lib).unwrap(), b"lib");
    assert!(app.join("bin/run").exists());
    assert_eq!(device.names("releases").len(), 2, "after {at}");
    assert!(device.names("downloads").is_empty(), "after {at}");
    assert!(
        !device.folders().root().join("under_way.json").exists(),
        "after {at}"
    );
    let last = server.last_progress();
    assert_eq!(last["data"]["state"], "completed", "after {at}");
    true
}

#[test]
fn an_agent_that_ends_at_any_act_of_a_poll_goes_on_from_there() {
    let next = AtomicUsize::new(0);
    let died = AtomicUsize::new(0);
    thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                while die_and_come_back(next.fetch_add(1, Ordering::SeqCst)) {
                    died.fetch_add(1, Ordering::SeqCst);
                }
            });
        }
    });
    let died = died.into_inner();
    println!("died {died} times");
    assert!(died > 100, "{died}");
}
