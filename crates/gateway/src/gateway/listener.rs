//! Accepts connections: one listening socket for each worker thread, and slots before work.

use super::Gate;
use super::connection::{reset, serve};
use super::live::unix_ms;
use super::upstream::keep_alive;
use segwan_core::audit::{Event, EventKind};
use segwan_core::rejection::Reason;
use socket2::{Domain, Protocol, SockAddr, Socket, Type};
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;

/// Connections that wait to be accepted.
const BACKLOG: i32 = 4096;

/// Binds `count` sockets to one address; the kernel spreads the connections over them. Port 0
/// becomes one free port for all of them.
///
/// # Errors
/// If the address is in use, also by another process that would share it with us.
pub(super) fn bind(
    address: SocketAddr,
    count: usize,
) -> io::Result<(Vec<TcpListener>, SocketAddr)> {
    if address.port() != 0 {
        // Alone first: with SO_REUSEPORT a second gateway would silently share the port.
        bound(address, false)?;
    }
    let first = bound(address, count > 1)?;
    first.listen(BACKLOG)?;
    let address = first.local_addr()?.as_socket().unwrap_or(address);
    let mut listeners = vec![TcpListener::from(first)];
    for _ in 1..count {
        let next = bound(address, true)?;
        next.listen(BACKLOG)?;
        listeners.push(next.into());
    }
    Ok((listeners, address))
}

fn bound(address: SocketAddr, shared: bool) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_nonblocking(true)?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(shared)?;
    // What is set here every accepted connection inherits, without a call of its own.
    socket.set_tcp_nodelay(true)?;
    socket.set_tcp_keepalive(&keep_alive())?;
    socket.bind(&SockAddr::from(address))?;
    Ok(socket)
}

/// Accepts until `stop`. Nothing that a peer or a full table does ends the loop.
pub(super) async fn run(gate: Arc<Gate>, listener: TcpListener, stop: CancellationToken) {
    let listener = match tokio::net::TcpListener::from_std(listener) {
        Ok(listener) => listener,
        Err(error) => {
            alarm(&gate, &format!("the listener of `{}` cannot be used: {error}", gate.name));
            return;
        }
    };
    let mut pause = Pause::default();
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, address)) => {
                pause.over();
                take(&gate, stream, address);
            }
            Err(error) if is_of_one_connection(&error) => {}
            Err(error) => {
                if pause.is_to_be_told() {
                    alarm(&gate, &format!("`{}` cannot accept: {error}", gate.name));
                }
                tokio::select! {
                    () = stop.cancelled() => return,
                    () = tokio::time::sleep(pause.next()) => {}
                }
            }
        }
    }
}

fn take(gate: &Arc<Gate>, stream: TcpStream, address: SocketAddr) {
    if gate.recorder.blocked() {
        let sentence = "the audit log cannot be written, so nobody is let in".to_owned();
        refuse(gate, &stream, address, Reason::AuditBlocked, sentence);
        return;
    }
    if let Some(sentence) = gate.expired(unix_ms() / 1000) {
        // An expired certificate is never shown, and nothing is promised to a local client.
        refuse(gate, &stream, address, Reason::CertificateExpired, sentence);
        return;
    }
    match gate.registry.arrive(address) {
        Ok(arriving) => {
            tokio::spawn(serve(gate.clone(), stream, arriving));
        }
        Err(none) => refuse(gate, &stream, address, none.reason, none.sentence),
    }
}

/// A newcomer without a slot gets an answer at once in place of a wait in the backlog.
fn refuse(gate: &Gate, stream: &TcpStream, address: SocketAddr, reason: Reason, sentence: String) {
    reset(stream);
    gate.registry.count_refused(reason);
    let mut event = Event::new(EventKind::Refused);
    event.service.clone_from(&gate.name);
    event.address = Some(address.ip().to_string());
    event.reason = Some(reason);
    event.sentence = sentence;
    gate.recorder.record(event);
}

fn alarm(gate: &Gate, sentence: &str) {
    tracing::error!("{sentence}");
    let mut event = Event::new(EventKind::Alarm);
    event.service.clone_from(&gate.name);
    event.sentence = sentence.to_owned();
    gate.recorder.record(event);
}

/// Errors that concern the connection which was to be accepted, not the listener.
fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind as Kind;
    matches!(error.kind(), Kind::ConnectionAborted | Kind::ConnectionReset | Kind::Interrupted)
        || error.raw_os_error() == Some(rustix::io::Errno::PROTO.raw_os_error())
}

/// How long to wait after the descriptors ran out: 10 ms, doubling to 1 s (ADV-08).
#[derive(Default)]
struct Pause {
    last: Option<Duration>,
    told: Option<Instant>,
}

impl Pause {
    fn next(&mut self) -> Duration {
        let next = self.last.map_or(Duration::from_millis(10), |last| last * 2);
        let next = next.min(Duration::from_secs(1));
        self.last = Some(next);
        next
    }

    fn over(&mut self) {
        self.last = None;
    }

    /// Once a minute.
    fn is_to_be_told(&mut self) -> bool {
        let due = self.told.is_none_or(|told| told.elapsed() > Duration::from_secs(60));
        if due {
            self.told = Some(Instant::now());
        }
        due
    }
}
