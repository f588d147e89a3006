use super::*;
use crate::contract::purse::{contract, persistent, start};
use crate::contract::quota::Full;
use proptest::prelude::*;
use std::sync::{Arc, LazyLock};

/// A journal in memory that outlives those who write it.
#[derive(Debug, Clone, Default)]
struct Paper(Arc<Mutex<Sheet>>);

#[derive(Debug, Default)]
struct Sheet {
    lines: Vec<Booked>,
    due: bool,
    fails: bool,
    replaced: usize,
}

impl Journal for Paper {
    fn append(&mut self, booked: &Booked) -> Result<(), String> {
        let mut sheet = self.0.lock().unwrap();
        if sheet.fails {
            return Err("the paper is wet".to_owned());
        }
        sheet.lines.push(booked.clone());
        Ok(())
    }

    fn is_due(&self) -> bool {
        self.0.lock().unwrap().due
    }

    fn replace(&mut self, booked: &mut dyn Iterator<Item = Booked>) -> Result<(), String> {
        let mut sheet = self.0.lock().unwrap();
        if sheet.fails {
            return Err("the paper is wet".to_owned());
        }
        sheet.lines = booked.collect();
        sheet.due = false;
        sheet.replaced += 1;
        Ok(())
    }
}

impl Paper {
    /// A contract that was just loaded, and goes on with what is written here.
    fn restart(&self, text: &str, now: Now) -> Result<Arc<Contract>, String> {
        let contract = contract(text);
        let past = self.0.lock().unwrap().lines.clone();
        keep(&contract, Box::new(self.clone()), &past, now)?;
        Ok(contract)
    }

    fn set(&self, change: impl FnOnce(&mut Sheet)) {
        change(&mut self.0.lock().unwrap());
    }
}

/// What is looked at is counted as well, and in no journal.
const LOOKS: &str = r#"
[[client.message]]
name    = "look"
match   = ["look"]
expects = "none"
action  = "look"
fields.at = { int = [0, 9] }
quota   = { per = "service", count = true, max = 2, window = "24s" }
"#;

/// The purse whose spendings are kept.
static SPENDS: LazyLock<String> = LazyLock::new(|| format!("{}{LOOKS}", persistent("24s")));

fn at(ms: u64) -> Now {
    start().after(Duration::from_millis(ms))
}

fn book(contract: &Contract, who: &str, amount: u64, now: Now) -> Result<(), Full> {
    book_of(contract, Some(who), amount, now)
}

fn book_of(contract: &Contract, who: Option<&str>, amount: u64, now: Now) -> Result<(), Full> {
    let (name, quota) = contract.quotas().next().unwrap();
    contract.accounts().book(name, who, quota, amount, now).map_err(|(full, _)| full)
}

// CON-25
#[test]
fn what_was_booked_counts_after_a_restart_until_its_window_is_over() {
    let paper = Paper::default();
    let first = paper.restart(&SPENDS, at(500)).unwrap();
    assert!(first.persists_quotas());
    assert_eq!(book(&first, "app", 60, at(500)), Ok(()));
    assert_eq!(book(&first, "web", 100, at(600)), Ok(()));
    assert_eq!(book(&first, "app", 41, at(700)), Err(Full::Used(60)));
    let second = paper.restart(&SPENDS, at(5_000)).unwrap();
    assert_eq!(book(&second, "app", 41, at(5_000)), Err(Full::Used(60)));
    assert_eq!(book(&second, "app", 40, at(5_000)), Ok(()));
    assert_eq!(book(&second, "web", 1, at(24_900)), Err(Full::Used(100)));
    // The third forgets what is over, and nothing else.
    let third = paper.restart(&SPENDS, at(25_000)).unwrap();
    assert_eq!(paper.0.lock().unwrap().lines.len(), 1);
    assert_eq!(book(&third, "web", 100, at(25_000)), Ok(()));
    assert_eq!(book(&third, "app", 61, at(25_000)), Err(Full::Used(40)));
    assert_eq!(book(&third, "app", 60, at(25_000)), Ok(()));
}

// CON-25
#[test]
fn a_journal_that_fails_books_nothing_and_lets_nothing_pass() {
    let paper = Paper::default();
    let contract = paper.restart(&SPENDS, at(0)).unwrap();
    paper.set(|sheet| sheet.fails = true);
    let wet = Err(Full::Unkept("the paper is wet".to_owned()));
    assert_eq!(book(&contract, "app", 60, at(1)), wet);
    // What had to be written anew first is no other.
    paper.set(|sheet| sheet.due = true);
    assert_eq!(book(&contract, "app", 60, at(2)), wet);
    paper.set(|sheet| sheet.fails = false);
    assert_eq!(book(&contract, "app", 100, at(3)), Ok(()));
    assert_eq!(paper.0.lock().unwrap().replaced, 2);
    // A start on it is none.
    paper.set(|sheet| sheet.fails = true);
    assert!(paper.restart(&SPENDS, at(4)).unwrap_err().contains("wet"));
}

// CON-25: a reload that is refused leaves the journal and the accounts as they are
#[test]
fn a_journal_that_was_only_made_ready_is_as_it_was() {
    let paper = Paper::default();
    let first = paper.restart(&SPENDS, at(0)).unwrap();
    assert_eq!(book(&first, "app", 60, at(0)), Ok(()));
    let past = paper.0.lock().unwrap().lines.clone();
    let running = contract(&SPENDS);
    let next = |text: &str| {
        let next = contract(text);
        next.continue_with(&running.accounts());
        let ready = next.ready_quotas(Box::new(paper.clone()), &past, at(1)).unwrap();
        (next, ready)
    };
    let pays = SPENDS.replace("name    = \"spend\"", "name    = \"pay\"");
    drop(next(&pays));
    assert_eq!(paper.0.lock().unwrap().lines, past);
    assert!(!running.keeps_quotas());
    // One whose disk fails then is in force, and nothing passes before it can be written.
    let (next, ready) = next(&SPENDS);
    paper.set(|sheet| sheet.fails = true);
    assert!(next.keep_quotas(ready, at(2)).unwrap_err().contains("wet"));
    next.come_into_force();
    assert!(next.keeps_quotas());
    assert_eq!(book(&next, "app", 1, at(3)), Err(Full::Unkept("the paper is wet".to_owned())));
    paper.set(|sheet| sheet.fails = false);
    assert_eq!(book(&next, "app", 41, at(4)), Err(Full::Used(60)));
    assert_eq!(book(&next, "app", 40, at(4)), Ok(()));
    assert_eq!(paper.0.lock().unwrap().lines.iter().map(|it| it.amount).sum::<u64>(), 100);
}

// CON-25: a message that has no quota for a while
#[test]
fn what_the_contract_does_not_count_now_is_kept() {
    let paper = Paper::default();
    let first = paper.restart(&SPENDS, at(0)).unwrap();
    assert_eq!(book(&first, "app", 60, at(0)), Ok(()));
    let pays = SPENDS.replace("name    = \"spend\"", "name    = \"pay\"");
    let second = paper.restart(&pays, at(1_000)).unwrap();
    assert_eq!(book(&second, "app", 100, at(1_000)), Ok(()));
    let third = paper.restart(&pays, at(2_000)).unwrap();
    let fourth = contract(&SPENDS);
    fourth.continue_with(&third.accounts());
    fourth.come_into_force();
    assert_eq!(book(&fourth, "app", 41, at(3_000)), Err(Full::Used(60)));
    assert_eq!(book(&fourth, "app", 40, at(3_000)), Ok(()));
    // After a day it is gone.
    let _ = paper.restart(&pays, at(26 * 3_600_000)).unwrap();
    assert_eq!(paper.0.lock().unwrap().lines, []);
}

// CON-25
#[test]
fn without_a_journal_nothing_of_it_passes() {
    let contract = contract(&SPENDS);
    let Err(Full::Unkept(why)) = book(&contract, "app", 1, at(0)) else { panic!("it passed") };
    assert!(why.contains("nothing here keeps"), "{why}");
    let paper = Paper::default();
    keep(&contract, Box::new(paper.clone()), &[], at(0)).unwrap();
    let twice = keep(&contract, Box::new(paper), &[], at(0)).unwrap_err();
    assert!(twice.contains("already"), "{twice}");
}

// CON-25
#[test]
fn the_contract_of_a_new_run_says_what_still_counts() {
    let paper = Paper::default();
    let first = paper.restart(&SPENDS, at(0)).unwrap();
    assert_eq!(book(&first, "app", 60, at(0)), Ok(()));
    let past = paper.0.lock().unwrap().lines.clone();
    let with = |from: &str, to: &str| {
        let text = SPENDS.replace(from, to);
        assert_ne!(text, *SPENDS);
        let contract = contract(&text);
        keep(&contract, Box::new(Paper::default()), &past, at(1_000)).unwrap();
        contract
    };
    let tighter = with("max = 100", "max = 50");
    assert_eq!(book(&tighter, "app", 0, at(1_000)), Err(Full::Used(60)));
    let longer = with("max = 100, window = \"24s\"", "max = 100, window = \"24h\"");
    assert_eq!(book(&longer, "app", 41, at(80_000_000)), Err(Full::Used(60)));
    let renamed = with("name    = \"spend\"", "name    = \"pay\"");
    assert_eq!(book(&renamed, "app", 100, at(1_000)), Ok(()));
    let shared = with("per = \"identity\"", "per = \"service\"");
    assert_eq!(book_of(&shared, None, 100, at(1_000)), Ok(()));
    assert!(!with(", persist = true", "").persists_quotas());
}

// CON-25
#[test]
fn a_clock_that_was_set_back_forgets_nothing() {
    let paper = Paper::default();
    let first = paper.restart(&SPENDS, at(0)).unwrap();
    assert_eq!(book(&first, "app", 100, at(0)), Ok(()));
    let behind = Now { unix_ms: 0, ..at(1_000) };
    let second = paper.restart(&SPENDS, behind).unwrap();
    assert_eq!(book(&second, "app", 1, behind), Err(Full::Used(100)));
    let later = behind.after(Duration::from_secs(30));
    assert_eq!(book(&second, "app", 100, later), Ok(()));
    // And what was booked meanwhile counts when the clock is right again.
    let third = paper.restart(&SPENDS, at(31_000)).unwrap();
    assert_eq!(book(&third, "app", 1, at(31_000)), Err(Full::Used(100)));
}

#[test]
fn more_counts_than_there_is_room_for_are_no_start() {
    let booked = |number: usize| Booked {
        at_ms: 1_800_000_000_000,
        message: "spend".to_owned(),
        identity: Some(number.to_string()),
        amount: 1,
    };
    let mut past: Vec<Booked> = (0..COUNTS).map(booked).collect();
    let full = contract(&SPENDS);
    keep(&full, Box::new(Paper::default()), &past, at(0)).unwrap();
    assert_eq!(book(&full, "app", 1, at(0)), Err(Full::Counts));
    assert_eq!(book(&full, "7", 1, at(0)), Ok(()));
    past.push(booked(COUNTS));
    let over = keep(&contract(&SPENDS), Box::new(Paper::default()), &past, at(0));
    assert!(over.unwrap_err().contains("over 10000 counts"));
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    // CON-25, TRAP-27: a kill between any two messages, and a journal written anew at any of them
    #[test]
    fn no_window_exceeds_the_most_whatever_restarts_between(
        asked in prop::collection::vec((0u64..40, 0u64..5_000, 0u8..8), 1..100),
    ) {
        let paper = Paper::default();
        let mut contract = paper.restart(&SPENDS, at(0)).unwrap();
        let (mut ms, mut passed) = (0, Vec::new());
        for (amount, later, chance) in asked {
            ms += later;
            match chance {
                0 => contract = paper.restart(&SPENDS, at(ms)).unwrap(),
                1 => paper.set(|sheet| sheet.due = true),
                2 => {
                    paper.set(|sheet| sheet.fails = true);
                    prop_assert!(book(&contract, "app", amount, at(ms)).is_err());
                    paper.set(|sheet| (sheet.fails, sheet.due) = (false, true));
                }
                _ => {}
            }
            let booked = book(&contract, "app", amount, at(ms));
            if booked.is_ok() {
                passed.push((ms, amount));
            } else {
                // Nothing counts for longer than a 24th more.
                let counts = passed.iter().filter(|(then, _)| ms - then <= 25_001);
                let counts: u64 = counts.map(|(_, amount)| amount).sum();
                prop_assert!(counts + amount > 100, "{booked:?} at {ms}");
            }
            let window = passed.iter().filter(|(then, _)| ms - then < 24_000);
            let window: u64 = window.map(|(_, amount)| amount).sum();
            prop_assert!(window <= 100, "{window} at {ms}");
        }
    }
}
