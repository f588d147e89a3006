//! Files that a configuration names: read whole, once, and never beyond a bound.
//!
//! Only regular files are read: a pipe that nobody writes to would be waited for without an end.

use segwan_core::finding::Finding;
use std::fs::{File, metadata};
use std::io::{ErrorKind, Read};
use std::path::Path;

/// Largest file that a configuration may name, and the configuration itself, in bytes.
pub(crate) const LARGEST: u64 = 1 << 20;

/// The text of a file.
///
/// # Errors
/// A sentence, if it cannot be read, is over 1 MiB or no UTF-8.
pub(crate) fn text(path: &Path) -> Result<String, String> {
    let bytes = bytes(path)?;
    String::from_utf8(bytes).map_err(|_| format!("`{}` is not text in UTF-8", path.display()))
}

/// As [`text`], with the place at which a file is no UTF-8.
///
/// # Errors
/// The finding, if it cannot be read, is over 1 MiB or no UTF-8.
pub(crate) fn document(path: &Path) -> Result<String, Finding> {
    let file = path.display().to_string();
    let bytes = bytes(path).map_err(|why| Finding::whole(&file, why))?;
    String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        let before = String::from_utf8_lossy(error.as_bytes());
        let message = format!("`{file}` is not text in UTF-8");
        Finding::error(&file, &before, at, message).check("K-01")
    })
}

/// The bytes of a file.
///
/// # Errors
/// A sentence, if it cannot be read or is over 1 MiB.
pub(crate) fn bytes(path: &Path) -> Result<Vec<u8>, String> {
    at_most(path, LARGEST)
}

/// The bytes of a file of at most `most` bytes.
///
/// # Errors
/// A sentence, if it cannot be read or is larger.
pub(crate) fn at_most(path: &Path, most: u64) -> Result<Vec<u8>, String> {
    let shown = path.display();
    let unreadable = |error: std::io::Error| match error.kind() {
        ErrorKind::NotFound => format!("there is no file `{shown}`"),
        ErrorKind::PermissionDenied => format!("`{shown}` may not be read by this user"),
        _ => format!("`{shown}` cannot be read: {error}"),
    };
    let kind = metadata(path).map_err(unreadable)?;
    if kind.is_dir() {
        return Err(format!("`{shown}` is a directory"));
    }
    if !kind.is_file() {
        return Err(format!("`{shown}` is no regular file"));
    }
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(unreadable)?;
    // One byte more than may be there tells that there is more.
    file.take(most + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() as u64 > most {
        return Err(format!("`{shown}` is over {} MiB", most >> 20));
    }
    Ok(bytes)
}
