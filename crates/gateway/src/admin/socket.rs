//! The admin socket: a file that only its owner may open, from the first moment that it is there.

use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use tokio::net::{UnixListener, UnixStream};

/// Longest path of a unix socket on Linux, without its ending zero.
const LONGEST: usize = 107;

/// Listens at `path`, in place of a socket that an earlier process left there; that nobody else
/// serves the state is known by its lock. It is made beside its place and renamed, with mode 0600,
/// so that it never stands there with another. Must be called within a runtime.
///
/// # Errors
/// If it cannot be made, or the path is longer than the system takes.
pub fn bind(path: &Path) -> io::Result<UnixListener> {
    // As long as the last path, so that both fit or none does.
    let beside = path.with_extension("temp");
    if beside.as_os_str().len() > LONGEST {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            format!(
                "`{}` is over the {LONGEST} bytes that a socket's path may have",
                path.display()
            ),
        ));
    }
    remove(&beside)?;
    let listener = UnixListener::bind(&beside)?;
    std::fs::set_permissions(&beside, std::fs::Permissions::from_mode(0o600))?;
    std::fs::rename(&beside, path)?;
    Ok(listener)
}

fn remove(path: &Path) -> io::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Whether the other end is root or our own user, as the kernel says it.
pub(super) fn is_ours(stream: &UnixStream) -> bool {
    let own = rustix::process::geteuid().as_raw();
    stream.peer_cred().is_ok_and(|peer| may_ask(peer.uid(), own))
}

fn may_ask(peer: u32, own: u32) -> bool {
    peer == 0 || peer == own
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_stale_socket_is_replaced_by_one_that_only_its_owner_opens() {
        let parent = tempfile::tempdir().unwrap();
        let path = parent.path().join("admin.sock");
        let first = bind(&path).unwrap();
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        drop(first);
        assert!(path.exists() && UnixStream::connect(&path).await.is_err());
        let second = bind(&path).unwrap();
        let (joined, accepted) = tokio::join!(UnixStream::connect(&path), second.accept());
        assert!(is_ours(&joined.unwrap()) && is_ours(&accepted.unwrap().0));
        assert_eq!(std::fs::read_dir(parent.path()).unwrap().count(), 1);
    }

    #[tokio::test]
    async fn a_path_that_is_too_long_is_named() {
        let parent = tempfile::tempdir().unwrap();
        let refused = bind(&parent.path().join("x".repeat(120))).unwrap_err().to_string();
        assert!(refused.contains("over the 107 bytes"), "{refused}");
    }

    #[test]
    fn another_user_may_not_ask() {
        assert!(may_ask(0, 1000) && may_ask(1000, 1000));
        assert!(!may_ask(1001, 1000) && !may_ask(1000, 0));
    }
}
