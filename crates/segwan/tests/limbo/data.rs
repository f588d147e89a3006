//! The public suites, which stay beside the checkout: in `$SEGWAN_DATA`, else in `shared/data`
//! next to it.

use std::path::PathBuf;

/// The bytes of a suite; `None`, said aloud, if it is not here.
pub(crate) fn suite(file: &str) -> Option<Vec<u8>> {
    let beside = || concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/data").into();
    let data: PathBuf = std::env::var_os("SEGWAN_DATA").map_or_else(beside, PathBuf::from);
    let path = data.join(file);
    let bytes = std::fs::read(&path).ok();
    if bytes.is_none() {
        println!("{} is absent, so nothing was tested", path.display());
    }
    bytes
}
