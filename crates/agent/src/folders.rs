use std::path::{Path, PathBuf};

/// Where the agent keeps what it knows.
#[derive(Clone, Debug, PartialEq)]
pub struct Folders {
    state: PathBuf,
}

impl Folders {
    pub fn new(state: impl Into<PathBuf>) -> Folders {
        Folders {
            state: state.into(),
        }
    }

    /// The state folder itself.
    pub fn root(&self) -> &Path {
        &self.state
    }

    /// Held by the agent that runs.
    pub fn lock(&self) -> PathBuf {
        self.state.join("lock")
    }

    pub fn state_file(&self) -> PathBuf {
        self.state.join("state.json")
    }

    pub fn journal(&self) -> PathBuf {
        self.state.join("journal")
    }

    pub fn releases(&self) -> PathBuf {
        self.state.join("releases")
    }

    /// Where the file of this SHA-256 is unpacked.
    pub fn release(&self, sha256: &str) -> PathBuf {
        self.releases().join(sha256)
    }

    pub fn downloads(&self) -> PathBuf {
        self.state.join("downloads")
    }

    /// What has been fetched so far of the file of this SHA-256.
    pub fn download(&self, sha256: &str) -> PathBuf {
        self.downloads().join(format!("{sha256}.part"))
    }

    /// Reports that the server has not taken yet.
    pub fn outbox(&self) -> PathBuf {
        self.state.join("outbox")
    }
}
