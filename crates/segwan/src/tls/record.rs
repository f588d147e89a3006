//! `Records`: the data path's door to rustls, opening and sealing in the caller's buffers.
//!
//! Its face has the shape of rustls 0.24's split mode, so the move there is this file.

use crate::tls::buffers::{CHUNK, Space};
use crate::tls::verify::{Verdict, overheard};
use crate::tls::words::in_words;
use rustls::client::UnbufferedClientConnection;
use rustls::pki_types::ServerName;
use rustls::server::UnbufferedServerConnection;
use rustls::unbuffered::{
    ConnectionState, EncodeError, EncryptError, InsufficientSizeError, UnbufferedStatus,
};
use rustls::{ClientConfig, Error, HandshakeKind, ProtocolVersion, ServerConfig};
use std::sync::Arc;

/// Most bytes of an unfinished record or handshake message; the rest of a thread's `incoming`
/// stays free, so there is always room to read.
const HELD: usize = 72 * 1024;

/// The TLS state of one connection. Of bytes it owns an incomplete record, if there is one.
pub struct Records {
    side: Side,
    /// Bytes that came and are not done with. rustls may remember places in them, so they stay in
    /// front of whatever it is given next, also when it is only asked to seal.
    held: Vec<u8>,
    peer_closed: bool,
    /// After an error nothing is asked of rustls any more.
    failed: bool,
    /// What the verifier found; told once.
    verdict: Option<Box<Verdict>>,
}

enum Side {
    Server(Box<UnbufferedServerConnection>),
    Client(Box<UnbufferedClientConnection>),
}

/// Why records cannot be opened or sealed any more.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("{}", in_words(&.0.to_string()))]
pub struct RecordError(pub(crate) Error);

impl Records {
    pub(crate) fn accept(config: Arc<ServerConfig>) -> Result<Self, Error> {
        Ok(Self::new(Side::Server(Box::new(UnbufferedServerConnection::new(config)?))))
    }

    pub(crate) fn connect(
        config: Arc<ClientConfig>,
        name: ServerName<'static>,
    ) -> Result<Self, Error> {
        Ok(Self::new(Side::Client(Box::new(UnbufferedClientConnection::new(config, name)?))))
    }

    fn new(side: Side) -> Self {
        Self { side, held: Vec::new(), peer_closed: false, failed: false, verdict: None }
    }

    /// The part of the thread's `incoming` that a socket may fill: what follows the incomplete
    /// record that is kept. It is never empty.
    pub fn room<'b>(&self, incoming: &'b mut [u8]) -> &'b mut [u8] {
        incoming.get_mut(self.held.len()..).unwrap_or_default()
    }

    /// Opens every whole record among the `read` bytes that the socket put into
    /// [`room`](Self::room), into `plain`, and says whether the peer's close_notify has come: then
    /// it says nothing more, and may still listen. What TLS itself has to say (handshake, key
    /// update, alert) is put into `sealed` and must be sent, also on an error.
    ///
    /// # Errors
    /// If the peer breaks the protocol or sent a fatal alert; the connection is over.
    pub fn open(
        &mut self,
        incoming: &mut [u8],
        read: usize,
        plain: &mut Space,
        sealed: &mut Space,
    ) -> Result<bool, RecordError> {
        if self.failed {
            return Err(RecordError(Error::General("the connection has failed".to_owned())));
        }
        let held = std::mem::take(&mut self.held);
        let size = (held.len() + read).min(incoming.len());
        let (front, _) = incoming.split_at_mut(size);
        front[..held.len()].copy_from_slice(&held);
        let (result, verdict) = overheard(|| match &mut self.side {
            Side::Server(connection) => open(&mut **connection, front, plain, sealed),
            Side::Client(connection) => open(&mut **connection, front, plain, sealed),
        });
        if let Some(verdict) = verdict {
            self.verdict = Some(Box::new(verdict));
        }
        self.failed = result.is_err();
        let (used, closed) = result.map_err(RecordError)?;
        self.peer_closed |= closed;
        let rest = front.get(used..).unwrap_or_default();
        if self.peer_closed {
            return Ok(true);
        }
        if rest.len() > HELD {
            self.failed = true;
            return Err(RecordError(Error::General("a handshake message is too long".to_owned())));
        }
        if !rest.is_empty() {
            self.held = rest.to_vec();
        }
        Ok(false)
    }

    /// Seals at most [`CHUNK`] bytes from the front of `plain` into `sealed`; returns how many.
    ///
    /// # Errors
    /// If the handshake is not done, close_notify was sent, or the keys are worn out.
    pub fn seal(&mut self, plain: &[u8], sealed: &mut Space) -> Result<usize, RecordError> {
        let chunk = plain.get(..CHUNK).unwrap_or(plain);
        self.write(Some(chunk), sealed)?;
        Ok(chunk.len())
    }

    /// Puts close_notify into `sealed`: the orderly end of what this side says.
    ///
    /// # Errors
    /// If the handshake is not done.
    pub fn close(&mut self, sealed: &mut Space) -> Result<(), RecordError> {
        self.write(None, sealed)
    }

    fn write(&mut self, plain: Option<&[u8]>, sealed: &mut Space) -> Result<(), RecordError> {
        if self.failed {
            return Err(RecordError(Error::General("the connection has failed".to_owned())));
        }
        let result = match &mut self.side {
            Side::Server(connection) => write(&mut **connection, &mut self.held, plain, sealed),
            Side::Client(connection) => write(&mut **connection, &mut self.held, plain, sealed),
        };
        self.failed = result.is_err();
        result.map_err(RecordError)
    }

    /// Whether application data may pass: both sides are authenticated.
    pub(crate) fn is_ready(&self) -> bool {
        match &self.side {
            Side::Server(connection) => !connection.is_handshaking(),
            Side::Client(connection) => !connection.is_handshaking(),
        }
    }

    /// The verdict on the peer's certificate, if the verifier was asked; told once.
    pub(crate) fn take_verdict(&mut self) -> Option<Verdict> {
        self.verdict.take().map(|verdict| *verdict)
    }

    /// Whether the handshake skipped the verifier. It cannot; whoever sees `true` ends the
    /// connection (DEP-01).
    pub(crate) fn is_resumed(&self) -> bool {
        let kind = match &self.side {
            Side::Server(connection) => connection.handshake_kind(),
            Side::Client(connection) => connection.handshake_kind(),
        };
        matches!(kind, Some(HandshakeKind::Resumed))
    }

    /// Whether a record has begun and is not whole: a stream that ends here was cut.
    #[must_use]
    pub fn is_inside_a_record(&self) -> bool {
        !self.held.is_empty()
    }

    /// `TLSv1.3` or `TLSv1.2`.
    #[must_use]
    pub fn version(&self) -> &'static str {
        let version = match &self.side {
            Side::Server(connection) => connection.protocol_version(),
            Side::Client(connection) => connection.protocol_version(),
        };
        match version {
            Some(ProtocolVersion::TLSv1_2) => "TLSv1.2",
            _ => "TLSv1.3",
        }
    }

    /// Whether this side begins the handshake.
    pub(crate) fn speaks_first(&self) -> bool {
        matches!(self.side, Side::Client(_))
    }
}

/// Sides whose records can be processed; rustls has one inherent method for each.
trait Process {
    type Data;
    fn process<'c, 'i>(&'c mut self, tls: &'i mut [u8]) -> UnbufferedStatus<'c, 'i, Self::Data>;
}

impl Process for UnbufferedServerConnection {
    type Data = rustls::server::ServerConnectionData;
    fn process<'c, 'i>(&'c mut self, tls: &'i mut [u8]) -> UnbufferedStatus<'c, 'i, Self::Data> {
        self.process_tls_records(tls)
    }
}

impl Process for UnbufferedClientConnection {
    type Data = rustls::client::ClientConnectionData;
    fn process<'c, 'i>(&'c mut self, tls: &'i mut [u8]) -> UnbufferedStatus<'c, 'i, Self::Data> {
        self.process_tls_records(tls)
    }
}

/// Processes `incoming` as far as it goes; returns how much of its front is done with, and
/// whether close_notify came. After an error rustls' last words, the alert, are in `sealed`.
fn open<P: Process>(
    connection: &mut P,
    incoming: &mut [u8],
    plain: &mut Space,
    sealed: &mut Space,
) -> Result<(usize, bool), Error> {
    let mut used = 0;
    let mut closed = false;
    let mut failed = None;
    loop {
        let rest = incoming.get_mut(used..).unwrap_or_default();
        let UnbufferedStatus { discard, state } = connection.process(rest);
        used += discard;
        match state {
            Ok(ConnectionState::EncodeTlsData(mut data)) => {
                let size = data.encode(sealed.free()).map_err(|error| no_room(&error))?;
                sealed.advance(size);
                // The alert is out. Asked once more, rustls would meet the same bytes again and
                // make a second fatal alert, which it asserts it never does.
                if failed.is_some() {
                    break;
                }
            }
            Ok(ConnectionState::TransmitTlsData(data)) => data.done(),
            _ if failed.is_some() => break,
            Ok(ConnectionState::ReadTraffic(mut traffic)) => {
                while let Some(record) = traffic.next_record() {
                    let record = record?;
                    used += record.discard;
                    if !plain.put(record.payload) {
                        return Err(Error::General("no room for plain bytes".to_owned()));
                    }
                }
            }
            Ok(ConnectionState::PeerClosed) => closed = true,
            // Early data is off on both sides (T-06).
            Ok(ConnectionState::ReadEarlyData(_)) => {
                return Err(Error::General("early data was not offered".to_owned()));
            }
            Ok(_) => break,
            Err(error) => failed = Some(error),
        }
    }
    failed.map_or(Ok((used, closed)), Err)
}

/// Seals `plain`, or the close_notify where there is none. `held` holds no whole record, so
/// nothing is opened here.
fn write<P: Process>(
    connection: &mut P,
    held: &mut Vec<u8>,
    plain: Option<&[u8]>,
    sealed: &mut Space,
) -> Result<(), Error> {
    loop {
        let UnbufferedStatus { discard, state } = connection.process(held);
        let mut done = false;
        match state? {
            ConnectionState::WriteTraffic(mut traffic) => {
                let size = match plain {
                    Some(plain) => traffic.encrypt(plain, sealed.free()),
                    None => traffic.queue_close_notify(sealed.free()),
                };
                sealed.advance(size.map_err(|error| no_encryption(&error))?);
                done = true;
            }
            ConnectionState::EncodeTlsData(mut data) => {
                let size = data.encode(sealed.free()).map_err(|error| no_room(&error))?;
                sealed.advance(size);
            }
            ConnectionState::TransmitTlsData(data) => data.done(),
            ConnectionState::PeerClosed => {}
            ConnectionState::Closed if plain.is_none() => done = true,
            _ => return Err(Error::HandshakeNotComplete),
        }
        if discard > 0 {
            held.drain(..discard.min(held.len()));
        }
        if done {
            return Ok(());
        }
    }
}

fn no_room(error: &EncodeError) -> Error {
    Error::General(error.to_string())
}

fn no_encryption(error: &EncryptError) -> Error {
    match error {
        EncryptError::InsufficientSize(InsufficientSizeError { .. }) => {
            Error::General("no room for sealed bytes".to_owned())
        }
        EncryptError::EncryptExhausted => Error::EncryptError,
    }
}
