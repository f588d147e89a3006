//! What the ends of streams lead to (`trust.md` section 8), where it is not the session that
//! decides: resets, broken records, the ends of raw streams, and sides that take nothing more.

use super::{Outcome, Passage, Relay};
use crate::gateway::end::{End, Ended, Leave};
use segwan_core::rejection::Reason;

impl Relay<'_> {
    pub(super) fn conclude(&self) -> Result<(), Outcome> {
        let hears = |end: &End| end.deaf.is_none();
        if self.client.ended.is_none()
            && self.server.ended.is_none()
            && hears(&self.client)
            && hears(&self.server)
        {
            return Ok(());
        }
        self.conclude_client()?;
        self.conclude_server()?;
        self.check_hearing()?;
        let over = |end: &End| end.is_finished() && end.ended.is_some();
        if over(&self.client) && over(&self.server) {
            return Err(match self.client.ended {
                Some(Ended::Truncated) => Outcome::close(
                    Reason::UncleanClose,
                    "the peer closed without close_notify, between messages",
                ),
                _ => Outcome::close(Reason::Closed, ""),
            });
        }
        Ok(())
    }

    fn conclude_client(&self) -> Result<(), Outcome> {
        let after_the_answer = self.server.ended == Some(Ended::Clean);
        match (&self.client.ended, &self.passage) {
            (None | Some(Ended::Clean), _) | (Some(Ended::Truncated), Passage::Checked(_)) => {
                Ok(())
            }
            (Some(Ended::Truncated), _) if after_the_answer => Err(Outcome::reset(
                Reason::UncleanClose,
                "the peer closed without close_notify after the service had ended",
            )),
            (Some(Ended::Truncated), Passage::Raw(_)) => Err(Outcome::reset(
                Reason::TruncatedStream,
                "the peer closed without close_notify, where the end of the stream has meaning",
            )),
            (Some(Ended::Cut), _) => Err(Outcome::reset(
                Reason::TruncatedStream,
                "the peer closed without close_notify, inside a TLS record",
            )),
            (Some(Ended::Reset), _) => {
                Err(Outcome::reset(Reason::ResetByPeer, "the peer reset the connection"))
            }
            (Some(Ended::Broken(error)), _) => Err(Outcome {
                reason: Reason::TlsError,
                sentence: format!("the peer broke TLS: {error}"),
                client: Leave::Abandon,
                server: Leave::Reset,
            }),
        }
    }

    fn conclude_server(&self) -> Result<(), Outcome> {
        let (sentence, server) = match &self.server.ended {
            None | Some(Ended::Clean) => return Ok(()),
            Some(Ended::Truncated | Ended::Cut) => {
                ("the server closed without close_notify".to_owned(), Leave::Reset)
            }
            Some(Ended::Reset) => ("the service reset the connection".to_owned(), Leave::Reset),
            Some(Ended::Broken(error)) => {
                (format!("the server broke TLS: {error}"), Leave::Abandon)
            }
        };
        // No close_notify: a cut answer must not look whole (F9, ADV-31).
        Err(Outcome { reason: Reason::TruncatedAnswer, sentence, client: Leave::Reset, server })
    }

    /// A side that takes nothing any more. What it still says is read first, where it was the
    /// service: its answer may be whole although it did not want the rest of the question.
    fn check_hearing(&self) -> Result<(), Outcome> {
        let both_ended = self.client.ended.is_some() && self.server.ended.is_some();
        if self.client.deaf.is_some() && !both_ended {
            let sentence = "the peer reset the connection while it was answered";
            return Err(Outcome::reset(Reason::ResetByPeer, sentence));
        }
        if self.server.deaf.is_some() && self.server.ended.is_some() && self.client.waiting() == 0 {
            return Err(Outcome {
                reason: Reason::Closed,
                sentence: "the service ended while the peer still spoke".to_owned(),
                client: Leave::Close,
                server: Leave::Reset,
            });
        }
        Ok(())
    }
}
