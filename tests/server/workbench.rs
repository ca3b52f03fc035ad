//! A build machine: a folder with a firmware, web pages and keys, and `airlift` run in it.

use std::{
    fs,
    io::{Read, Write},
    path::Path,
    process::{Command, Stdio},
    thread,
    time::Duration,
};

use airlift_esp::Target;
use airlift_simflash::ImageBuilder;
use airlift_testkit::Scratch;
use serde_json::Value;

const AIRLIFT: &str = env!("CARGO_BIN_EXE_airlift");
/// Longer than a program needs to switch a terminal's echo off.
const SILENCE: Duration = Duration::from_millis(500);
/// Builds a bundle of firmware and web pages.
pub const BOTH: &str = "--target esp32-wroom --firmware firmware.bin --web dist --version 2.7.0 \
    --changelog CHANGES.md --sign signing/release.secret.asc";
pub const PASSPHRASE: &str = "correct-horse-battery";

pub fn chip(target: Target) -> u16 {
    target.chip().expect("a target with a chip").0
}

/// An application image for a board.
pub fn app(target: Target) -> ImageBuilder {
    ImageBuilder::new(chip(target))
        .version("2.7.0")
        .project("jxct")
}

/// Each of these words, in this order.
pub fn words(text: &str, words: &[&str]) {
    let mut rest = text;
    for word in words {
        let Some((_, after)) = rest.split_once(word) else {
            panic!("{word:?} is missing, or too early:\n{text}");
        };
        rest = after;
    }
}

/// How a program ended.
#[derive(Debug)]
pub struct Ended {
    pub code: Option<i32>,
    pub out: String,
    pub err: String,
}

impl Ended {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

pub struct Workbench {
    scratch: Scratch,
}

impl Workbench {
    /// With a firmware for an ESP32, two web pages, a changelog, and the key `release` that is trusted.
    pub fn new() -> Workbench {
        let bench = Workbench {
            scratch: Scratch::new("bench").unwrap(),
        };
        bench.put("firmware.bin", &app(Target::Esp32Wroom).build());
        bench.put("dist/index.html", b"<h1>Hello</h1>");
        bench.put("dist/js/app.js", &[b'x'; 3000]);
        bench.put("CHANGES.md", b"# 2.7.0\n- faster\n");
        fs::create_dir(bench.path().join("keys")).unwrap();
        bench.make_key("release");
        let made = bench.path().join("signing/release.asc");
        fs::copy(made, bench.path().join("keys/release.asc")).unwrap();
        bench
    }

    pub fn path(&self) -> &Path {
        self.scratch.path()
    }

    pub fn make_key(&self, name: &str) {
        let line = format!("key generate --name {name} --no-passphrase --out signing");
        let made = self.airlift(&line);
        assert_eq!(made.code, Some(0), "{made:?}");
    }

    pub fn put(&self, name: &str, contents: &[u8]) {
        let path = self.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, contents).unwrap();
    }

    pub fn read(&self, name: &str) -> Vec<u8> {
        fs::read(self.path().join(name)).unwrap()
    }

    pub fn has(&self, name: &str) -> bool {
        self.path().join(name).exists()
    }

    /// What lies in the folder.
    pub fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(self.path()).unwrap();
        let mut names: Vec<_> = entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    /// `airlift bundle build …`.
    pub fn build(&self, line: &str) -> Ended {
        self.airlift(&format!("bundle build {line}"))
    }

    /// Builds, and is told this; nothing is written.
    pub fn refuses(&self, line: &str, said: &[&str]) {
        let before = self.names();
        let ended = self.build(line);
        assert_eq!(ended.code, Some(2), "{line}: {ended:?}");
        assert_eq!(ended.out, "", "{line}");
        for words in said {
            assert!(ended.err.contains(words), "{line}: {words}\n{}", ended.err);
        }
        assert_eq!(self.names(), before, "{line}");
    }

    /// `airlift bundle verify …` with the keys that are trusted.
    pub fn verify(&self, file: &str) -> Ended {
        self.airlift(&format!("bundle verify {file} --trusted-keys keys"))
    }

    pub fn airlift(&self, line: &str) -> Ended {
        self.run(line, &[])
    }

    pub fn run(&self, line: &str, environment: &[(&str, &str)]) -> Ended {
        let mut airlift = self.command(AIRLIFT, environment);
        ended(airlift.args(line.split_whitespace()), "")
    }

    pub fn with_input(&self, line: &str, input: &str) -> Ended {
        let mut airlift = self.command(AIRLIFT, &[]);
        ended(airlift.args(line.split_whitespace()), input)
    }

    /// On a terminal, where each answer is typed when its question stands there; all that the
    /// terminal shows is `out`.
    pub fn on_terminal(&self, line: &str, answers: &[(&str, &str)]) -> Ended {
        let line = format!("stty rows 30 cols 100; exec {AIRLIFT} {line}");
        let mut script = self.command("script", &[]);
        let mut child = script
            .args(["-qec", &line, "/dev/null"])
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        // Its end would be the end of what is typed.
        let mut keyboard = child.stdin.take().unwrap();
        let mut screen = child.stdout.take().unwrap();
        let mut shown = Vec::new();
        let mut buffer = [0; 4096];
        let mut answers = answers.iter().peekable();
        let mut answered = 0;
        loop {
            let count = screen.read(&mut buffer).unwrap();
            if count == 0 {
                break;
            }
            shown.extend_from_slice(&buffer[..count]);
            let since = String::from_utf8_lossy(&shown[answered..]);
            if let Some((_, answer)) = answers.next_if(|(question, _)| since.contains(question)) {
                answered = shown.len();
                // It asks, and then makes the terminal silent: what is typed before is shown.
                thread::sleep(SILENCE);
                writeln!(keyboard, "{answer}").unwrap();
            }
        }
        assert_eq!(answers.next(), None, "a question that was not asked");
        Ended {
            code: child.wait().unwrap().code(),
            out: String::from_utf8_lossy(&shown).into_owned(),
            err: String::new(),
        }
    }

    fn command(&self, program: &str, environment: &[(&str, &str)]) -> Command {
        let mut command = Command::new(program);
        command
            .current_dir(self.path())
            .env_remove("AIRLIFT_KEY_PASSPHRASE")
            .env_remove("AIRLIFT_TRUSTED_KEYS")
            .envs(environment.iter().copied())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }
}

fn ended(command: &mut Command, input: &str) -> Ended {
    let mut child = command.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let output = thread::scope(|scope| {
        // It may end without reading all of it.
        scope.spawn(move || stdin.write_all(input.as_bytes()));
        child.wait_with_output().unwrap()
    });
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Ended {
        code: output.status.code(),
        out: text(&output.stdout),
        err: text(&output.stderr),
    }
}
