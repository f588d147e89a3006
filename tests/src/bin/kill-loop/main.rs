//! Kills a busy Authority, again and again, and holds what is left to what its clients were given.
//!
//! `kill-loop N` starts the real `segwan serve` (`$SEGWAN`, else the one beside this program), lets
//! clients enroll, renew and be revoked over its ports, and sends SIGKILL at a random instant after
//! it answers, N times. At the end the ledger must verify and every certificate that a client ever
//! received must be on the record (`pki.md` PKI-23, PKI-52).

mod client;
mod record;
mod server;
mod verdict;

use record::Record;
use server::Server;
use std::error::Error;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

/// Names that enroll, renew and are revoked at the same time.
const CLIENTS: usize = 8;
/// Shortest and longest life of a process after it answers, in milliseconds.
const LIFE: std::ops::RangeInclusive<u64> = 5..=300;
/// How long the clients have to come to an end once nobody kills any more.
const LAST: Duration = Duration::from_secs(60);

fn main() -> ExitCode {
    let kills = std::env::args().nth(1).map_or(Ok(25), |text| text.parse::<u32>());
    let Ok(kills) = kills else {
        eprintln!("usage: kill-loop [NUMBER OF KILLS]");
        return ExitCode::from(2);
    };
    match run(kills) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("failed: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(kills: u32) -> Result<(), Box<dyn Error>> {
    let began = Instant::now();
    let folder = tempfile::tempdir()?;
    let server = Server::new(&folder.path().join("authority"))?;
    let record = Arc::new(Record::default());
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let ended = runtime.block_on(tokio::task::LocalSet::new().run_until(async {
        // The first start makes the Authority; it is not what is tested here.
        let mut process = server.start().await?;
        let until = CancellationToken::new();
        let clients: Vec<_> = (0..CLIENTS)
            .map(|number| {
                let place = folder.path().join(format!("client-{number}"));
                let client = client::Client::new(number, place, server.clone(), record.clone());
                tokio::task::spawn_local(client.live(until.clone()))
            })
            .collect();
        for _ in 0..kills {
            let life = LIFE.start() + u64::from(draw()?) % (LIFE.end() - LIFE.start() + 1);
            tokio::time::sleep(Duration::from_millis(life)).await;
            process.kill().await?;
            process = server.start().await?;
            record.fault()?;
        }
        until.cancel();
        for client in clients {
            tokio::time::timeout(LAST, client).await.map_err(|_| "a client did not end")??;
        }
        record.fault()?;
        process.stop().await
    }));
    if let Err(error) = ended {
        return Err(format!("{error}\n{}", server.log()).into());
    }
    let found = runtime.block_on(verdict::look(&server, &record))?;
    println!("{kills} kills in {:.0} s; {record}", began.elapsed().as_secs_f64());
    println!("{found}");
    Ok(())
}

/// A random number.
fn draw() -> Result<u16, Box<dyn Error>> {
    Ok(u16::from_be_bytes(segwan_pki::key::random()?))
}
