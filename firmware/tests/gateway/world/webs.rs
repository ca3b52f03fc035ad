//! Web parts: what the server has of them, and what may run with what.

use std::{collections::HashMap, ops::Range};

use airlift_bundle::{Kind, Manifest, Part, PartName};
use airlift_firmware::{Answer, Event};
use airlift_simflash::Random;
use md5::Md5;
use sha2::{Digest, Sha256};

use super::*;

const TABLE: &str = "\
nvs,        data, nvs,    0x9000,  0x5000
otadata,    data, ota,    0xe000,  0x2000
app0,       app,  ota_0,  0x10000, 0x10000
app1,       app,  ota_1,  0x20000, 0x10000
spiffs_web, data, spiffs, 0x30000, 0x3000
";
const TABLE_WITH_FACTORY: &str = "\
nvs,        data, nvs,     0x9000,  0x5000
otadata,    data, ota,     0xe000,  0x2000
factory,    app,  factory, 0x10000, 0x10000
app0,       app,  ota_0,   0x20000, 0x10000
app1,       app,  ota_1,   0x30000, 0x10000
spiffs_web, data, spiffs,  0x40000, 0x3000
";
/// Of the web partition.
pub const WEB_BYTES: usize = 0x3000;

/// A web part on the server.
#[derive(Clone)]
pub struct WebFile {
    pub announced: Vec<u8>,
    pub served: Vec<u8>,
}

/// What may be in the flash once the gateway has started: never anything else.
struct State {
    /// The version of the image.
    image: String,
    /// All of the web partition.
    web: Vec<u8>,
    /// What the gateway has to call itself.
    version: String,
}

#[derive(Default)]
pub struct Webs {
    pub partition: Range<u32>,
    pub files: HashMap<String, WebFile>,
    states: Vec<State>,
    /// How the firmware dies of a web part.
    pub dies: Option<(Vec<u8>, Death)>,
}

/// What a bundle is made of.
pub struct Bundle<'b> {
    pub version: &'b str,
    pub kind: Kind,
    pub web: &'b [u8],
}

/// Random bytes, and behind them nothing but what fills a SPIFFS.
pub fn web_of(seed: u64, random_bytes: usize, bytes: usize) -> Vec<u8> {
    let mut web = vec![0xFF; bytes];
    Random::new(seed).fill(&mut web[..random_bytes.min(bytes)]);
    web
}

pub fn web_name(msg_id: &str) -> String {
    format!("{msg_id}.web_spiffs.bin")
}

impl World {
    /// A gateway with a web partition that trusts the release key.
    pub fn with_web(loader: Loader, factory: bool, web: &[u8]) -> Self {
        let mut world = match factory {
            true => World::on(loader, TABLE_WITH_FACTORY, 0x4_8000),
            false => World::on(loader, TABLE, 0x3_8000),
        };
        world.trust();
        let from = if factory { 0x4_0000 } else { 0x3_0000 };
        world.webs.partition = from..from + WEB_BYTES as u32;
        world.flash.sim.borrow_mut().load(from, web);
        let web = world.web();
        world.may_run(FIRST_VERSION, &web, FIRST_VERSION);
        world
    }

    /// All of the web partition.
    pub fn web(&self) -> Vec<u8> {
        let Range { start, end } = self.webs.partition;
        let flash = self.flash.sim.borrow();
        flash.bytes(start, (end - start) as usize)
    }

    /// This image and this web part may run together from now on.
    pub fn may_run(&mut self, image: &str, web: &[u8], version: &str) {
        self.webs.states.push(State {
            image: image.into(),
            web: web.to_vec(),
            version: version.into(),
        });
    }

    /// The web partition after a web part was written over what `before` has.
    pub fn web_after(before: &[u8], web: &[u8]) -> Vec<u8> {
        let mut after = web.to_vec();
        after.resize(web.len().next_multiple_of(4096), 0xFF);
        after.extend(&before[after.len()..]);
        after
    }

    fn states(&self) -> impl Iterator<Item = &State> {
        let web = self.web();
        let states = self.webs.states.iter();
        states.filter(move |state| state.image == self.running && state.web == web)
    }

    /// Firmware and web part are both new or both old.
    pub(super) fn check_state(&self) {
        assert!(
            self.webs.states.is_empty() || self.states().next().is_some(),
            "a mix: {} runs with another web part",
            self.running
        );
    }

    /// Whether the gateway may call itself that.
    pub(super) fn is_version(&self, version: &str) -> bool {
        match self.webs.states.is_empty() {
            true => version == self.running,
            false => self.states().any(|state| state.version == version),
        }
    }

    pub(super) fn web_death(&self) -> Option<Death> {
        let (web, death) = self.webs.dies.as_ref()?;
        (self.web() == *web).then_some(*death)
    }

    /// The server has this bundle. Tells what the web partition will hold.
    pub fn offer_bundle(&mut self, msg_id: &str, counter: u64, bundle: &Bundle<'_>) -> Vec<u8> {
        self.offer_manifest(msg_id, counter, bundle);
        let after = World::web_after(&self.web(), bundle.web);
        let image = match bundle.kind {
            Kind::Web => self.running.clone(),
            _ => bundle.version.to_owned(),
        };
        self.may_run(&image, &after, bundle.version);
        after
    }

    /// The server has this bundle, which must not be installed.
    pub fn offer_manifest(&mut self, msg_id: &str, counter: u64, bundle: &Bundle<'_>) {
        let manifest = self.bundle_manifest(msg_id, counter, bundle);
        self.offer(msg_id, &manifest);
    }

    fn bundle_manifest(&mut self, msg_id: &str, counter: u64, bundle: &Bundle<'_>) -> Manifest {
        let file = WebFile {
            announced: bundle.web.to_vec(),
            served: bundle.web.to_vec(),
        };
        self.webs.files.insert(web_name(msg_id), file);
        let mut manifest = manifest(bundle.version, counter, &self.image(bundle.version));
        manifest.kind = bundle.kind.as_str().into();
        manifest.parts.push(Part {
            name: PartName::Web.file_name().into(),
            partition: PartName::Web.partition().into(),
            size: bundle.web.len() as u64,
            sha256: hex(&Sha256::digest(bundle.web)),
            md5: hex(&Md5::digest(bundle.web)),
        });
        if bundle.kind == Kind::Web {
            manifest.parts.remove(0);
        }
        manifest
    }

    /// Orders a bundle that is offered.
    pub fn order_bundle(&mut self, msg_id: &str, version: &str, kind: Kind) {
        self.order_bundle_with(msg_id, version, kind, |_| {});
    }

    pub fn order_bundle_with(
        &mut self,
        msg_id: &str,
        version: &str,
        kind: Kind,
        change: impl FnOnce(&mut UpgradeData),
    ) {
        let web = self.webs.files[&web_name(msg_id)].announced.clone();
        self.order_with(msg_id, version, FileKind::Good, |data| {
            bundle(data, msg_id);
            let web = PartData {
                name: PartName::Web.file_name().into(),
                partition: PartName::Web.partition().into(),
                url: format!("http://server/{}", web_name(msg_id)),
                size: web.len() as u64,
                sha256: hex(&Sha256::digest(&web)),
                md5: hex(&Md5::digest(&web)),
            };
            if kind == Kind::Web {
                data.parts.clear();
                (data.firmware_url, data.file_size) = (web.url.clone(), web.size);
                (data.md5, data.sha256) = (web.md5.clone(), Some(web.sha256.clone()));
            }
            data.kind = Some(kind.as_str().into());
            data.parts.push(web);
            change(data);
        });
    }

    /// The server answers for a web part. False: it was not asked for one.
    pub(super) fn answer_web(&mut self, ranges: bool) -> bool {
        let Some(fetching) = &mut self.fetching else {
            return false;
        };
        if !self.webs.files.contains_key(&fetching.msg_id) {
            return false;
        }
        let etag = format!("\"{}\"", fetching.msg_id);
        let is_same = fetching.etag.as_ref().is_none_or(|asked| *asked == etag);
        let is_partial = ranges && fetching.offset > 0 && is_same;
        let start = if is_partial { fetching.offset } else { 0 };
        fetching.position = Some(start.into());
        let job = fetching.job;
        let answer = Answer {
            status: if is_partial { 206 } else { 200 },
            start: start.into(),
            etag: Some(&etag),
            ..Answer::default()
        };
        self.happens(Event::Answer { job, answer });
        true
    }

    /// The next bytes of a web part. False: it is none that comes.
    pub(super) fn serve_web(&mut self, from: usize, length: usize) -> bool {
        let Some(fetching) = &mut self.fetching else {
            return false;
        };
        let Some(file) = self.webs.files.get(&fetching.msg_id) else {
            return false;
        };
        let bytes = file.served.clone();
        let to = bytes.len().min(from.saturating_add(length));
        if from >= to {
            self.cut_download();
            return true;
        }
        fetching.position = Some(to as u64);
        self.bytes_served += (to - from) as u64;
        let (job, bytes) = (fetching.job, &bytes[from..to]);
        self.happens(Event::Chunk { job, bytes });
        true
    }
}
