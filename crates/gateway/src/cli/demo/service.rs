//! The article's number service in its plainest form: no TLS, no identity, no validation.

use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};

/// Starts it on a free loopback port, on threads that end with the process.
///
/// # Errors
/// If no port can be bound.
pub(super) fn start() -> std::io::Result<SocketAddr> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let address = listener.local_addr()?;
    std::thread::Builder::new().name("plain-service".to_owned()).spawn(move || {
        for stream in listener.incoming().flatten() {
            // One that cannot be served is closed; the next one may be.
            let _ = std::thread::Builder::new().spawn(move || answer(&stream));
        }
    })?;
    Ok(address)
}

fn answer(stream: &TcpStream) -> std::io::Result<()> {
    for line in BufReader::new(stream).lines() {
        let answer = match line?.parse::<i64>() {
            Ok(number) => format!("{}\n", number.wrapping_add(10)),
            Err(error) => format!("Traceback: {error}\n"),
        };
        let mut to = stream;
        to.write_all(answer.as_bytes())?;
    }
    Ok(())
}
