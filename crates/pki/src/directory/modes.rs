//! Who else could read or change what is in the state directory.

use super::DirectoryError;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// Refuses a directory that others may enter.
pub(super) fn private_directory(path: &Path) -> Result<(), DirectoryError> {
    let metadata = path.symlink_metadata().map_err(|e| DirectoryError::io(path, &e))?;
    private(path, &metadata)
}

/// Refuses a tree in which anything is readable or writable by others, belongs to somebody else,
/// or leads elsewhere (PKI-09).
pub(super) fn private_tree(path: &Path) -> Result<(), DirectoryError> {
    for part in ["credentials", "authority", "trust", "run", "audit", "quota"] {
        let part = path.join(part);
        if part.exists() {
            below(&part, 0)?;
        }
    }
    Ok(())
}

fn below(path: &Path, depth: usize) -> Result<(), DirectoryError> {
    let metadata = path.symlink_metadata().map_err(|e| DirectoryError::io(path, &e))?;
    if metadata.is_symlink() {
        let target = std::fs::read_link(path).map_err(|e| DirectoryError::io(path, &e))?;
        let name = path.file_name().unwrap_or_default();
        let plain = target.components().count() == 1 && !target.is_absolute();
        let current = name == "current" || name == "current.tmp";
        if plain && current && target.as_os_str() != ".." {
            return Ok(());
        }
        let problem = format!("is a link to `{}`", target.display());
        return Err(mode(path, problem, "put the file itself there"));
    }
    private(path, &metadata)?;
    if metadata.is_dir() && depth < 6 {
        let entries = std::fs::read_dir(path).map_err(|e| DirectoryError::io(path, &e))?;
        for entry in entries.flatten() {
            below(&entry.path(), depth + 1)?;
        }
    }
    Ok(())
}

fn private(path: &Path, metadata: &std::fs::Metadata) -> Result<(), DirectoryError> {
    let bits = metadata.mode() & 0o7777;
    if metadata.uid() != rustix::process::geteuid().as_raw() {
        let problem = format!("belongs to user {}", metadata.uid());
        return Err(mode(path, problem, "run as its owner"));
    }
    if bits & 0o077 != 0 {
        let whom = if bits & 0o007 != 0 { "others" } else { "its group" };
        let how = if bits & 0o022 != 0 { "changeable" } else { "readable" };
        let problem = format!("is {how} by {whom} (mode {bits:04o})");
        let wanted = if metadata.is_dir() { "700" } else { "600" };
        return Err(mode(path, problem, &format!("chmod {wanted} {}", path.display())));
    }
    Ok(())
}

fn mode(path: &Path, problem: String, hint: &str) -> DirectoryError {
    DirectoryError::Mode { path: path.display().to_string(), problem, hint: hint.to_owned() }
}
