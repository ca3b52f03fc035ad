//! What goes into a bundle: the firmware's file and the web part, checked and digested.

use std::{
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
};

use airlift_bundle::{
    Part, PartName,
    image::{FirmwareCheck, FirmwareInfo},
    spiffs,
    web::{self, Packed},
};
use airlift_esp::Target;
use anyhow::{Context, Result, ensure};
use md5::Md5;
use sha2::{Digest, Sha256};

use super::BuildArgs;
use crate::cli::progress::Progress;

const READ_BYTES: usize = 64 << 10;

/// The parts of a bundle in the making.
pub struct Prepared {
    pub firmware: Option<Firmware>,
    pub web: Option<Web>,
}

pub struct Firmware {
    pub part: Part,
    path: PathBuf,
    pub info: FirmwareInfo,
}

pub struct Web {
    pub part: Part,
    image: Vec<u8>,
    /// `None` if the image came as it is.
    pub packed: Option<PackedFolder>,
}

/// What a folder came to.
pub struct PackedFolder {
    pub files: usize,
    /// Flash that they take, bytes.
    pub taken: u64,
    pub left_out: Vec<web::LeftOut>,
}

pub fn target_names() -> Vec<&'static str> {
    Target::ALL.map(Target::name).to_vec()
}

impl Prepared {
    /// Checks what the arguments name; only what fits the target is prepared.
    pub fn read(args: &BuildArgs, target: Target, progress: &Progress) -> Result<Prepared> {
        let firmware = args.firmware.as_deref();
        let firmware = firmware.map(|path| Firmware::read(path, target, progress));
        let web = match (&args.web, &args.web_image) {
            (Some(folder), _) => Some(Web::pack(folder, target)?),
            (None, Some(path)) => Some(Web::read(path, target)?),
            (None, None) => None,
        };
        Ok(Prepared {
            firmware: firmware.transpose()?,
            web,
        })
    }

    /// As the manifest has them.
    pub fn parts(&self) -> Vec<Part> {
        let firmware = self.firmware.iter().map(|it| it.part.clone());
        firmware
            .chain(self.web.iter().map(|it| it.part.clone()))
            .collect()
    }

    pub fn open<'p>(
        &'p self,
        name: PartName,
        progress: &Progress,
    ) -> io::Result<Box<dyn Read + 'p>> {
        match (name, &self.firmware, &self.web) {
            (PartName::Firmware, Some(firmware), _) => {
                let file = File::open(&firmware.path)?;
                Ok(Box::new(progress.over(
                    "compresses",
                    firmware.part.size,
                    file,
                )))
            }
            (PartName::Web, _, Some(web)) => Ok(Box::new(&web.image[..])),
            _ => Err(io::ErrorKind::NotFound.into()),
        }
    }
}

impl Firmware {
    fn read(path: &Path, target: Target, progress: &Progress) -> Result<Firmware> {
        let shown = path.display();
        let unread = || format!("can't read --firmware {shown}");
        let file = File::open(path).with_context(unread)?;
        let about = file.metadata().with_context(unread)?;
        ensure!(about.is_file(), "--firmware {shown} is no file");
        FirmwareCheck::check_size(target, about.len())
            .with_context(|| format!("--firmware {shown}"))?;
        let mut check = FirmwareCheck::new(target);
        let mut digests = Digests::default();
        let mut input = progress.over("checks the firmware", about.len(), file);
        let mut buffer = vec![0; READ_BYTES];
        loop {
            let count = input.read(&mut buffer).with_context(unread)?;
            let bytes = &buffer[..count];
            if bytes.is_empty() {
                break;
            }
            let checked = check.update(bytes);
            checked.with_context(|| format!("--firmware {shown}"))?;
            digests.update(bytes);
        }
        let info = check
            .finish()
            .with_context(|| format!("--firmware {shown}"))?;
        Ok(Firmware {
            part: digests.part(PartName::Firmware),
            path: path.to_path_buf(),
            info,
        })
    }
}

impl Web {
    fn pack(folder: &Path, target: Target) -> Result<Web> {
        let packed = web::pack(folder, target);
        let Packed {
            image,
            included,
            left_out,
            taken,
        } = packed.with_context(|| format!("--web {}", folder.display()))?;
        let mut web = Web::of(image);
        web.packed = Some(PackedFolder {
            files: included.len(),
            taken,
            left_out,
        });
        Ok(web)
    }

    fn read(path: &Path, target: Target) -> Result<Web> {
        let shown = path.display();
        let unread = || format!("can't read --web-image {shown}");
        let room = target.web_bytes_max();
        let file = File::open(path).with_context(unread)?;
        let size = file.metadata().with_context(unread)?.len();
        ensure!(
            size <= u64::from(room),
            "--web-image {shown} has {size} bytes, {} has {room} for it: {} too many",
            target.name(),
            size - u64::from(room)
        );
        let mut image = Vec::new();
        let mut file = file.take(u64::from(room) + 1);
        file.read_to_end(&mut image).with_context(unread)?;
        ensure!(!image.is_empty(), "--web-image {shown} is empty");
        // A gateway on a PC keeps any bytes.
        if target.chip().is_some() {
            spiffs::check(&image, room).with_context(|| {
                format!(
                    "--web-image {shown}; make it with --web DIR, or with ESP-IDF's `spiffsgen.py {room}`"
                )
            })?;
        }
        Ok(Web::of(image))
    }

    fn of(image: Vec<u8>) -> Web {
        let mut digests = Digests::default();
        digests.update(&image);
        Web {
            part: digests.part(PartName::Web),
            image,
            packed: None,
        }
    }
}

#[derive(Default)]
struct Digests {
    size: u64,
    sha256: Sha256,
    md5: Md5,
}

impl Digests {
    fn update(&mut self, bytes: &[u8]) {
        self.size += bytes.len() as u64;
        self.sha256.update(bytes);
        self.md5.update(bytes);
    }

    fn part(self, name: PartName) -> Part {
        Part {
            name: name.file_name().to_owned(),
            partition: name.partition().to_owned(),
            size: self.size,
            sha256: hex::encode(self.sha256.finalize()),
            md5: hex::encode(self.md5.finalize()),
        }
    }
}
