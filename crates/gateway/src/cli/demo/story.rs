//! The exchanges of the demo, one of each kind, and what each voice says: the peer, the operator,
//! the machine.

use super::Stage;
use crate::cli::report::{Look, Report};
use crate::cli::{Failure, Global};
use crate::process::now_ms;
use segwan::tls::buffers::Buffers;
use segwan::{Agent, Connector, Credentials, Expected, TlsFloor, Trust};
use segwan_core::audit::shown;
use segwan_pki::authority::{
    Authority, AuthorityOptions, LEAF_LIFETIME, RENEWAL_GRACE, Registration,
};
use segwan_pki::directory::StateDir;
use segwan_pki::profile::Profile;
use serde::Deserialize;
use std::error::Error;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

/// Nothing in the demo waits longer.
const PATIENCE: Duration = Duration::from_secs(10);

/// One line of the audit log, as far as the story tells of it.
#[derive(Debug, Clone, Deserialize)]
struct Recorded {
    event: String,
    #[serde(default)]
    reason: String,
    #[serde(default)]
    sentence: String,
}

/// What must come of an exchange.
struct Must<'a> {
    /// What the peer hears; `None`: nothing that the service says.
    hear: Option<&'a str>,
    /// The word on record; `None`: no refusal.
    reason: Option<&'a str>,
}

/// Plays them all.
///
/// # Errors
/// If one does not end as it must.
pub(super) async fn tell(stage: &Stage, global: &Global) -> Result<(), Failure> {
    let teller = Teller { stage, report: &global.report };
    let must = |hear, reason| Must { hear: Some(hear), reason };
    let (app, guest) = (stage.app, stage.guest);
    teller.exchange("accepted", "app says `5`", "5\n", app, must("15\n", None)).await?;
    let invalid = must("Invalid data\n", Some("grammar"));
    teller.exchange("invalid", "app says `five`", "five\n", app, invalid).await?;
    let invalid = must("Invalid data\n", Some("charset"));
    let said = "app says `٣`, which Python's `isnumeric()` takes for a number";
    teller.exchange("invalid", said, "٣\n", app, invalid).await?;
    let denied = must("Not allowed\n", Some("policy_denied"));
    teller.exchange("forbidden", "guest says `5`", "5\n", guest, denied).await?;

    let from = teller.seen().len();
    let said = "somebody with a certificate of app, from another Authority, says `5`";
    let heard = impostor(stage).await.map_err(|error| shown(error.to_string().as_bytes()));
    let refused = Must { hear: None, reason: Some("unknown_issuer") };
    teller.conclude(from, "wrong certificate", said, heard, refused).await?;

    let from = teller.seen().len();
    let said = "somebody says `5` to the TLS port without TLS";
    let heard = plain(stage.service, "5\n").await;
    let refused = Must { hear: None, reason: Some("tls_error") };
    teller.conclude(from, "plaintext", said, heard, refused).await
}

struct Teller<'a> {
    stage: &'a Stage,
    report: &'a Report,
}

impl Teller<'_> {
    async fn exchange(
        &self,
        title: &str,
        said: &str,
        bytes: &str,
        at: SocketAddr,
        must: Must<'_>,
    ) -> Result<(), Failure> {
        let from = self.seen().len();
        let heard = plain(at, bytes).await;
        self.conclude(from, title, said, heard, must).await
    }

    /// Tells an exchange, with what the operator reads of it.
    async fn conclude(
        &self,
        from: usize,
        title: &str,
        said: &str,
        heard: Result<Vec<u8>, String>,
        must: Must<'_>,
    ) -> Result<(), Failure> {
        let report = self.report;
        let look = if must.reason.is_none() { Look::Good } else { Look::Warning };
        report.line(format_args!("\n{}  {said}", report.style(look, format!("{title:<18}"))));
        let bytes = heard.as_deref().unwrap_or_default();
        let hears = match &heard {
            Ok(bytes) if bytes.is_empty() => "nothing; the connection is closed".to_owned(),
            Ok(bytes) if bytes.first() == Some(&0x15) => "a TLS alert, and no more".to_owned(),
            Ok(bytes) => format!("`{}`", shown(bytes.trim_ascii_end())),
            Err(why) => format!("no answer; {why}"),
        };
        let dim = |text: &str| report.style(Look::Dim, text);
        report.line(format_args!("  {}  {hears}", dim("the peer hears    ")));
        if let Some(reason) = must.reason {
            let Recorded { event, reason, sentence } = self.recorded(from, reason).await?;
            report.line(format_args!("  {}  {sentence}", dim("the operator reads")));
            report.line(format_args!("  {}  {event}, {reason}", dim("the machine counts")));
        }
        let as_expected = match must.hear {
            Some(expected) => bytes == expected.as_bytes(),
            None => !bytes.windows(2).any(|two| two == b"15"),
        };
        if as_expected {
            return Ok(());
        }
        Err(Failure::refused(format!("the exchange `{title}` did not end as it must: {heard:?}")))
    }

    /// The refusal that came on record behind the first `from` events.
    async fn recorded(&self, from: usize, reason: &str) -> Result<Recorded, Failure> {
        let until = Instant::now() + PATIENCE;
        while Instant::now() < until {
            let found = self.seen().into_iter().skip(from).find(|event| event.reason == reason);
            if let Some(found) = found {
                return Ok(found);
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Err(Failure::refused(format!("no event `{reason}` came on record")))
    }

    fn seen(&self) -> Vec<Recorded> {
        let path = self.stage.folder.path("gateway").join("audit/audit.jsonl");
        let text = std::fs::read_to_string(path).unwrap_or_default();
        text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }
}

/// Says `text` over plain TCP, half-closes, and gives all that comes back.
async fn plain(at: SocketAddr, text: &str) -> Result<Vec<u8>, String> {
    let exchange = async {
        let mut stream = TcpStream::connect(at).await?;
        stream.write_all(text.as_bytes()).await?;
        stream.shutdown().await?;
        let mut heard = Vec::new();
        // A reset after the last byte takes nothing back.
        let _ = stream.take(64 * 1024).read_to_end(&mut heard).await;
        Ok::<_, std::io::Error>(heard)
    };
    match timeout(PATIENCE, exchange).await {
        Ok(Ok(heard)) => Ok(heard),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err("no end within 10 s".to_owned()),
    }
}

/// Connects as `app` of another Authority. Its own side of the handshake is done before the
/// gateway has looked at its certificate; the verdict is the first thing that it reads.
async fn impostor(stage: &Stage) -> Result<Vec<u8>, Box<dyn Error>> {
    let roots = stage.folder.path("app").join("credentials/app/current/roots.pem");
    let domain = super::domain()?;
    let expected = Expected::one(domain.identity("calculator")?);
    let trust = Arc::new(Trust::authority(&std::fs::read(roots)?, domain)?);
    let connector = Connector::new(forged(stage).await?, trust, expected, TlsFloor::V13)?;
    let mut stream = TcpStream::connect(stage.service).await?;
    let (address, deadline) = (stage.service.to_string(), Instant::now() + PATIENCE);
    let mut records = connector.connect(&mut stream, &address, deadline).await?.records;
    let question = Buffers::with(|buffers| {
        records.seal(b"5\n", &mut buffers.sealed).map(|_| buffers.sealed.filled().to_vec())
    })?;
    stream.write_all(&question).await?;
    let mut sealed = vec![0; 4096];
    let read = timeout(PATIENCE, stream.read(&mut sealed)).await??;
    sealed.truncate(read);
    let heard = Buffers::with(|buffers| {
        let room = records.room(&mut buffers.incoming);
        room.iter_mut().zip(&sealed).for_each(|(to, from)| *to = *from);
        records
            .open(&mut buffers.incoming, read, &mut buffers.plain, &mut buffers.sealed)
            .map(|_| buffers.plain.filled().to_vec())
    })?;
    Ok(heard)
}

/// A certificate of `app`, from an Authority that has the same names and another root.
async fn forged(stage: &Stage) -> Result<Arc<Credentials>, Failure> {
    let state = StateDir::open(&stage.folder.path("elsewhere"))?;
    let options = AuthorityOptions {
        trust_domain: super::domain()?,
        leaf_lifetime: LEAF_LIFETIME,
        renewal_grace: RENEWAL_GRACE,
    };
    let authority = Authority::open(&state, &options, now_ms()).await?;
    let registration = Registration::new("app", Profile::Client);
    authority.register(&registration, now_ms()).await?;
    let agent = Agent::within(state.credentials("app"), authority.clone(), "app").await?;
    authority.close().await;
    Ok(agent.credentials())
}
