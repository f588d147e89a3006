//! `Archive`: regular files in the `ustar` form (POSIX.1-1988), written and read.
//!
//! By hand, because it is eighty lines: no links, no directories, no owners, no long names, so
//! nothing in an archive can point anywhere.

use crate::directory::DirectoryError;
use std::fs::{File, OpenOptions};
use std::io::{BufReader, BufWriter, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

const BLOCK: usize = 512;

/// An archive that is being written.
pub(super) struct Archive {
    file: BufWriter<File>,
    path: PathBuf,
    bytes: u64,
    seconds: i64,
}

impl Archive {
    pub(super) fn new(path: &Path, now_ms: i64) -> Result<Self, DirectoryError> {
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
        let file = BufWriter::new(file.map_err(|e| DirectoryError::io(path, &e))?);
        Ok(Self { file, path: path.to_owned(), bytes: 0, seconds: now_ms.max(0) / 1000 })
    }

    pub(super) fn add(&mut self, name: &str, bytes: &[u8]) -> Result<(), DirectoryError> {
        let size = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        self.entry(name, size, bytes).map_err(|e| DirectoryError::io(&self.path, &e))
    }

    pub(super) fn add_file(&mut self, name: &str, from: &Path) -> Result<(), DirectoryError> {
        let io = |error: std::io::Error| DirectoryError::io(from, &error);
        let file = File::open(from).map_err(io)?;
        let size = file.metadata().map_err(io)?.len();
        self.entry(name, size, BufReader::new(file)).map_err(|e| DirectoryError::io(&self.path, &e))
    }

    /// Ends the archive, on the disk; gives its size.
    pub(super) fn finish(mut self) -> Result<u64, DirectoryError> {
        let path = self.path.clone();
        let ended = self.write(&[0; 2 * BLOCK]).and_then(|()| self.file.flush());
        ended
            .and_then(|()| self.file.get_ref().sync_all())
            .map_err(|e| DirectoryError::io(&path, &e))?;
        Ok(self.bytes)
    }

    fn entry(&mut self, name: &str, size: u64, mut content: impl Read) -> std::io::Result<()> {
        self.write(&header(name, size, self.seconds))?;
        let copied = std::io::copy(&mut (&mut content).take(size), &mut self.file)?;
        if copied != size {
            return Err(std::io::Error::other("a file changed while it was copied"));
        }
        self.bytes += copied;
        let over = usize::try_from(size % BLOCK as u64).unwrap_or(0);
        if over > 0 {
            self.write([0; BLOCK].get(over..).unwrap_or_default())?;
        }
        Ok(())
    }

    fn write(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.file.write_all(bytes)?;
        self.bytes += u64::try_from(bytes.len()).unwrap_or(0);
        Ok(())
    }
}

/// The head of a regular file that only its owner may read.
fn header(name: &str, size: u64, seconds: i64) -> [u8; BLOCK] {
    let mut head = [0; BLOCK];
    let mut put = |at: usize, bytes: &[u8]| {
        head.iter_mut().skip(at).zip(bytes).for_each(|(to, from)| *to = *from);
    };
    put(0, name.as_bytes());
    put(100, b"0000600\x000000000\x000000000\x00");
    put(124, format!("{size:011o}").as_bytes());
    put(136, format!("{seconds:011o}").as_bytes());
    put(148, b"        0");
    put(257, b"ustar\x0000");
    let sum: u32 = head.iter().map(|byte| u32::from(*byte)).sum();
    let sum = format!("{sum:06o}\x00 ");
    head.iter_mut().skip(148).zip(sum.as_bytes()).for_each(|(to, from)| *to = *from);
    head
}

/// Files of an archive, one after the other.
pub(super) struct Files<R> {
    from: R,
}

impl<R: Read> Files<R> {
    pub(super) fn new(from: R) -> Self {
        Self { from }
    }

    /// The next file: its name and size, and then its content to read. `None` at the end.
    pub(super) fn next(&mut self) -> Result<Option<(String, u64)>, String> {
        let mut head = [0; BLOCK];
        self.from.read_exact(&mut head).map_err(|_| "it ends early".to_owned())?;
        if head == [0; BLOCK] {
            return self.end().map(|()| None);
        }
        let field = |from: usize, to: usize| {
            let bytes = head.get(from..to).unwrap_or_default();
            let text = bytes.split(|byte| *byte == 0).next().unwrap_or_default();
            std::str::from_utf8(text).map(str::trim).map_err(|_| "it is no archive".to_owned())
        };
        let (name, size, magic) = (field(0, 100)?, field(124, 136)?, field(257, 263)?);
        let size = u64::from_str_radix(size, 8).map_err(|_| "it is no archive".to_owned())?;
        if magic != "ustar" || head != header_like(&head, name, size) {
            return Err("it is no archive of a backup".to_owned());
        }
        Ok(Some((name.to_owned(), size)))
    }

    /// After the first block of zeros comes the second, and nothing more: what no manifest names is
    /// no part of a backup.
    fn end(&mut self) -> Result<(), String> {
        let mut rest = Vec::new();
        let most = BLOCK as u64 + 1;
        let read = (&mut self.from).take(most).read_to_end(&mut rest);
        read.map_err(|error| error.to_string())?;
        if rest == [0; BLOCK] {
            return Ok(());
        }
        Err(if rest.len() < BLOCK { "it ends early" } else { "bytes stand behind its end" }
            .to_owned())
    }

    /// The content of the file that [`next`](Self::next) gave, with what fills its last block.
    pub(super) fn content(&mut self, size: u64, to: &mut impl Write) -> std::io::Result<()> {
        let copied = std::io::copy(&mut (&mut self.from).take(size), to)?;
        let over = size % BLOCK as u64;
        let filling = if over > 0 { BLOCK as u64 - over } else { 0 };
        let mut filled = Vec::new();
        (&mut self.from).take(filling).read_to_end(&mut filled)?;
        if copied != size || filled.len() as u64 != filling {
            return Err(std::io::Error::other("the archive ends early"));
        }
        if filled.iter().any(|byte| *byte != 0) {
            return Err(std::io::Error::other("bytes stand behind the end of a file in it"));
        }
        Ok(())
    }
}

/// A head that says the same as we would write it: whatever else a head can say is refused.
fn header_like(head: &[u8; BLOCK], name: &str, size: u64) -> [u8; BLOCK] {
    let seconds = head.get(136..147).and_then(|text| std::str::from_utf8(text).ok());
    let seconds = seconds.and_then(|text| i64::from_str_radix(text, 8).ok()).unwrap_or(0);
    header(name, size, seconds)
}
