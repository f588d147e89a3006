//! A service that adds ten, and is a socket to nobody but the one peer that it was told of.
//!
//! `add_ten_service ADDRESS ROOTS CHAIN KEY PEER`: where to listen (`127.0.0.1:0` takes any port
//! and prints it), the roots to believe, its own certificate chain and key in PEM, and the identity
//! that may use it (`spiffe://shop.example/app`, or `dns:app.shop.example`).

use segwan::{
    Acceptor, Channel, ChannelError, Contract, Credentials, Limits, Policy, TlsFloor, Trust,
};
use std::error::Error;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::Instant;

/// What may be said: a number, and the number that is ten more.
const CONTRACT: &str = include_str!("../../../examples/article/add-ten.toml");

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [address, roots, chain, key, peer] = arguments.as_slice() else {
        return Err("usage: add_ten_service ADDRESS ROOTS CHAIN KEY PEER".into());
    };

    let no_schema = |_: &str| Err("this contract names no file".to_owned());
    let contract = Contract::load("add-ten.toml", CONTRACT, &no_schema);
    let (contract, _) = contract.map_err(|findings| segwan::report(&findings))?;
    let policy = Policy::compile("add-ten", &contract.actions(), &[peer.parse()?], &[]);
    let (policy, _) = policy.map_err(|findings| segwan::report(&findings))?;

    let credentials = Credentials::from_pem(&std::fs::read(chain)?, &std::fs::read(key)?)?;
    let trust = Trust::files(&std::fs::read(roots)?)?;
    let acceptor = Acceptor::new(Arc::new(credentials), Arc::new(trust), TlsFloor::default())?;
    let service = Arc::new(Service {
        acceptor,
        contract,
        policy: Arc::new(policy),
        limits: Limits::default(),
    });

    let listener = TcpListener::bind(address).await?;
    println!("listening on {}", listener.local_addr()?);
    let slots = Arc::new(Semaphore::new(service.limits.max_connections));
    loop {
        let slot = Arc::clone(&slots).acquire_owned().await?;
        let (stream, from) = listener.accept().await?;
        let service = Arc::clone(&service);
        tokio::spawn(async move {
            if let Err(why) = service.serve(stream, from).await {
                println!("{from}: {why}");
            }
            drop(slot);
        });
    }
}

struct Service {
    acceptor: Acceptor,
    contract: Arc<Contract>,
    policy: Arc<Policy>,
    limits: Limits,
}

impl Service {
    async fn serve(&self, mut stream: TcpStream, from: SocketAddr) -> Result<(), Box<dyn Error>> {
        let deadline = Instant::now() + self.limits.handshake_timeout;
        let secured = self.acceptor.accept(&mut stream, deadline).await?;
        let (contract, policy) = (Arc::clone(&self.contract), Arc::clone(&self.policy));
        let channel =
            Channel::service(stream, secured, from.ip(), contract, policy, &self.limits).await;
        Ok(answer(channel?).await?)
    }
}

/// Every message that comes out of the channel is a number within its bounds, from a peer that
/// may add.
async fn answer(mut channel: Channel<TcpStream>) -> Result<(), ChannelError> {
    while let Some(message) = channel.recv().await? {
        let number: i64 = message.text().and_then(|text| text.parse().ok()).unwrap_or_default();
        channel.send((number + 10).to_string().as_bytes()).await?;
    }
    channel.close().await
}
