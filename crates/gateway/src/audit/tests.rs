use super::chain::Entry;
use super::file::{CURRENT, Expired};
use super::*;
use std::sync::Mutex;
use tempfile::TempDir;

fn event(kind: EventKind, sentence: &str) -> Event {
    let mut event = Event::new(kind);
    event.sentence = sentence.to_owned();
    event.service = "orders".to_owned();
    event
}

/// Writes events to the log in `directory` by the thread that does it in service.
fn record(directory: &Path, sentences: &[&str]) {
    let (recorder, log) = AuditLog::open(directory, Arc::default()).unwrap();
    for sentence in sentences {
        recorder.record(event(EventKind::Refused, sentence));
    }
    drop(recorder);
    log.close();
}

fn lines(directory: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(directory.join(CURRENT)).unwrap();
    text.lines().map(str::to_owned).collect()
}

fn five() -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    record(directory.path(), &["one", "two", "three", "four", "five"]);
    directory
}

/// What `verify` says after the lines were changed.
fn changed(change: impl FnOnce(&mut Vec<String>)) -> Broken {
    let directory = five();
    let mut lines = lines(directory.path());
    change(&mut lines);
    std::fs::write(directory.path().join(CURRENT), lines.join("\n") + "\n").unwrap();
    let broken = verify(directory.path()).unwrap_err();
    assert_eq!(broken.file, directory.path().join(CURRENT));
    broken
}

// ADV-38, SCP-EL-24
#[test]
fn the_chain_continues_when_the_log_is_opened_again() {
    let directory = five();
    record(directory.path(), &["six"]);
    let found = verify(directory.path()).unwrap();
    assert_eq!((found.events, found.files), (6, 1));
    assert_eq!(found.last.unwrap().0, 6);
    let last = lines(directory.path()).pop().unwrap();
    assert_eq!(found.hash, Entry::parse(last.as_bytes()).unwrap().hash);
}

#[test]
fn a_line_is_an_event_in_one_fixed_spelling() {
    let mut link = Link::default();
    let mut line = Vec::new();
    let mut event = event(EventKind::Refused, "no");
    event.reason = Some(Reason::TlsError);
    link.add(&event, "2026-02-03T04:05:06.789Z".parse().unwrap(), &mut line);
    let line = String::from_utf8(line).unwrap();
    let start = "{\"seq\":1,\"at\":\"2026-02-03T04:05:06.789Z\",\"event\":\"refused\",\
        \"reason\":\"tls_error\",\"sentence\":\"no\",\"service\":\"orders\",\"prev\":\"0000";
    assert!(line.starts_with(start), "{line}");
    // The hash, spelled out: whoever has sha256sum can check it.
    let body = line.split(",\"prev\"").next().unwrap();
    let whole = format!("segwan audit v1{}{body}}}", "0".repeat(64));
    assert_eq!(link.hash, segwan_pki::key::hex(&segwan_pki::key::sha256(whole.as_bytes())));
    assert!(line.ends_with(&format!("\"hash\":\"{}\"}}\n", link.hash)), "{line}");
}

// ADV-38
#[test]
fn an_edited_line_is_named() {
    let broken = changed(|lines| lines[2] = lines[2].replace("three", "tree"));
    assert_eq!(broken.line, 3);
    assert!(broken.sentence.contains("edited"), "{broken}");
    assert!(broken.to_string().contains("audit.jsonl:3: "), "{broken}");
}

// ADV-38
#[test]
fn removed_and_swapped_lines_are_named() {
    let removed = changed(|lines| drop(lines.remove(1)));
    assert_eq!(removed.line, 2);
    assert!(removed.sentence.contains("event 3 stands here where event 2"), "{removed}");
    assert_eq!(changed(|lines| lines.swap(1, 3)).line, 2);
    let first = changed(|lines| drop(lines.remove(0)));
    assert_eq!(first.line, 1);
    assert!(first.sentence.contains("begins with event 2"), "{first}");
}

// ADV-38
#[test]
fn a_line_that_was_cut_or_made_up_is_named() {
    let cut = changed(|lines| {
        let half = lines[3].len() / 2;
        lines[3].truncate(half);
    });
    assert_eq!(cut.line, 4);
    assert_eq!(changed(|lines| lines.insert(2, "{}".to_owned())).line, 3);
    assert_eq!(changed(|lines| lines[4] = lines[4].replace("\"seq\":5", "\"seq\":6")).line, 5);
}

// ADV-38
#[test]
fn a_torn_tail_is_cut_off_and_told() {
    let directory = five();
    let path = directory.path().join(CURRENT);
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, &text[..text.len() - 20]).unwrap();
    assert_eq!(verify(directory.path()).unwrap_err().line, 5);

    record(directory.path(), &["six"]);
    let found = verify(directory.path()).unwrap();
    assert_eq!(found.events, 6);
    let lines = lines(directory.path());
    assert!(lines[4].contains("\"event\":\"alarm\""), "{}", lines[4]);
    let torn = text.lines().last().unwrap().len() + 1 - 20;
    assert!(lines[4].contains(&format!("its {torn} bytes were cut off")), "{}", lines[4]);
}

#[test]
fn a_last_line_that_is_no_event_is_named_and_nothing_is_added() {
    let directory = five();
    let path = directory.path().join(CURRENT);
    let mut text = std::fs::read_to_string(&path).unwrap();
    text.push_str("hello\n");
    std::fs::write(&path, &text).unwrap();
    let error = AuditLog::open(directory.path(), Arc::default()).err().unwrap();
    assert!(error.to_string().contains("audit.jsonl:6: "), "{error}");
    assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
}

#[test]
fn only_one_process_writes_and_only_its_owner_reads() {
    use std::os::unix::fs::PermissionsExt;
    let directory = tempfile::tempdir().unwrap();
    let (_recorder, _log) = AuditLog::open(directory.path(), Arc::default()).unwrap();
    let error = AuditLog::open(directory.path(), Arc::default()).err().unwrap();
    assert!(error.to_string().contains("another process writes"), "{error}");
    let mode = directory.path().join(CURRENT).metadata().unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

// ADV-36, TRAP-21, SCP-EL-10
#[test]
fn hostile_text_stays_one_harmless_line() {
    let directory = tempfile::tempdir().unwrap();
    let hostile = "a\r\n{\"seq\":9}\u{1b}[31m\u{202e}\u{2028}\0\u{7f}\u{85}\u{e0041}`\"\\가";
    let mut event = event(EventKind::Rejected, hostile);
    event.resources = vec![hostile.to_owned()];
    event.pointer = Some(hostile.to_owned());
    event.peer = Some("x".repeat(70_000));
    let (recorder, log) = AuditLog::open(directory.path(), Arc::default()).unwrap();
    recorder.record(event);
    drop(recorder);
    log.close();

    assert_eq!(verify(directory.path()).unwrap().events, 1);
    let text = std::fs::read_to_string(directory.path().join(CURRENT)).unwrap();
    assert_eq!(text.matches('\n').count(), 1);
    let harmful = |c: char| c.is_control() || "\u{202e}\u{2028}\u{e0041}".contains(c);
    assert!(!text.trim_end_matches('\n').contains(harmful), "{text:?}");
    // Escaped is not lost.
    let line: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(line["sentence"], hostile);
    assert!(text.contains('가'));
}

/// Two days of a log, the second one `ago` days ago, on which the first is put aside under the
/// name that is given back.
fn two_days(directory: &Path, ago: u32) -> String {
    let Opened { mut file, mut link, .. } = LogFile::open(directory).unwrap();
    let day = 24 * 3600;
    let today = Timestamp::now().as_second().div_euclid(day);
    let second = Timestamp::from_second((today - i64::from(ago)) * day).unwrap();
    for at in [second - Duration::from_secs(1), second] {
        file.turn(at).unwrap();
        let mut line = Vec::new();
        link.add(&event(EventKind::Refused, "no"), at, &mut line);
        assert_eq!(file.append(&line, at).unwrap(), line.len());
    }
    second.strftime("audit-%Y%m%dT000000Z.jsonl").to_string()
}

#[test]
fn a_new_day_begins_a_new_file_in_the_same_chain() {
    let directory = tempfile::tempdir().unwrap();
    let old = directory.path().join(two_days(directory.path(), 2));
    assert_eq!(list(directory.path()).unwrap(), [old.clone(), directory.path().join(CURRENT)]);
    assert_eq!(verify(directory.path()).unwrap().events, 2);
    record(directory.path(), &["three"]);
    let found = verify(directory.path()).unwrap();
    assert_eq!((found.events, found.files), (3, 3));

    // A file that is gone is noticed as well as a line.
    std::fs::remove_file(&old).unwrap();
    let broken = verify(directory.path()).unwrap_err();
    assert_eq!(broken.line, 1);
    assert!(broken.sentence.contains("begins with event 2"), "{broken}");
}

#[test]
fn an_old_file_is_removed_and_the_record_says_so() {
    let directory = tempfile::tempdir().unwrap();
    let old = two_days(directory.path(), 91);
    record(directory.path(), &["today"]);
    assert!(!directory.path().join(&old).exists());
    let found = verify(directory.path()).unwrap();
    assert_eq!((found.first.unwrap().0, found.last.unwrap().0, found.files), (2, 4, 2));
    let told = format!("audit file {old} is removed after 90 d; it ended with event 1");
    assert!(lines(directory.path())[0].contains(&told));

    let kept = tempfile::tempdir().unwrap();
    let young = two_days(kept.path(), 89);
    record(kept.path(), &["today"]);
    assert!(kept.path().join(&young).exists());
}

/// A disk that is full while it is told to be.
struct Disk {
    full: Arc<AtomicBool>,
    written: Arc<Mutex<Vec<u8>>>,
}

impl Medium for Disk {
    fn append(&mut self, bytes: &[u8], _: Timestamp) -> io::Result<usize> {
        use std::io::Write;
        if self.full.load(Ordering::Acquire) {
            // The real thing says so.
            return std::fs::OpenOptions::new().write(true).open("/dev/full")?.write(bytes);
        }
        // It takes as little as a real one may.
        let some = bytes.len().div_ceil(2);
        self.written.lock().unwrap().extend_from_slice(&bytes[..some]);
        Ok(some)
    }

    fn sync(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn turn(&mut self, _: Timestamp) -> io::Result<Vec<Expired>> {
        Ok(Vec::new())
    }

    fn remove(&mut self, _: &Expired) -> io::Result<()> {
        Ok(())
    }
}

/// Waits until `done`, for at most half a minute.
fn until(mut done: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(30);
    while !done() {
        assert!(Instant::now() < end, "nothing came of it within 30 s");
        std::thread::park_timeout(Duration::from_millis(10));
    }
}

// ADV-38, TRAP-24
#[test]
fn a_full_disk_blocks_and_what_was_taken_is_written_when_there_is_room() {
    let full = Arc::new(AtomicBool::new(true));
    let written = Arc::new(Mutex::new(Vec::new()));
    let disk = Disk { full: Arc::clone(&full), written: Arc::clone(&written) };
    let (recorder, log) = AuditLog::start(disk, Link::default(), Arc::default(), 16).unwrap();
    let mut sent = 0;
    until(|| {
        recorder.record(event(EventKind::Refused, "no"));
        sent += 1;
        recorder.blocked()
    });
    assert!(written.lock().unwrap().is_empty());

    full.store(false, Ordering::Release);
    until(|| !recorder.blocked());
    drop(recorder);
    log.close();
    let text = String::from_utf8(written.lock().unwrap().clone()).unwrap();
    let mut link = Link::default();
    for line in text.lines() {
        let entry = Entry::parse(line.as_bytes()).unwrap();
        assert!(entry.is_intact() && entry.prev == link.hash, "{line}");
        link = entry.link();
    }
    // Each event is there, or is among those that an alarm says found no room.
    let there = text.matches("\"event\":\"refused\"").count();
    assert!(there >= 16, "{there}");
    let lost = |line: &str| {
        let (before, _) = line.split_once(" events found no room")?;
        before.rsplit([' ', '"']).next()?.parse::<usize>().ok()
    };
    let lost: usize = text.lines().filter_map(lost).sum();
    assert_eq!(there + lost, sent);
    assert!(text.contains("\"reason\":\"audit_blocked\""));
}

#[test]
fn closing_ends_although_the_disk_stays_full_and_a_recorder_is_held() {
    let full = Arc::new(AtomicBool::new(true));
    let disk = Disk { full, written: Arc::default() };
    let (recorder, log) = AuditLog::start(disk, Link::default(), Arc::default(), 16).unwrap();
    recorder.record(event(EventKind::Refused, "no"));
    let began = Instant::now();
    log.close();
    assert!(began.elapsed() < LAST * 4);
    recorder.record(event(EventKind::Refused, "no"));
    until(|| recorder.blocked());
}
