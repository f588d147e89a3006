//! `Server`: the `segwan serve` that is killed, always on the same state and the same ports.

use std::error::Error;
use std::fs::File;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

/// No start takes longer, whatever the kill before it left.
const START: Duration = Duration::from_secs(20);
/// No end takes longer.
const END: Duration = Duration::from_secs(40);

/// Where it is, and how it is started. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Server(Arc<Place>);

struct Place {
    program: PathBuf,
    state: PathBuf,
    log: PathBuf,
    authority: SocketAddr,
    /// A plain service that nobody reaches, so that its address is nobody else's.
    plain: TcpListener,
}

/// One process.
pub(crate) struct Process(Child);

impl Server {
    pub(crate) fn new(state: &Path) -> Result<Self, Box<dyn Error>> {
        let program = match std::env::var_os("SEGWAN") {
            Some(program) => PathBuf::from(program),
            None => std::env::current_exe()?.with_file_name("segwan"),
        };
        if !program.is_file() {
            let hint = "`cargo build -p segwan-gateway` makes it";
            return Err(format!("there is no `{}`; {hint}", program.display()).into());
        }
        // Agents know the Authority by its address, so each process has to take the same one.
        let authority = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        Ok(Self(Arc::new(Place {
            program,
            state: state.to_owned(),
            log: state.with_extension("log"),
            authority,
            plain: TcpListener::bind("127.0.0.1:0")?,
        })))
    }

    pub(crate) fn state(&self) -> &Path {
        &self.0.state
    }

    /// The socket on which tokens are made.
    pub(crate) fn socket(&self) -> PathBuf {
        self.0.state.join("run/admin.sock")
    }

    /// What the processes logged, the end of it.
    pub(crate) fn log(&self) -> String {
        let text = std::fs::read(&self.0.log).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(20)..].join("\n")
    }

    /// Starts a process, and waits until it answers.
    pub(crate) async fn start(&self) -> Result<Process, Box<dyn Error>> {
        let place = &self.0;
        let log = File::options().create(true).append(true).open(&place.log)?;
        let mut child = Command::new(&place.program)
            .args(["serve", "orders", "--allow", "app", "--contract", "raw", "--threads", "2"])
            .args(["--listen", "127.0.0.1:0", "--to", &place.plain.local_addr()?.to_string()])
            .args(["--authority-listen", &place.authority.to_string()])
            .arg("--state")
            .arg(&place.state)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log)
            .kill_on_drop(true)
            .spawn()?;
        let said = child.stdout.take().ok_or("its output is not there")?;
        let mut lines = BufReader::new(said).lines();
        let ready = tokio::time::timeout(START, async {
            while let Some(line) = lines.next_line().await? {
                if line == "ready" {
                    return Ok(true);
                }
            }
            Ok::<_, std::io::Error>(false)
        });
        match ready.await {
            Ok(Ok(true)) => Ok(Process(child)),
            Ok(_) => Err("`segwan serve` did not start on what a kill left".into()),
            Err(_) => Err(format!("`segwan serve` was not ready within {START:?}").into()),
        }
    }

    /// Runs a command on the state to its end.
    pub(crate) async fn run(&self, arguments: &[&str]) -> Result<Output, Box<dyn Error>> {
        let mut command = Command::new(&self.0.program);
        command.args(arguments).arg("--state").arg(&self.0.state).stdin(Stdio::null());
        Ok(tokio::time::timeout(END, command.kill_on_drop(true).output()).await??)
    }
}

impl Process {
    /// SIGKILL.
    pub(crate) async fn kill(mut self) -> Result<(), Box<dyn Error>> {
        if let Some(status) = self.0.try_wait()? {
            return Err(format!("`segwan serve` ended by itself: {status}").into());
        }
        Ok(tokio::time::timeout(END, self.0.kill()).await??)
    }

    /// SIGTERM, and the exit code 0.
    pub(crate) async fn stop(mut self) -> Result<(), Box<dyn Error>> {
        let id = self.0.id().and_then(|id| i32::try_from(id).ok());
        let id = id.and_then(rustix::process::Pid::from_raw).ok_or("it has ended already")?;
        rustix::process::kill_process(id, rustix::process::Signal::TERM)?;
        let status = tokio::time::timeout(END, self.0.wait()).await??;
        if status.success() { Ok(()) } else { Err(format!("it ended with {status}").into()) }
    }
}
