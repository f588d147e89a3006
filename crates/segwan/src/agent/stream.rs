//! `Lines`: the event stream, line by line, each wait and each line with a bound.

use super::{AgentError, now_ms};
use http_body_util::BodyExt;
use hyper::body::{Bytes, Incoming};
use segwan_core::audit::shown;
use segwan_pki::api::EventLine;
use segwan_pki::authority::Subscription;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::time::Duration;
use tokio::time::timeout;

/// Nothing for so long, where a line comes every 15 s: the stream is dead.
const SILENCE: Duration = Duration::from_secs(45);
/// Most bytes of a line: two lists of 8 MiB and a set of 200,000 entries, as text.
pub(super) const LINE: usize = 48 * 1024 * 1024;

/// An open event stream.
pub(super) enum Lines {
    Network(Box<NetworkLines>),
    Process(Box<Subscription>),
}

impl Lines {
    /// The next line; waits for one. May be dropped while it waits: nothing is lost then.
    /// `None`: the stream is over.
    pub(super) async fn next(&mut self) -> Result<Option<EventLine>, AgentError> {
        match self {
            Self::Network(lines) => lines.next().await,
            Self::Process(stream) => Ok(stream.next(now_ms).await?),
        }
    }
}

/// What drives a connection while its answer is read.
pub(super) struct Driver(Option<Pin<Box<dyn Future<Output = ()> + Send>>>);

impl Driver {
    pub(super) fn new(connection: impl Future<Output = ()> + Send + 'static) -> Self {
        Self(Some(Box::pin(connection)))
    }

    /// Waits for `work`, while the connection is driven as long as it lasts; its end shows in the
    /// work.
    pub(super) async fn during<T>(&mut self, work: impl Future<Output = T>) -> T {
        let mut work = pin!(work);
        poll_fn(|cx| {
            if self.0.as_mut().is_some_and(|driving| driving.as_mut().poll(cx).is_ready()) {
                self.0 = None;
            }
            work.as_mut().poll(cx)
        })
        .await
    }
}

/// The body of an answer that does not end.
pub(super) struct NetworkLines {
    body: Incoming,
    driver: Driver,
    buffer: Vec<u8>,
    /// Bytes of the buffer that hold no line end.
    searched: usize,
    address: String,
}

impl NetworkLines {
    pub(super) fn new(body: Incoming, driver: Driver, address: &str) -> Self {
        let (buffer, address) = (Vec::new(), address.to_owned());
        Self { body, driver, buffer, searched: 0, address }
    }

    async fn next(&mut self) -> Result<Option<EventLine>, AgentError> {
        loop {
            if let Some(line) = self.buffered()? {
                return Ok(Some(line));
            }
            match timeout(SILENCE, self.more()).await {
                Ok(Some(Ok(bytes))) => self.buffer.extend_from_slice(&bytes),
                Ok(Some(Err(error))) => {
                    return Err(self.broken(&shown(error.to_string().as_bytes())));
                }
                Ok(None) => return Ok(None),
                Err(_) => return Err(self.broken("nothing was said for 45 s")),
            }
        }
    }

    /// A whole line, if there is one.
    fn buffered(&mut self) -> Result<Option<EventLine>, AgentError> {
        let fresh = self.buffer.get(self.searched..).unwrap_or_default();
        let Some(end) = fresh.iter().position(|byte| *byte == b'\n') else {
            self.searched = self.buffer.len();
            if self.buffer.len() > LINE {
                return Err(AgentError::Answer(format!("a line of over {LINE} bytes")));
            }
            return Ok(None);
        };
        let rest = self.buffer.split_off(self.searched + end + 1);
        let line = std::mem::replace(&mut self.buffer, rest);
        self.searched = 0;
        let line = serde_json::from_slice(&line);
        line.map(Some).map_err(|_| AgentError::Answer("its event is not well-formed".to_owned()))
    }

    async fn more(&mut self) -> Option<Result<Bytes, hyper::Error>> {
        let frame = self.driver.during(self.body.frame()).await?;
        Some(frame.map(|frame| frame.into_data().unwrap_or_default()))
    }

    fn broken(&self, why: &str) -> AgentError {
        AgentError::Unreachable(format!("{}: {why}", self.address))
    }
}
