//! Runs one handshake over a stream: reads, sends, ends with a peer or with the alert delivered.

use super::{HandshakeError, Secured};
use crate::tls::buffers::Buffers;
use crate::tls::config::TlsFloor;
use crate::tls::record::{RecordError, Records};
use crate::tls::words::in_words;
use rustls::{Error, InvalidMessage, PeerIncompatible};
use segwan_core::audit::shown;
use segwan_core::rejection::Reason;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::time::{Instant, timeout, timeout_at};

/// How long an alert may take to be heard, and how much is read meanwhile: closing with unread
/// bytes would send a reset that overtakes the alert (`trust.md` section 15).
const LAST_WORDS: (Duration, usize) = (Duration::from_secs(1), 64 * 1024);

pub(super) async fn run<S>(
    stream: &mut S,
    records: Records,
    deadline: Instant,
    floor: TlsFloor,
) -> Result<Secured, HandshakeError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let began = Instant::now();
    let mut handshake = Handshake {
        records,
        unsent: Vec::new(),
        early: Vec::new(),
        closed: false,
        received: 0,
        failure: None,
        begun: false,
    };
    let end = timeout_at(deadline, poll_fn(|cx| handshake.poll(stream, cx))).await;
    let failure = match end {
        Ok(Ok(())) => match handshake.failure.take() {
            None => return handshake.finish(),
            Some(failure) => failure,
        },
        Ok(Err(error)) => return Err(handshake.broken(&error)),
        Err(_) => return Err(handshake.late(deadline - began)),
    };
    let _ = timeout(LAST_WORDS.0, deliver(stream)).await;
    Err(handshake.explain(&failure, floor))
}

struct Handshake {
    records: Records,
    /// Sealed bytes that the socket has not taken yet.
    unsent: Vec<u8>,
    early: Vec<u8>,
    closed: bool,
    received: usize,
    /// What ended it; the alert is in `unsent`.
    failure: Option<RecordError>,
    begun: bool,
}

impl Handshake {
    /// One turn: send what there is, then read; ready once nothing is left to say and either the
    /// peer is proved or the handshake failed.
    fn poll<S>(&mut self, stream: &mut S, cx: &mut Context<'_>) -> Poll<io::Result<()>>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        loop {
            while !self.unsent.is_empty() {
                let sent = ready!(Pin::new(&mut *stream).poll_write(cx, &self.unsent))?;
                if sent == 0 {
                    return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
                }
                self.unsent.drain(..sent);
            }
            if self.failure.is_some() || self.records.is_ready() {
                return Poll::Ready(Ok(()));
            }
            ready!(Buffers::with(|buffers| self.step(stream, cx, buffers)))?;
        }
    }

    fn step<S>(
        &mut self,
        stream: &mut S,
        cx: &mut Context<'_>,
        buffers: &mut Buffers,
    ) -> Poll<io::Result<()>>
    where
        S: AsyncRead + Unpin,
    {
        let mut read = 0;
        // The connecting side speaks first, without having read anything.
        if self.begun || !self.records.speaks_first() {
            let room = self.records.room(&mut buffers.incoming);
            let mut into = ReadBuf::new(room);
            ready!(Pin::new(stream).poll_read(cx, &mut into))?;
            read = into.filled().len();
            if read == 0 {
                return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()));
            }
        }
        self.begun = true;
        self.received += read;
        let Buffers { incoming, plain, sealed } = buffers;
        match self.records.open(incoming, read, plain, sealed) {
            Ok(closed) => self.closed = closed,
            Err(error) => self.failure = Some(error),
        }
        self.unsent.extend_from_slice(sealed.filled());
        self.early.extend_from_slice(plain.filled());
        Poll::Ready(Ok(()))
    }

    fn finish(mut self) -> Result<Secured, HandshakeError> {
        let failed = |reason, sentence: &str| {
            Err(HandshakeError { reason, sentence: sentence.to_owned(), presented: None })
        };
        if self.records.is_resumed() {
            let sentence = "the handshake was resumed, so no certificate was looked at";
            return failed(Reason::ResumptionSeen, sentence);
        }
        let Some(Ok(peer)) = self.records.take_verdict() else {
            let sentence = "the handshake ended without a verified certificate";
            return failed(Reason::Internal, sentence);
        };
        self.early.shrink_to_fit();
        let peer = Arc::new(peer);
        Ok(Secured { records: self.records, peer, early: self.early, closed: self.closed })
    }

    fn late(&self, allowed: Duration) -> HandshakeError {
        let sentence = format!(
            "no complete handshake within {} s; {} bytes received",
            allowed.as_secs_f64().round(),
            self.received
        );
        HandshakeError { reason: Reason::HandshakeTimeout, sentence, presented: None }
    }

    fn broken(&self, error: &io::Error) -> HandshakeError {
        let how = match error.kind() {
            io::ErrorKind::UnexpectedEof => "closed",
            io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => "reset",
            _ => "broken",
        };
        let sentence =
            format!("the connection was {how} in the handshake, after {} bytes", self.received);
        HandshakeError { reason: Reason::TlsError, sentence, presented: None }
    }

    fn explain(&mut self, failure: &RecordError, floor: TlsFloor) -> HandshakeError {
        if let Some(Err(fault)) = self.records.take_verdict() {
            let (reason, sentence, presented) = (fault.reason, fault.sentence, fault.presented);
            return HandshakeError { reason, sentence, presented };
        }
        let floor = floor.as_str();
        let (reason, sentence) = match &failure.0 {
            Error::NoCertificatesPresented => {
                (Reason::CertificateRequired, "the peer showed no certificate".to_owned())
            }
            Error::PeerIncompatible(
                PeerIncompatible::SupportedVersionsExtensionRequired
                | PeerIncompatible::ServerDoesNotSupportTls12Or13
                | PeerIncompatible::ServerTlsVersionIsDisabledByOurConfig
                | PeerIncompatible::Tls12NotOffered
                | PeerIncompatible::Tls12NotOfferedOrEnabled,
            ) => (Reason::TlsVersion, format!("the peer speaks no TLS {floor} or newer")),
            Error::AlertReceived(alert) => {
                let alert = in_words(&format!("{alert:?}"));
                (Reason::TlsError, format!("the peer broke off with the alert `{alert}`"))
            }
            Error::InvalidMessage(
                InvalidMessage::InvalidContentType
                | InvalidMessage::UnknownProtocolVersion
                | InvalidMessage::MessageTooLarge,
            ) => (Reason::TlsError, "what the peer sent is not TLS".to_owned()),
            other => {
                let why = shown(in_words(&other.to_string()).as_bytes());
                (Reason::TlsError, format!("the handshake failed: {why}"))
            }
        };
        HandshakeError { reason, sentence, presented: None }
    }
}

/// Ends our side and reads the other's for a while, so that the alert arrives before a reset.
async fn deliver<S: AsyncRead + AsyncWrite + Unpin>(stream: &mut S) -> io::Result<()> {
    stream.shutdown().await?;
    let mut left = LAST_WORDS.1;
    let mut sink = [0; 1024];
    while left > 0 {
        let read = stream.read(&mut sink).await?;
        if read == 0 {
            break;
        }
        left = left.saturating_sub(read);
    }
    Ok(())
}
