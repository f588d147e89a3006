//! `Service`: a plain service that remembers all that reached it.

use crate::PATIENCE;
use socket2::SockRef;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

/// A plain service on a free loopback port. It ends when it is dropped.
pub struct Service {
    /// Where it listens.
    pub address: SocketAddr,
    seen: Arc<Seen>,
    stopping: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

/// What reached the service.
#[derive(Default)]
struct Seen {
    accepts: AtomicUsize,
    heard: Mutex<Vec<u8>>,
    said: AtomicUsize,
    ends: Mutex<Vec<End>>,
    streams: Mutex<Vec<TcpStream>>,
}

/// How a connection ended, as the service saw it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// The end of the stream.
    Fin,
    /// A reset.
    Reset,
    /// Nothing for as long as a test waits.
    Silence,
}

/// One connection of the service.
pub struct Conversation {
    /// None after a reset.
    stream: Option<TcpStream>,
    seen: Arc<Seen>,
    rest: Vec<u8>,
}

impl Service {
    /// Starts one that treats each connection by `answer`, on a thread of its own.
    ///
    /// # Panics
    /// If no port can be bound.
    pub fn start(answer: impl Fn(&mut Conversation) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        let address = listener.local_addr().expect("an address");
        let (seen, stopping) = (Arc::new(Seen::default()), Arc::new(AtomicBool::new(false)));
        let thread = {
            let (seen, stopping, answer) = (seen.clone(), stopping.clone(), Arc::new(answer));
            std::thread::spawn(move || {
                for stream in listener.incoming().flatten() {
                    if stopping.load(Ordering::Acquire) {
                        return;
                    }
                    seen.accepts.fetch_add(1, Ordering::AcqRel);
                    let _ = stream.set_nodelay(true);
                    let _ = stream.set_read_timeout(Some(PATIENCE));
                    let _ = stream.set_write_timeout(Some(PATIENCE));
                    if let Ok(stream) = stream.try_clone() {
                        seen.streams.lock().expect("a list").push(stream);
                    }
                    let mut conversation =
                        Conversation { stream: Some(stream), seen: seen.clone(), rest: Vec::new() };
                    let answer = answer.clone();
                    std::thread::spawn(move || {
                        answer(&mut conversation);
                        if let Some(stream) = conversation.stream {
                            let _ = stream.shutdown(Shutdown::Both);
                        }
                    });
                }
            })
        };
        Self { address, seen, stopping, thread: Some(thread) }
    }

    /// The article's: adds ten to the number on each line.
    #[must_use]
    pub fn numbers() -> Self {
        Self::start(|conversation| {
            while let Some(line) = conversation.line() {
                let text = String::from_utf8_lossy(&line);
                let answer = match text.trim_end().parse::<i64>() {
                    Ok(number) => format!("{}\n", number.wrapping_add(10)),
                    Err(error) => format!("Traceback (most recent call last): {error}\n"),
                };
                if conversation.say(answer.as_bytes()).is_err() {
                    return;
                }
            }
        })
    }

    /// Gives back what it hears.
    #[must_use]
    pub fn echo() -> Self {
        Self::start(|conversation| {
            loop {
                let heard = conversation.hear();
                if heard.is_empty() || conversation.say(&heard).is_err() {
                    return;
                }
            }
        })
    }

    /// Listens and never says a word.
    #[must_use]
    pub fn silent() -> Self {
        Self::start(|conversation| while !conversation.hear().is_empty() {})
    }

    /// Says the same to every line.
    #[must_use]
    pub fn answering(answer: &'static [u8]) -> Self {
        Self::start(move |conversation| {
            while conversation.line().is_some() {
                if conversation.say(answer).is_err() {
                    return;
                }
            }
        })
    }

    /// Speaks without end, whether anybody listens or not.
    #[must_use]
    pub fn endless() -> Self {
        Self::start(|conversation| while conversation.say(&[b'x'; 16 * 1024]).is_ok() {})
    }

    /// Waits for the end of the question, then says `size` bytes in `pieces`, each after `wait`.
    #[must_use]
    pub fn after_the_question(size: usize, pieces: usize, wait: Duration) -> Self {
        Self::start(move |conversation| {
            while !conversation.hear().is_empty() {}
            for _ in 0..pieces {
                crate::pause(wait);
                if conversation.say(&vec![b'x'; size / pieces]).is_err() {
                    return;
                }
            }
        })
    }

    /// Says `beginning` to the first bytes, then resets.
    #[must_use]
    pub fn resetting_after(beginning: &'static [u8]) -> Self {
        Self::start(move |conversation| {
            conversation.hear();
            let _ = conversation.say(beginning);
            crate::pause(Duration::from_millis(100));
            conversation.reset();
        })
    }

    /// How many connections reached it.
    #[must_use]
    pub fn accepts(&self) -> usize {
        self.seen.accepts.load(Ordering::Acquire)
    }

    /// Every byte that reached it, of all connections.
    ///
    /// # Panics
    /// If a connection's thread did.
    #[must_use]
    pub fn heard(&self) -> Vec<u8> {
        self.seen.heard.lock().expect("bytes").clone()
    }

    /// How many bytes it said.
    #[must_use]
    pub fn said(&self) -> usize {
        self.seen.said.load(Ordering::Acquire)
    }

    /// Waits until its `count`th connection ended; how each did.
    ///
    /// # Panics
    /// If that takes too long.
    #[must_use]
    pub fn ends(&self, count: usize) -> Vec<End> {
        crate::eventually("the end of the service's connections", || {
            let ends = self.seen.ends.lock().expect("ends").clone();
            (ends.len() >= count).then_some(ends)
        })
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        self.stopping.store(true, Ordering::Release);
        let _ = TcpStream::connect(self.address);
        for stream in self.seen.streams.lock().expect("a list").drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Conversation {
    /// What comes next; empty at the end of the stream.
    pub fn hear(&mut self) -> Vec<u8> {
        if !self.rest.is_empty() {
            return std::mem::take(&mut self.rest);
        }
        let mut bytes = vec![0; 64 * 1024];
        let Some(stream) = &mut self.stream else { return Vec::new() };
        let read = loop {
            match stream.read(&mut bytes) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                read => break read,
            }
        };
        let read = match read {
            Ok(0) => self.ended(End::Fin),
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.ended(End::Silence),
            Err(_) => self.ended(End::Reset),
        };
        bytes.truncate(read);
        self.seen.heard.lock().expect("bytes").extend_from_slice(&bytes);
        bytes
    }

    /// The next line with its end; `None` at the end of the stream.
    pub fn line(&mut self) -> Option<Vec<u8>> {
        let mut line = Vec::new();
        loop {
            let heard = self.hear();
            if heard.is_empty() {
                return None;
            }
            match heard.iter().position(|byte| *byte == b'\n') {
                Some(at) => {
                    line.extend_from_slice(&heard[..=at]);
                    self.rest = heard[at + 1..].to_vec();
                    return Some(line);
                }
                None => line.extend_from_slice(&heard),
            }
        }
    }

    /// Says all of it.
    ///
    /// # Errors
    /// If nobody takes it.
    pub fn say(&mut self, bytes: &[u8]) -> io::Result<()> {
        let gone = || io::Error::from(io::ErrorKind::NotConnected);
        self.stream.as_mut().ok_or_else(gone)?.write_all(bytes)?;
        self.seen.said.fetch_add(bytes.len(), Ordering::AcqRel);
        Ok(())
    }

    /// Says no more, and goes on hearing.
    pub fn half_close(&mut self) {
        if let Some(stream) = &self.stream {
            let _ = stream.shutdown(Shutdown::Write);
        }
    }

    /// Ends the connection with a reset.
    ///
    /// # Panics
    /// If another connection's thread did.
    pub fn reset(&mut self) {
        let Some(stream) = self.stream.take() else { return };
        // The list holds a handle of the same socket: a reset needs the last one to go.
        let peer = stream.peer_addr().ok();
        let mut streams = self.seen.streams.lock().expect("a list");
        streams.retain(|other| other.peer_addr().ok() != peer);
        let _ = SockRef::from(&stream).set_linger(Some(Duration::ZERO));
    }

    fn ended(&self, how: End) -> usize {
        self.seen.ends.lock().expect("ends").push(how);
        0
    }
}
