//! `Peer`: a scripted TLS client over blocking sockets. It can do what a program should not: stop
//! in mid-handshake, write byte by byte, cut the stream without close_notify.

use crate::PATIENCE;
use crate::pki::Leaf;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::version::{TLS12, TLS13};
use rustls::{
    ClientConfig, ClientConnection, DigitallySignedStruct, Error, HandshakeKind, SignatureScheme,
    SupportedProtocolVersion,
};
use socket2::SockRef;
use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// One connection to a TLS port.
pub struct Peer {
    tcp: TcpStream,
    tls: ClientConnection,
    heard: Heard,
}

/// What a peer got until now.
#[derive(Debug, Clone, Default)]
pub struct Heard {
    /// Every byte on the wire.
    pub wire: Vec<u8>,
    /// What it decrypts to.
    pub plain: Vec<u8>,
    /// Whether close_notify came.
    pub close_notify: bool,
    /// What TLS stopped at, an alert for example.
    pub fault: Option<Error>,
    /// How the TCP stream ended, if it did.
    pub end: Option<End>,
}

/// How a TCP stream ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// In order.
    Fin,
    /// By a reset.
    Reset,
}

impl Heard {
    /// The plain bytes as text.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.plain).into_owned()
    }
}

impl Peer {
    /// Connects and shakes hands over TLS 1.3 as `leaf`, or as nobody. What the gateway makes of
    /// the certificate is not known yet: in TLS 1.3 the client is done first.
    ///
    /// # Panics
    /// If the client's part of the handshake fails.
    #[must_use]
    pub fn connect(at: SocketAddr, leaf: Option<&Leaf>) -> Self {
        let mut peer = Self::begin(at, leaf, &TLS13);
        peer.shake_hands().expect("a handshake");
        peer
    }

    /// The same over TLS 1.2, where the verdict is part of the handshake.
    ///
    /// # Errors
    /// What TLS stopped at.
    pub fn connect_12(at: SocketAddr, leaf: Option<&Leaf>) -> Result<Self, Error> {
        let mut peer = Self::begin(at, leaf, &TLS12);
        peer.shake_hands().map(|()| peer)
    }

    /// Connects, and says nothing yet.
    ///
    /// # Panics
    /// If nobody listens.
    #[must_use]
    pub fn begin(
        at: SocketAddr,
        leaf: Option<&Leaf>,
        version: &'static SupportedProtocolVersion,
    ) -> Self {
        Self::with(at, config(leaf, version))
    }

    /// As [`begin`](Self::begin), with settings that other connections share: they remember
    /// sessions.
    ///
    /// # Panics
    /// If nobody listens.
    #[must_use]
    pub fn with(at: SocketAddr, config: Arc<ClientConfig>) -> Self {
        let name = ServerName::try_from("localhost").expect("a name");
        let tls = ClientConnection::new(config, name).expect("a client");
        Self { tcp: plain(at), tls, heard: Heard::default() }
    }

    /// Whether the handshake was a full one.
    #[must_use]
    pub fn handshake(&self) -> Option<HandshakeKind> {
        self.tls.handshake_kind()
    }

    /// Finishes the handshake, and reads no more than that takes.
    ///
    /// # Errors
    /// What TLS stopped at.
    pub fn shake_hands(&mut self) -> Result<(), Error> {
        while self.tls.is_handshaking() {
            self.flush();
            if self.tls.is_handshaking() && !self.read() {
                let lost = || Error::General(format!("the connection ended: {:?}", self.heard));
                return Err(self.heard.fault.clone().unwrap_or_else(lost));
            }
        }
        self.flush();
        Ok(())
    }

    /// Finishes the handshake, each byte in a segment of its own.
    ///
    /// # Errors
    /// What TLS stopped at.
    pub fn shake_hands_bytewise(&mut self) -> Result<(), Error> {
        loop {
            for byte in self.pending() {
                let _ = self.tcp.write_all(&[byte]);
            }
            if !self.tls.is_handshaking() {
                return Ok(());
            }
            if !self.read() {
                let lost = || Error::General("the connection ended".to_owned());
                return Err(self.heard.fault.clone().unwrap_or_else(lost));
            }
        }
    }

    /// Sends the end of its handshake, `bytes` and close_notify in one write.
    ///
    /// # Panics
    /// If the gateway does not get that far.
    pub fn all_at_once(&mut self, bytes: &[u8]) -> &mut Self {
        self.flush();
        // What comes is taken in without an answer until the handshake is done on this side.
        while self.tls.is_handshaking() {
            assert!(self.read(), "the connection ended: {:?}", self.heard);
        }
        self.tls.writer().write_all(bytes).expect("room");
        self.tls.send_close_notify();
        let sealed = self.pending();
        let _ = self.tcp.write_all(&sealed);
        self
    }

    /// Takes new keys, as many times, and tells the other side each time (RFC 9846 section 4.6.3).
    pub fn update_keys(&mut self, times: usize) {
        for _ in 0..times {
            if self.tls.refresh_traffic_keys().is_err() {
                return;
            }
            self.flush();
        }
    }

    /// What would go to the wire next; it is not sent.
    ///
    /// # Panics
    /// If TLS cannot write.
    #[must_use]
    pub fn pending(&mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        while self.tls.wants_write() {
            self.tls.write_tls(&mut bytes).expect("bytes");
        }
        bytes
    }

    /// Sends bytes as they are.
    ///
    /// # Errors
    /// If nobody takes them.
    pub fn send_raw(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.tcp.write_all(bytes)
    }

    /// Says `bytes`, as few records as they take; what a full socket does not take is not said.
    pub fn say(&mut self, bytes: &[u8]) -> &mut Self {
        for part in bytes.chunks(16 * 1024) {
            let _ = self.tls.writer().write_all(part);
            self.flush();
        }
        self
    }

    /// Whether the socket did not take all that was said.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.tls.wants_write()
    }

    /// Says each byte in a record of its own, and sends each byte of that alone.
    pub fn say_bytewise(&mut self, bytes: &[u8]) -> &mut Self {
        for byte in bytes {
            let _ = self.tls.writer().write_all(&[*byte]);
            for piece in self.pending() {
                let _ = self.tcp.write_all(&[piece]);
            }
        }
        self
    }

    /// Sends close_notify, and goes on hearing.
    pub fn close_notify(&mut self) -> &mut Self {
        self.tls.send_close_notify();
        self.flush();
        self
    }

    /// Sends the TCP end of stream, whatever TLS thinks of it.
    pub fn fin(&mut self) -> &mut Self {
        let _ = self.tcp.shutdown(Shutdown::Write);
        self
    }

    /// Ends the connection with a reset.
    pub fn reset(self) {
        reset(&self.tcp);
    }

    /// Reads until at least `size` plain bytes are there, or the end.
    pub fn hear(&mut self, size: usize) -> &Heard {
        while self.heard.plain.len() < size && self.read() {}
        &self.heard
    }

    /// Says `bytes`; what comes until a line has ended, or everything.
    pub fn ask(&mut self, bytes: &[u8]) -> String {
        let before = self.heard.text().len();
        self.say(bytes);
        while !self.heard.text()[before..].ends_with('\n') && self.heard.end.is_none() {
            self.hear(self.heard.text().len() + 1);
        }
        self.heard.text()[before..].to_owned()
    }

    /// Reads to the end of the TCP stream.
    ///
    /// # Panics
    /// If there is none within [`PATIENCE`].
    pub fn hear_all(&mut self) -> &Heard {
        let until = Instant::now() + PATIENCE;
        while self.read() {
            assert!(Instant::now() < until, "no end within {PATIENCE:?}");
        }
        assert!(self.heard.end.is_some(), "no end within {PATIENCE:?}: {:?}", self.heard.text());
        &self.heard
    }

    /// Reads until close_notify is there, or the end.
    pub fn hear_close_notify(&mut self) -> &Heard {
        while !self.heard.close_notify && self.read() {}
        &self.heard
    }

    /// Reads for as long as `wait`, or to the end.
    ///
    /// # Panics
    /// If the socket takes no timeout.
    pub fn hear_for(&mut self, wait: Duration) -> &Heard {
        let until = Instant::now() + wait;
        while let Some(left) = until.checked_duration_since(Instant::now()) {
            let left = left.max(Duration::from_millis(1));
            self.tcp.set_read_timeout(Some(left)).expect("a timeout");
            if !self.read() {
                break;
            }
        }
        self.tcp.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        &self.heard
    }

    /// What came until now.
    #[must_use]
    pub fn heard(&self) -> &Heard {
        &self.heard
    }

    /// The certificate that the gateway showed.
    #[must_use]
    pub fn shown(&self) -> Option<Vec<u8>> {
        self.tls.peer_certificates()?.first().map(|der| der.to_vec())
    }

    /// The socket.
    #[must_use]
    pub fn tcp(&self) -> &TcpStream {
        &self.tcp
    }

    /// One read; `false` at the end, or after nothing came for long.
    fn read(&mut self) -> bool {
        if self.heard.end.is_some() {
            return false;
        }
        let mut bytes = vec![0; 64 * 1024];
        let mut bytes: &[u8] = match self.tcp.read(&mut bytes) {
            Ok(0) => {
                self.heard.end = Some(End::Fin);
                return false;
            }
            Ok(read) => &bytes[..read],
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return false,
            // A process that was stopped for a while; nothing came, and nothing ended.
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return true,
            Err(_) => {
                self.heard.end = Some(End::Reset);
                return false;
            }
        };
        self.heard.wire.extend_from_slice(bytes);
        while !bytes.is_empty() && self.heard.fault.is_none() && !self.heard.close_notify {
            if self.tls.read_tls(&mut bytes).is_err() {
                break;
            }
            match self.tls.process_new_packets() {
                Ok(state) => self.heard.close_notify |= state.peer_has_closed(),
                Err(error) => self.heard.fault = Some(error),
            }
            let _ = self.tls.reader().read_to_end(&mut self.heard.plain);
        }
        true
    }

    fn flush(&mut self) {
        while self.tls.wants_write() {
            match self.tls.write_tls(&mut self.tcp) {
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // Whoever does not take it has said why.
                Err(_) => break,
            }
        }
    }
}

/// A plain connection with deadlines.
///
/// # Panics
/// If nobody listens.
#[must_use]
pub fn plain(at: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect_timeout(&at, PATIENCE).expect("a listener");
    stream.set_nodelay(true).expect("no delay");
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    stream.set_write_timeout(Some(PATIENCE)).expect("a timeout");
    stream
}

/// Reads a plain connection to its end.
///
/// # Panics
/// If there is none within [`PATIENCE`].
pub fn read_all(stream: &mut TcpStream) -> (Vec<u8>, End) {
    let mut heard = Vec::new();
    match stream.read_to_end(&mut heard) {
        Ok(_) => (heard, End::Fin),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
            panic!("no end within {PATIENCE:?}; heard {heard:?}")
        }
        Err(_) => (heard, End::Reset),
    }
}

/// Lets the coming drop of a socket send a reset.
pub fn reset(stream: &TcpStream) {
    let _ = SockRef::from(stream).set_linger(Some(Duration::ZERO));
}

/// The settings of a peer: rustls's own defaults, which remember sessions.
///
/// # Panics
/// If the certificate is none.
#[must_use]
pub fn config(
    leaf: Option<&Leaf>,
    version: &'static SupportedProtocolVersion,
) -> Arc<ClientConfig> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider.clone())
        .with_protocol_versions(&[version])
        .expect("a version")
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Credulous(provider)));
    Arc::new(match leaf {
        None => builder.with_no_client_auth(),
        Some(leaf) => {
            let (chain, key) = leaf.parts();
            builder.with_client_auth_cert(chain, key).expect("a pair")
        }
    })
}

/// Believes every server: a scripted peer means whoever it was told to connect to. That the server
/// holds the key of what it shows is checked.
#[derive(Debug)]
struct Credulous(Arc<CryptoProvider>);

impl ServerCertVerifier for Credulous {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        said: &[u8],
        shown: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(said, shown, signed, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        said: &[u8],
        shown: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(said, shown, signed, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
