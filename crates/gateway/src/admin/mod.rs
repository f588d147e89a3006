//! What a running process can be asked: health, metrics, status, tokens, explanations.
//!
//! The unix socket `run/admin.sock` answers everything, to its owner and to root; a loopback
//! address, where one is configured, answers health and metrics alone.

pub(crate) mod ca;
pub mod client;
pub(crate) mod custody;
mod fault;
pub(crate) mod rotation;
mod routes;
pub mod socket;
mod token;
pub mod wire;

use crate::http::{Bounds, Pause, converse};
use crate::process::Running;
use axum::Router;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use hyper::Request;
use hyper::body::Incoming;
use routes::Admin;
use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower_service::Service;
use wire::{RELOAD, RELOAD_PATIENCE, REVOKE};

pub(crate) use fault::Fault;
pub(crate) use token::{Defaults, TTL, mint};

/// Most connections of the socket, and of the address, each for itself: whoever fills the address
/// does not keep the operator out.
const CONNECTIONS: usize = 64;

/// What one connection may take.
const BOUNDS: Bounds = Bounds {
    head: Duration::from_secs(10),
    body: Duration::from_secs(10),
    body_bytes: 1 << 20,
    request: Duration::from_secs(10),
    connection: Duration::from_secs(300),
};

/// Answers on the socket, and on the address if there is one, until `stop`.
pub async fn serve(
    running: Arc<Running>,
    socket: UnixListener,
    address: Option<TcpListener>,
    stop: CancellationToken,
) {
    serve_within(running, socket, address, stop, BOUNDS).await;
}

async fn serve_within(
    running: Arc<Running>,
    socket: UnixListener,
    address: Option<TcpListener>,
    stop: CancellationToken,
    bounds: Bounds,
) {
    let admin = Admin { running, bounds };
    let all = routes::open()
        .into_iter()
        .chain(routes::of_operator())
        .chain(ca::routes())
        .chain(custody::routes())
        .chain(rotation::routes());
    let on_socket = Door { router: routes::router(all, admin.clone()), bounds, stop: stop.clone() };
    let on_address = Door { router: routes::router(routes::open(), admin), bounds, stop };
    let address = async {
        if let Some(address) = address {
            on_address.accept(&address).await;
        }
    };
    tokio::join!(on_socket.accept(&socket), address);
}

/// Where whoever asks comes from.
trait Entrance: Sync {
    type Stream: AsyncRead + AsyncWrite + Unpin + Send + 'static;

    /// The next one who may ask.
    fn next(&self) -> impl Future<Output = io::Result<Self::Stream>> + Send;
}

impl Entrance for UnixListener {
    type Stream = UnixStream;

    async fn next(&self) -> io::Result<UnixStream> {
        loop {
            let (stream, _) = self.accept().await?;
            if socket::is_ours(&stream) {
                return Ok(stream);
            }
            tracing::warn!("another user may not ask at the admin socket");
        }
    }
}

impl Entrance for TcpListener {
    type Stream = TcpStream;

    async fn next(&self) -> io::Result<TcpStream> {
        self.accept().await.map(|(stream, _)| stream)
    }
}

/// One listener with what it answers.
struct Door {
    router: Router,
    bounds: Bounds,
    stop: CancellationToken,
}

impl Door {
    /// Accepts until the stop; a connection over the limit is dropped at once.
    async fn accept(&self, entrance: &impl Entrance) {
        let (places, tasks) = (Arc::new(Semaphore::new(CONNECTIONS)), TaskTracker::new());
        let mut pause = Pause::default();
        loop {
            let accepted = tokio::select! {
                () = self.stop.cancelled() => break,
                accepted = entrance.next() => accepted,
            };
            match accepted {
                Ok(stream) => {
                    pause.over();
                    let Ok(place) = places.clone().try_acquire_owned() else { continue };
                    let conversation = self.conversation(stream);
                    tasks.spawn(async move {
                        conversation.await;
                        drop(place);
                    });
                }
                Err(error) => {
                    if pause.is_first() {
                        tracing::error!("the admin socket cannot accept: {error}");
                    }
                    tokio::select! {
                        () = self.stop.cancelled() => break,
                        () = tokio::time::sleep(pause.next()) => {}
                    }
                }
            }
        }
        tasks.close();
        tasks.wait().await;
    }

    fn conversation<S>(&self, stream: S) -> impl Future<Output = ()> + Send + use<S>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let (router, bounds, stop) = (self.router.clone(), self.bounds, self.stop.clone());
        async move {
            converse(stream, bounds, &stop, |request| answer(router.clone(), request, bounds))
                .await;
        }
    }
}

async fn answer(mut router: Router, request: Request<Incoming>, bounds: Bounds) -> Response {
    // Gateways are waited for as long as the operator asks, and a reload until it is done.
    let patience = match request.uri().path() {
        RELOAD => bounds.request + RELOAD_PATIENCE,
        REVOKE => bounds.request + ca::LONGEST_WAIT,
        _ => bounds.request,
    };
    match timeout(patience, router.call(request)).await {
        Ok(answer) => answer.unwrap_or_else(|never: Infallible| match never {}),
        Err(_) => {
            Fault::new(StatusCode::GATEWAY_TIMEOUT, "no answer was found in time").into_response()
        }
    }
}

#[cfg(test)]
mod tests;
