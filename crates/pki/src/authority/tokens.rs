//! Tokens that nobody could be shown: left in files that only the Authority's owner may read.

use super::{Authority, AuthorityError};
use crate::directory::{DirectoryError, write_private};
use crate::enrollment::Token;
use std::path::PathBuf;

impl Authority {
    /// Leaves a token in a file of its own, in place of an older one of the same name. It is
    /// removed when the token is used, or at the next start after its end.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn leave_token(&self, token: &Token) -> Result<PathBuf, AuthorityError> {
        self.forget_token(&token.name)?;
        let path = self.token_file(&token.name);
        write_private(&path, format!("{}\n", *token.reveal()).as_bytes())?;
        Ok(path)
    }

    /// Removes the file of a token, if there is one.
    ///
    /// # Errors
    /// If it cannot be removed.
    pub(super) fn forget_token(&self, name: &str) -> Result<(), AuthorityError> {
        let path = self.token_file(name);
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(DirectoryError::io(&path, &error).into())
            }
            _ => Ok(()),
        }
    }

    /// Removes the files of tokens that have ended, and what is no token: a minute later, for it may
    /// be one on its way to the disk.
    pub(super) fn forget_ended_tokens(&self, now_ms: i64) {
        let entries = std::fs::read_dir(&self.0.tokens).into_iter().flatten().flatten();
        for path in entries.map(|entry| entry.path()) {
            let token = std::fs::read_to_string(&path).ok().and_then(|t| Token::parse(&t).ok());
            let over = match token {
                Some(token) => token.expires.saturating_mul(1000) <= now_ms,
                None => is_old(&path, now_ms),
            };
            if over {
                let _ = std::fs::remove_file(&path);
            }
        }
    }

    /// `~` is in no name, so two names never share a file.
    fn token_file(&self, name: &str) -> PathBuf {
        self.0.tokens.join(format!("{}.token", name.replace('/', "~")))
    }
}

/// Whether a file was not written to for a minute.
fn is_old(path: &std::path::Path, now_ms: i64) -> bool {
    let written = path.metadata().and_then(|file| file.modified()).ok();
    let since = written.and_then(|at| at.duration_since(std::time::UNIX_EPOCH).ok());
    let written_ms = since.and_then(|since| i64::try_from(since.as_millis()).ok());
    written_ms.is_some_and(|at| at + 60_000 < now_ms)
}
