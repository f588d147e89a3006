use super::*;

fn booked(at_ms: u64, identity: Option<&str>) -> Booked {
    let identity = identity.map(str::to_owned);
    Booked { at_ms, message: "transfer".to_owned(), identity, amount: 5 }
}

fn fresh(state: &Path) -> QuotaFile {
    let path = state.join("bank.journal");
    let mut file = QuotaFile::new("bank", path, Unwritten::default());
    assert!(file.is_due());
    file.replace(&mut std::iter::empty()).unwrap();
    file
}

// CON-25
#[test]
fn what_was_appended_is_read_back_whatever_is_torn_of_the_last_line() {
    let state = tempfile::tempdir().unwrap();
    let mut file = fresh(state.path());
    let all = [booked(1, Some("spiffe://a.example/app")), booked(2, None), booked(3, None)];
    for booked in &all {
        file.append(booked).unwrap();
    }
    assert_eq!(read(&file.path).unwrap(), all);
    let whole = std::fs::read(&file.path).unwrap();
    assert_eq!(std::fs::metadata(&file.path).unwrap().permissions().mode() & 0o777, 0o600);
    let last = line(&all[2]).unwrap().len();
    for torn in 1..=last {
        std::fs::write(&file.path, &whole[..whole.len() - torn]).unwrap();
        assert_eq!(read(&file.path).unwrap(), all[..2], "{torn}");
        // What a disk may leave in place of what was not synced.
        let zeros = [&whole[..whole.len() - torn], &vec![0; torn]].concat();
        std::fs::write(&file.path, zeros).unwrap();
        assert_eq!(read(&file.path).unwrap(), all[..2], "{torn}");
    }
}

// CON-25
#[test]
fn what_was_changed_before_the_last_line_is_no_start() {
    let state = tempfile::tempdir().unwrap();
    let mut file = fresh(state.path());
    file.append(&booked(1, None)).unwrap();
    file.append(&booked(2, None)).unwrap();
    let whole = std::fs::read_to_string(&file.path).unwrap();
    for (from, to, why) in [
        ("1 5 transfer", "1 4 transfer", "line 2 was changed"),
        ("transfer -\n", "transfer -\n\n", "line 3 was changed"),
        (HEAD, "segwan quotas 2", "line 1 is not"),
    ] {
        let text = whole.replacen(from, to, 1);
        assert_ne!(text, whole);
        std::fs::write(&file.path, text).unwrap();
        let told = read(&file.path).unwrap_err();
        assert!(told.contains(why), "{told}");
    }
    std::fs::write(&file.path, "").unwrap();
    assert!(read(&file.path).unwrap_err().contains("line 1"));
    std::fs::remove_file(&file.path).unwrap();
    assert_eq!(read(&file.path).unwrap(), []);
    std::os::unix::fs::symlink("/etc/hostname", &file.path).unwrap();
    read(&file.path).unwrap_err();
    std::fs::remove_file(&file.path).unwrap();
    std::fs::create_dir(&file.path).unwrap();
    read(&file.path).unwrap_err();
}

// CON-25
#[test]
fn after_a_line_that_failed_the_file_is_written_anew() {
    let state = tempfile::tempdir().unwrap();
    let mut file = fresh(state.path());
    file.append(&booked(1, None)).unwrap();
    // A handle that only reads stands for a disk that takes nothing.
    file.file = Some(File::open(&file.path).unwrap());
    assert!(file.append(&booked(2, None)).unwrap_err().contains("bank.journal"));
    let unwritten = file.unwritten.clone();
    assert!(
        matches!(&*unwritten.list(), [(bank, why)] if bank == "bank" && why.contains("journal"))
    );
    assert!(file.is_due());
    assert!(file.append(&booked(2, None)).is_err());
    // Not at each message: the disk may be slow to fail.
    assert!(file.replace(&mut [booked(1, None)].into_iter()).is_err());
    file.failed = None;
    file.replace(&mut [booked(1, None)].into_iter()).unwrap();
    assert_eq!(unwritten.list(), []);
    file.append(&booked(3, None)).unwrap();
    assert_eq!(read(&file.path).unwrap(), [booked(1, None), booked(3, None)]);
}

// CON-25
#[test]
fn a_file_that_has_grown_is_due_and_one_that_cannot_be_replaced_stays() {
    let state = tempfile::tempdir().unwrap();
    let mut file = fresh(state.path());
    let long = "x".repeat(2_000);
    // 7 MiB: the double of it is more than what makes a small file due.
    let many = || (0..3_700).map(|at| booked(at, Some(&long)));
    file.replace(&mut many()).unwrap();
    assert!(file.size > 7 << 20 && !file.is_due());
    file.size = file.fresh * 2;
    assert!(file.is_due());
    assert!(file.replace(&mut (0..10).flat_map(|_| many())).unwrap_err().contains("over 64 MiB"));
    assert_eq!(read(&file.path).unwrap().len(), 3_700);
    assert!(!file.next().exists());
    file.failed = None;
    file.replace(&mut std::iter::empty()).unwrap();
    assert!(!file.is_due());
    file.size = LARGE;
    assert!(file.is_due());
}

const PINS: &str = r#"
contract = "pins/1"
pair     = { by = "none" }

[client]
frame  = { kind = "lines" }
decode = { kind = "json" }
tag    = "/op"

[server]
frame  = { kind = "lines" }
decode = { kind = "json" }
tag    = "/op"

[[client.message]]
name    = "follow"
match   = ["follow"]
expects = "none"
action  = "follow"
fields.at = { int = [0, 9] }
quota   = { per = "identity", count = true, max = 5, window = "24h", persist = true }

[[server.message]]
name   = "tell"
match  = ["tell"]
pushes = true
fields.at = { int = [0, 9] }
"#;

// CON-25: a reload that is refused
#[test]
fn a_journal_that_is_only_looked_at_is_not_written() {
    let state = tempfile::tempdir().unwrap();
    let now = Now { instant: Instant::now(), unix_ms: 1_800_000_000_000 };
    let folder = state.path().join("quota");
    make_private(&folder).unwrap();
    let path = folder.join("board.journal");
    let mut file = QuotaFile::new("board", path.clone(), Unwritten::default());
    file.replace(&mut (0..4).map(|at| booked(1_799_999_990_000 + at, Some("app")))).unwrap();
    let was = std::fs::read(&path).unwrap();
    let (contract, _) =
        Contract::read("pins.toml", PINS, &|_| Err(String::new())).map_err(drop).unwrap();
    let unwritten = Unwritten::default();
    let looked = || ready(state.path(), "board", &contract, now, &unwritten).unwrap();
    drop(looked());
    assert_eq!(std::fs::read(&path).unwrap(), was);
    assert!(!contract.keeps_quotas());
    // What cannot be written then is an alarm, and what it held stays.
    let looked = looked();
    std::fs::create_dir(path.with_extension("journal.next")).unwrap();
    contract.keep_quotas(looked, now).unwrap_err();
    assert!(contract.keeps_quotas());
    assert!(matches!(&*unwritten.list(), [(board, _)] if board == "board"));
    assert_eq!(std::fs::read(&path).unwrap(), was);
}

#[test]
fn what_is_no_single_line_is_not_written() {
    let state = tempfile::tempdir().unwrap();
    let mut file = fresh(state.path());
    for bad in ["", "a b", "a\nb", "é"] {
        assert!(file.append(&booked(1, Some(bad))).is_err(), "{bad:?}");
    }
    assert!(!file.is_due());
    assert_eq!(read(&file.path).unwrap(), []);
}
