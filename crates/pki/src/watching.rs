//! What a power loss would leave: a copy of a state directory at each write, for tests.

use std::cell::RefCell;
use std::path::{Path, PathBuf};

struct Watch {
    state: PathBuf,
    copies: PathBuf,
    taken: usize,
}

thread_local! {
    static WATCH: RefCell<Option<Watch>> = const { RefCell::new(None) };
}

/// Copies `state` to `copies/0`, `copies/1`, … at each write of this thread from now on.
pub(crate) fn begin(state: &Path, copies: &Path) {
    let watch = Watch { state: state.to_owned(), copies: copies.to_owned(), taken: 0 };
    WATCH.set(Some(watch));
}

/// How many copies there are.
pub(crate) fn taken() -> usize {
    WATCH.with_borrow(|watch| watch.as_ref().map_or(0, |watch| watch.taken))
}

/// Ends it; the copies.
pub(crate) fn end() -> Vec<PathBuf> {
    let Some(watch) = WATCH.take() else { return Vec::new() };
    (0..watch.taken).map(|number| watch.copies.join(number.to_string())).collect()
}

/// Something was written, or is about to be.
pub(crate) fn written() {
    WATCH.with_borrow_mut(|watch| {
        if let Some(watch) = watch {
            copy(&watch.state, &watch.copies.join(watch.taken.to_string()));
            watch.taken += 1;
        }
    });
}

fn copy(from: &Path, to: &Path) {
    crate::directory::make_private(to).unwrap();
    for entry in std::fs::read_dir(from).into_iter().flatten().flatten() {
        let (path, place) = (entry.path(), to.join(entry.file_name()));
        let kind = entry.file_type().unwrap();
        if kind.is_dir() {
            copy(&path, &place);
        } else if kind.is_symlink() {
            std::os::unix::fs::symlink(std::fs::read_link(&path).unwrap(), &place).unwrap();
        } else if entry.file_name() != "reserve" {
            // Vanishes between look and copy only if another thread removes it.
            let _ = std::fs::copy(&path, &place);
        }
    }
}
