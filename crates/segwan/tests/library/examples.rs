//! Both example programs, run as processes against each other.

use crate::certificates::{Leaf, Root};
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

const APP: &str = "spiffe://shop.example/app";
const SERVICE: &str = "spiffe://shop.example/add-ten";
const DEADLINE: Duration = Duration::from_secs(30);

/// A program that `cargo test` built beside this one.
fn example(name: &str) -> Command {
    let test = std::env::current_exe().unwrap();
    let path = test.ancestors().nth(2).unwrap().join("examples").join(name);
    assert!(path.exists(), "`cargo test` builds {}; `--test` alone does not", path.display());
    let mut command = Command::new(path);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// A running service; it ends with its handle.
struct Service {
    child: Child,
    address: String,
}

impl Service {
    fn start(folder: &Folder) -> Self {
        let mut command = example("add_ten_service");
        command.arg("127.0.0.1:0").arg(folder.root());
        let mut child = command.args(folder.of("service")).arg(APP).spawn().unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        let (tell, told) = mpsc::sync_channel(1);
        std::thread::spawn(move || {
            for line in output.lines().map_while(Result::ok) {
                let _ = tell.try_send(line);
            }
        });
        let line = told.recv_timeout(DEADLINE).expect("the service says where it listens");
        let address = line.strip_prefix("listening on ").unwrap().to_owned();
        Self { child, address }
    }

    /// Runs the client with a certificate of this name, for a service of that identity.
    fn client(
        &self,
        folder: &Folder,
        name: &str,
        server: &str,
        numbers: &[&str],
    ) -> (Output, String) {
        let mut command = example("add_ten_client");
        command
            .args([&self.address, server])
            .arg(folder.root())
            .args(folder.of(name))
            .args(numbers);
        let output = within_deadline(command.spawn().unwrap());
        let text = String::from_utf8_lossy(&output.stdout).into_owned()
            + &String::from_utf8_lossy(&output.stderr);
        (output, text)
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What a short program says, unless it does not end.
fn within_deadline(mut child: Child) -> Output {
    let (mut out, mut err) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
    let reader = std::thread::spawn(move || {
        let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
        out.read_to_end(&mut stdout).unwrap();
        err.read_to_end(&mut stderr).unwrap();
        (stdout, stderr)
    });
    let began = Instant::now();
    while !reader.is_finished() {
        if began.elapsed() > DEADLINE {
            child.kill().unwrap();
        }
        std::thread::park_timeout(Duration::from_millis(20));
    }
    let (stdout, stderr) = reader.join().unwrap();
    Output { status: child.wait().unwrap(), stdout, stderr }
}

/// PEM files of one test.
struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> (Self, Root) {
        let root = Root::new();
        let folder = Self(tempfile::tempdir().unwrap());
        std::fs::write(folder.root(), &root.pem).unwrap();
        (folder, root)
    }

    fn root(&self) -> PathBuf {
        self.path().join("root.pem")
    }

    fn put(&self, name: &str, leaf: &Leaf) {
        let [chain, key] = self.of(name);
        std::fs::write(chain, &leaf.chain).unwrap();
        std::fs::write(key, &leaf.key).unwrap();
    }

    fn of(&self, name: &str) -> [PathBuf; 2] {
        [self.path().join(format!("{name}.pem")), self.path().join(format!("{name}.key"))]
    }

    fn path(&self) -> &Path {
        self.0.path()
    }
}

// F1, F2, S1b
#[test]
fn the_example_programs_add_ten_for_whom_they_know() {
    let (folder, root) = Folder::new();
    folder.put("service", &root.service(SERVICE));
    folder.put("app", &root.client(APP));
    folder.put("other", &root.client("spiffe://shop.example/other"));
    folder.put("stranger", &Root::new().client(APP));
    let service = Service::start(&folder);

    let (output, text) = service.client(&folder, "app", SERVICE, &["5", "five", "-3"]);
    assert!(output.status.success(), "{text}");
    for line in [&format!("connected to {SERVICE}")[..], "5: 15", "five: refused:", "-3: 7"] {
        assert!(text.lines().any(|said| said.starts_with(line)), "{line}\n{text}");
    }

    // Another identity finishes the handshake, is not admitted, and gets no answer.
    let (output, text) = service.client(&folder, "other", SERVICE, &["5"]);
    assert!(!output.status.success() && !text.contains("15"), "{text}");

    // The same name under another root is nobody.
    let (output, text) = service.client(&folder, "stranger", SERVICE, &["5"]);
    assert!(!output.status.success() && !text.contains("15"), "{text}");

    // A client that means somebody else says nothing.
    let (output, text) = service.client(&folder, "app", "spiffe://shop.example/bank", &["5"]);
    assert!(!output.status.success(), "{text}");
    let sentence = format!("is {SERVICE}; expected spiffe://shop.example/bank");
    assert!(text.contains(&sentence), "{text}");

    // And the service still serves.
    let (output, text) = service.client(&folder, "app", SERVICE, &["0"]);
    assert!(output.status.success() && text.contains("0: 10"), "{text}");
}
