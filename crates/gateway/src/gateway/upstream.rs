//! `Upstream`: where the protected service is, and how it is reached.

use segwan_core::policy::Permit;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::pin::Pin;
use std::str::FromStr;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};

/// Address of a plain service: `127.0.0.1:8000` or `unix:/path`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Upstream {
    /// A TCP address.
    Tcp(SocketAddr),
    /// A unix socket.
    Unix(PathBuf),
}

/// A text that is no upstream.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no address of a service: `127.0.0.1:8000` or `unix:/path`")]
pub struct UpstreamError(String);

impl Upstream {
    /// Whether what is sent there stays on this host.
    #[must_use]
    pub fn is_local(&self) -> bool {
        match self {
            Self::Tcp(address) => address.ip().is_loopback(),
            Self::Unix(_) => true,
        }
    }

    /// Connects; there is no other way to reach a service than with a permit in hand (F6). One
    /// try: whoever waits is a client, and it knows best whether to ask again.
    ///
    /// # Errors
    /// If the service does not accept.
    pub(super) async fn dial(&self, _: &Permit) -> io::Result<Socket> {
        match self {
            Self::Tcp(address) => {
                let stream = TcpStream::connect(address).await?;
                stream.set_nodelay(true)?;
                if !self.is_local() {
                    socket2::SockRef::from(&stream).set_tcp_keepalive(&keep_alive())?;
                }
                Ok(Socket::Tcp(stream))
            }
            Self::Unix(path) => Ok(Socket::Unix(UnixStream::connect(path).await?)),
        }
    }
}

impl FromStr for Upstream {
    type Err = UpstreamError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let bad = || UpstreamError(text.to_owned());
        match text.strip_prefix("unix:") {
            Some(path) if path.starts_with('/') => Ok(Self::Unix(path.into())),
            Some(_) => Err(bad()),
            None => text.parse().map(Self::Tcp).map_err(|_| bad()),
        }
    }
}

impl fmt::Display for Upstream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// Reaches the first of `addresses` (`host:port`) that answers.
///
/// # Errors
/// The last error, if none does.
pub(super) async fn dial_any(addresses: &[String]) -> io::Result<(TcpStream, String)> {
    let mut last = io::Error::new(io::ErrorKind::NotFound, "no address to connect to");
    for address in addresses {
        match TcpStream::connect(address.as_str()).await {
            Ok(stream) => {
                stream.set_nodelay(true)?;
                socket2::SockRef::from(&stream).set_tcp_keepalive(&keep_alive())?;
                return Ok((stream, address.clone()));
            }
            Err(error) => last = io::Error::new(error.kind(), format!("{address}: {error}")),
        }
    }
    Err(last)
}

/// Probes after a minute, each 15 s, four of them: a peer that fell off the network is noticed
/// after two minutes.
pub(super) fn keep_alive() -> socket2::TcpKeepalive {
    socket2::TcpKeepalive::new()
        .with_time(Duration::from_secs(60))
        .with_interval(Duration::from_secs(15))
        .with_retries(4)
}

/// A plain or TLS-carrying byte stream of either kind.
#[derive(Debug)]
pub(super) enum Socket {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Socket {
    /// Lets the coming drop send a reset in place of an orderly end. A unix socket has none: its
    /// other side sees a reset only if bytes were left unread.
    pub(super) fn reset_on_drop(&self) {
        if let Self::Tcp(stream) = self {
            let _ = socket2::SockRef::from(stream).set_linger(Some(Duration::ZERO));
        }
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_read(cx, into),
            Self::Unix(stream) => Pin::new(stream).poll_read(cx, into),
        }
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_write(cx, bytes),
            Self::Unix(stream) => Pin::new(stream).poll_write(cx, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Unix(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_upstream_prints_as_it_was_read() {
        for text in ["127.0.0.1:8000", "[::1]:80", "unix:/run/app.sock"] {
            assert_eq!(text.parse::<Upstream>().unwrap().to_string(), text);
        }
        for bad in ["", "8000", "unix:", "unix:app.sock", "localhost:80"] {
            assert!(bad.parse::<Upstream>().is_err(), "{bad}");
        }
    }

    #[test]
    fn only_loopback_and_unix_are_local() {
        let local = |text: &str| text.parse::<Upstream>().unwrap().is_local();
        assert!(local("127.9.9.9:1") && local("[::1]:1") && local("unix:/x"));
        assert!(!local("10.0.0.1:1") && !local("0.0.0.0:1"));
    }
}
