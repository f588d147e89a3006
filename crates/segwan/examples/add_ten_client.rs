//! A client that has numbers added to ten, by the one service that it means to reach.
//!
//! `add_ten_client ADDRESS SERVER ROOTS CHAIN KEY NUMBER...`: where the service is, the identity
//! that it must prove, the roots to believe, the client's own certificate chain and key in PEM.

use segwan::{
    Channel, ChannelError, Connector, Contract, Credentials, Expected, Limits, TlsFloor, Trust,
};
use std::error::Error;
use std::sync::Arc;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

/// What may be said: a number, and the number that is ten more.
const CONTRACT: &str = include_str!("../../../examples/article/add-ten.toml");

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [address, server, roots, chain, key, numbers @ ..] = arguments.as_slice() else {
        return Err("usage: add_ten_client ADDRESS SERVER ROOTS CHAIN KEY NUMBER...".into());
    };

    let no_schema = |_: &str| Err("this contract names no file".to_owned());
    let contract = Contract::load("add-ten.toml", CONTRACT, &no_schema);
    let (contract, _) = contract.map_err(|findings| segwan::report(&findings))?;

    let credentials = Credentials::from_pem(&std::fs::read(chain)?, &std::fs::read(key)?)?;
    let trust = Trust::files(&std::fs::read(roots)?)?;
    let expected = Expected::one(server.parse()?);
    let floor = TlsFloor::default();
    let connector = Connector::new(Arc::new(credentials), Arc::new(trust), expected, floor)?;

    let limits = Limits::default();
    let mut stream = timeout(limits.connect_timeout, TcpStream::connect(address)).await??;
    let deadline = Instant::now() + limits.handshake_timeout;
    let secured = connector.connect(&mut stream, address, deadline).await?;
    println!("connected to {}", secured.peer.identity());

    let mut channel = Channel::client(stream, secured, contract, &limits);
    for number in numbers {
        match channel.send(number.as_bytes()).await {
            Ok(()) => {}
            // Held to the contract on this side too: the service never sees it.
            Err(ChannelError::Refused(why)) => {
                println!("{number}: refused: {why}");
                continue;
            }
            Err(other) => return Err(other.into()),
        }
        let sum = channel.recv().await?.ok_or("the service ended without an answer")?;
        println!("{number}: {}", sum.text().unwrap_or_default());
    }
    channel.close().await?;
    Ok(())
}
