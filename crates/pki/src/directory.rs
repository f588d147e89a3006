//! `StateDir`, `CredentialStore`: the state directory, its modes, and credentials switched as one.
//!
//! A version of credentials is written whole beside the others and becomes the current one by the
//! rename of one symbolic link (`pki.md` section 8), so a reader never sees a key without its
//! certificate, whatever was interrupted.

mod credentials;
mod modes;
mod trust;
mod versions;

pub use credentials::{CredentialStore, Meta, ServiceHint, StoredCredentials};
pub use trust::{StoredTrust, TrustMeta, TrustStore};
pub use versions::Found;

use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// Layout of the directory.
const VERSION: &str = "1";
/// What may stand at its top.
const KNOWN: [&str; 12] = [
    "VERSION",
    "lock",
    "instance",
    "credentials",
    "trust",
    "authority",
    "run",
    "audit",
    "captures",
    "quota",
    "last-good",
    "lost+found",
];

/// Why a state directory cannot be used. `Display` is the operator's sentence.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DirectoryError {
    /// A file could not be read or written.
    #[error("{path}: {what}")]
    Io {
        /// Which.
        path: String,
        /// What went wrong.
        what: String,
    },
    /// Another process uses the directory.
    #[error("state directory `{0}` is in use by another process")]
    Locked(String),
    /// Something else is in it.
    #[error("state directory `{directory}` is not empty and is not Segwan's: it holds `{entry}`")]
    Foreign {
        /// The directory.
        directory: String,
        /// What does not belong there.
        entry: String,
    },
    /// It was written by another version.
    #[error("state directory `{0}` has the layout `{1}`; this build knows `{VERSION}`")]
    Layout(String, String),
    /// Others than its owner could read or change a file.
    #[error("{path} {problem}")]
    Mode {
        /// Which.
        path: String,
        /// What is wrong, with the mode.
        problem: String,
        /// The command that mends it.
        hint: String,
    },
    /// No version of some credentials can be used.
    #[error("the credentials of `{name}` cannot be used: {why}")]
    Credentials {
        /// Whose.
        name: String,
        /// Why not, for each version.
        why: String,
    },
}

impl DirectoryError {
    pub(crate) fn io(path: &Path, error: &std::io::Error) -> Self {
        let what = match error.kind() {
            std::io::ErrorKind::NotFound => "does not exist".to_owned(),
            std::io::ErrorKind::PermissionDenied => "permission denied".to_owned(),
            std::io::ErrorKind::StorageFull => "the disk is full".to_owned(),
            std::io::ErrorKind::ReadOnlyFilesystem => "the file system is read-only".to_owned(),
            _ => error.to_string(),
        };
        Self::Io { path: path.display().to_string(), what }
    }

    /// The next step, where there is one.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Mode { hint, .. } => Some(hint.clone()),
            Self::Locked(_) => {
                Some("one process serves a state directory; `--state` names another".to_owned())
            }
            Self::Foreign { .. } => Some("name an empty directory with `--state`".to_owned()),
            Self::Credentials { .. } => {
                Some("join again with a new token, in an empty state directory".to_owned())
            }
            _ => None,
        }
    }
}

/// The state of one installation: keys, certificates, the Authority's store, the audit log.
#[derive(Debug)]
pub struct StateDir {
    path: PathBuf,
    /// Held as long as the process serves.
    _lock: Option<File>,
}

impl StateDir {
    /// Opens a state directory to serve from it: makes it if there is none, takes its lock, removes
    /// what an interrupted start left, and refuses what others could have read or changed.
    ///
    /// # Errors
    /// If it is in use, not ours, or not private.
    pub fn open(path: &Path) -> Result<Self, DirectoryError> {
        make_private(path)?;
        let path = path.canonicalize().map_err(|e| DirectoryError::io(path, &e))?;
        refuse_foreign(&path)?;
        modes::private_directory(&path)?;
        let lock = lock(&path)?;
        let known = layout(&path)?;
        let directory = Self { path, _lock: Some(lock) };
        for name in ["credentials", "trust", "run", "audit"] {
            make_private(&directory.path.join(name))?;
        }
        directory.remove_leftovers()?;
        if !known {
            mark(&directory.path)?;
        }
        modes::private_tree(&directory.path)?;
        Ok(directory)
    }

    /// Opens a state directory to look at it, while another process may serve from it.
    ///
    /// # Errors
    /// If there is none, or it is not ours.
    pub fn open_shared(path: &Path) -> Result<Self, DirectoryError> {
        let path = path.canonicalize().map_err(|e| DirectoryError::io(path, &e))?;
        refuse_foreign(&path)?;
        layout(&path)?;
        Ok(Self { path, _lock: None })
    }

    /// The directory.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Where the admin socket stands.
    #[must_use]
    pub fn admin_socket(&self) -> PathBuf {
        self.path.join("run/admin.sock")
    }

    /// Where the audit log stands.
    #[must_use]
    pub fn audit(&self) -> PathBuf {
        self.path.join("audit")
    }

    /// Where the Authority's own files stand.
    #[must_use]
    pub fn authority(&self) -> PathBuf {
        self.path.join("authority")
    }

    /// Whether an Authority was made here.
    #[must_use]
    pub fn has_authority(&self) -> bool {
        self.authority().exists()
    }

    /// The credentials of one identity.
    #[must_use]
    pub fn credentials(&self, name: &str) -> CredentialStore {
        CredentialStore::new(&self.path, name)
    }

    /// The random id of this installation, 32 hex digits: by it the Authority tells two hosts with
    /// one identity apart. Made at the first call, once.
    ///
    /// # Errors
    /// If it cannot be read or written, or no random numbers are to be had.
    pub fn instance(&self) -> Result<String, DirectoryError> {
        let place = self.path.join("instance");
        let is_id = |text: &str| text.len() == 32 && text.bytes().all(|b| b.is_ascii_hexdigit());
        match std::fs::read_to_string(&place) {
            Ok(text) if is_id(text.trim()) => return Ok(text.trim().to_owned()),
            Ok(_) => std::fs::remove_file(&place).map_err(|e| DirectoryError::io(&place, &e))?,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(DirectoryError::io(&place, &error)),
        }
        let id = crate::key::random::<16>().map_err(|error| DirectoryError::Io {
            path: place.display().to_string(),
            what: error.to_string(),
        })?;
        let id = crate::key::hex(&id);
        let part = self.path.join("instance.tmp");
        let _ = std::fs::remove_file(&part);
        write_private(&part, format!("{id}\n").as_bytes())?;
        std::fs::rename(&part, &place).map_err(|e| DirectoryError::io(&place, &e))?;
        sync(&self.path)?;
        Ok(id)
    }

    /// Names that have credentials here.
    #[must_use]
    pub fn credential_names(&self) -> Vec<String> {
        let entries =
            std::fs::read_dir(self.path.join("credentials")).into_iter().flatten().flatten();
        let mut names: Vec<String> = entries
            .filter(|entry| entry.path().join("current").exists())
            .map(|entry| entry.file_name().to_string_lossy().replace('~', "/"))
            .collect();
        names.sort();
        names
    }

    /// A start that was interrupted left directories that nobody uses.
    fn remove_leftovers(&self) -> Result<(), DirectoryError> {
        let mut places = vec![self.path.clone()];
        for kind in ["credentials", "trust"] {
            let names = std::fs::read_dir(self.path.join(kind)).into_iter().flatten().flatten();
            places.extend(names.map(|entry| entry.path()));
        }
        for place in places {
            for entry in std::fs::read_dir(&place).into_iter().flatten().flatten() {
                let name = entry.file_name();
                let name = name.to_string_lossy();
                if name.ends_with(".tmp") || name.ends_with(".init") {
                    let path = entry.path();
                    let is_dir = entry.file_type().is_ok_and(|kind| kind.is_dir());
                    let removed = if is_dir {
                        std::fs::remove_dir_all(&path)
                    } else {
                        std::fs::remove_file(&path)
                    };
                    removed.map_err(|e| DirectoryError::io(&path, &e))?;
                }
            }
        }
        Ok(())
    }
}

/// Makes a directory that only its owner may enter, with its parents.
///
/// # Errors
/// If it cannot be made.
pub fn make_private(path: &Path) -> Result<(), DirectoryError> {
    let made = DirBuilder::new().recursive(true).mode(0o700).create(path);
    made.map_err(|e| DirectoryError::io(path, &e))
}

/// Writes a new file that only its owner may read, and waits until it is on the disk.
///
/// # Errors
/// If it exists or cannot be written.
pub fn write_private(path: &Path, bytes: &[u8]) -> Result<(), DirectoryError> {
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    let written = file.and_then(|mut file| {
        file.write_all(bytes)?;
        file.sync_all()
    });
    #[cfg(test)]
    crate::watching::written();
    written.map_err(|e| DirectoryError::io(path, &e))
}

/// One certificate in PEM.
pub(crate) fn pem_of(der: &[u8]) -> String {
    credentials::pem(&[der.to_vec()])
}

/// Something else in PEM.
pub(crate) fn pem_labelled(label: &str, der: &[u8]) -> String {
    credentials::labelled(label, der)
}

/// Waits until what was renamed in a directory is on the disk.
pub(crate) fn sync(path: &Path) -> Result<(), DirectoryError> {
    #[cfg(test)]
    crate::watching::written();
    File::open(path).and_then(|d| d.sync_all()).map_err(|e| DirectoryError::io(path, &e))
}

fn refuse_foreign(path: &Path) -> Result<(), DirectoryError> {
    let entries = std::fs::read_dir(path).map_err(|e| DirectoryError::io(path, &e))?;
    for entry in entries.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let ours =
            KNOWN.contains(&name.as_str()) || name.ends_with(".init") || name.ends_with(".tmp");
        if !ours {
            return Err(DirectoryError::Foreign {
                directory: path.display().to_string(),
                entry: name,
            });
        }
    }
    Ok(())
}

fn lock(path: &Path) -> Result<File, DirectoryError> {
    let place = path.join("lock");
    let file = OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(&place);
    let file = file.map_err(|e| DirectoryError::io(&place, &e))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(DirectoryError::Locked(path.display().to_string())),
        Err(TryLockError::Error(error)) => Err(DirectoryError::io(&place, &error)),
    }
}

/// Refuses the layout of another version; a directory without one is new, or not yet made.
fn layout(path: &Path) -> Result<bool, DirectoryError> {
    let place = path.join("VERSION");
    match std::fs::read_to_string(&place) {
        Ok(text) if text.trim() == VERSION => Ok(true),
        Ok(text) => {
            let other = text.trim().chars().take(20).collect();
            Err(DirectoryError::Layout(path.display().to_string(), other))
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(DirectoryError::io(&place, &error)),
    }
}

/// Writes the layout under another name first: what a full disk leaves of it is no layout.
fn mark(path: &Path) -> Result<(), DirectoryError> {
    let (part, place) = (path.join("VERSION.tmp"), path.join("VERSION"));
    write_private(&part, format!("{VERSION}\n").as_bytes())?;
    std::fs::rename(&part, &place).map_err(|e| DirectoryError::io(&place, &e))?;
    sync(path)
}

#[cfg(test)]
mod tests;
