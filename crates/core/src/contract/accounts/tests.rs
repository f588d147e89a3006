//! What is used up outlives its contract: bookings, buckets, and the move into a journal.

use super::*;
use crate::contract::journal::{Booked, Journal, keep};
use crate::contract::purse::{SPENDS, contract, persistent, start};
use std::time::Duration;

fn book(contract: &Contract, who: &str, amount: u64, now: Now) -> Result<(), Full> {
    let (name, quota) = contract.quotas().next().unwrap();
    contract.accounts().book(name, Some(who), quota, amount, now).map_err(|(full, _)| full)
}

/// Takes the place of `before`.
fn replace(before: &Contract, text: &str) -> Arc<Contract> {
    let next = contract(text);
    next.continue_with(&before.accounts());
    next.come_into_force();
    next
}

// TRAP-27
#[test]
fn a_contract_that_takes_the_place_of_another_goes_on_with_its_counts() {
    let (first, now) = (contract(SPENDS), start());
    assert_eq!(book(&first, "app", 60, now), Ok(()));
    let second = replace(&first, &SPENDS.replace("purse/1", "purse/2"));
    assert_eq!(book(&second, "app", 41, now), Err(Full::Used(60)));
    assert_eq!(book(&second, "app", 40, now), Ok(()));
    // A connection that is still under the first one counts there too.
    assert_eq!(book(&first, "app", 1, now), Err(Full::Used(100)));
    assert_eq!(book(&first, "web", 100, now), Ok(()));
    assert_eq!(book(&second, "web", 1, now), Err(Full::Used(100)));
}

// TRAP-27
#[test]
fn the_quota_in_force_holds_for_who_is_under_the_contract_before_it() {
    let (first, now) = (contract(SPENDS), start());
    let tighter = SPENDS.replace("max = 100, window = \"24s\"", "max = 50, window = \"48s\"");
    let second = replace(&first, &tighter);
    assert_eq!(book(&first, "app", 51, now), Err(Full::Used(0)));
    assert_eq!(book(&first, "app", 30, now), Ok(()));
    let later = now.after(Duration::from_secs(30));
    assert_eq!(book(&second, "app", 30, later), Err(Full::Used(30)));
    // Until it comes into force a contract changes nothing.
    let third = contract(SPENDS);
    third.continue_with(&second.accounts());
    assert_eq!(book(&first, "app", 30, later), Err(Full::Used(30)));
    // What a contract no longer has is held to what it was last.
    replace(&second, &tighter.replace("name    = \"spend\"", "name    = \"pay\""));
    assert_eq!(book(&first, "app", 30, later), Err(Full::Used(30)));
}

/// A journal of which somebody else sees the lines.
#[derive(Debug, Clone, Default)]
struct Paper(Arc<Mutex<Vec<Booked>>>);

impl Journal for Paper {
    fn append(&mut self, booked: &Booked) -> Result<(), String> {
        self.0.lock().unwrap().push(booked.clone());
        Ok(())
    }

    fn is_due(&self) -> bool {
        false
    }

    fn replace(&mut self, booked: &mut dyn Iterator<Item = Booked>) -> Result<(), String> {
        *self.0.lock().unwrap() = booked.collect();
        Ok(())
    }
}

// TRAP-27
#[test]
fn counts_move_into_the_journal_and_out_of_it_with_their_quota() {
    let (first, now) = (contract(SPENDS), start());
    assert_eq!(book(&first, "app", 60, now), Ok(()));
    let second = contract(&persistent("24s"));
    second.continue_with(&first.accounts());
    assert!(second.persists_quotas() && !second.keeps_quotas());
    let paper = Paper::default();
    keep(&second, Box::new(paper.clone()), &[], now).unwrap();
    second.come_into_force();
    assert_eq!(book(&second, "app", 41, now), Err(Full::Used(60)));
    assert_eq!(book(&first, "app", 40, now), Ok(()));
    // What was booked before there was a journal is in it as well.
    assert_eq!(paper.0.lock().unwrap().iter().map(|booked| booked.amount).sum::<u64>(), 100);
    let third = replace(&second, SPENDS);
    assert!(third.keeps_quotas());
    assert_eq!(book(&third, "app", 1, now), Err(Full::Used(100)));
}

// TRAP-27: what is in the journal and what was booked in memory since are of one holder
#[test]
fn counts_that_move_into_the_journal_are_added_to_what_it_holds() {
    let now = start();
    let past = [Booked {
        at_ms: 1_800_000_000_000,
        message: "spend".to_owned(),
        identity: Some("app".to_owned()),
        amount: 50,
    }];
    let later = now.after(Duration::from_secs(10));
    // Also where the window is another one.
    for window in ["24s", "36s"] {
        let text = persistent(window);
        let first = contract(SPENDS);
        assert_eq!(book(&first, "app", 40, later), Ok(()));
        let second = contract(&text);
        second.continue_with(&first.accounts());
        keep(&second, Box::new(Paper::default()), &past, later).unwrap();
        second.come_into_force();
        assert_eq!(book(&second, "app", 11, later), Err(Full::Used(90)));
        assert_eq!(book(&second, "app", 10, later), Ok(()));
        // Each leaves in its own time.
        let past_is_over = now.after(Duration::from_secs(if window == "24s" { 26 } else { 39 }));
        assert_eq!(book(&second, "app", 51, past_is_over), Err(Full::Used(50)));
        assert_eq!(book(&second, "app", 50, past_is_over), Ok(()));
        // And out of it again.
        let third = replace(&second, &text.replace(", persist = true", ""));
        assert_eq!(book(&third, "app", 1, past_is_over), Err(Full::Used(100)));
    }
}

// CON-36
#[test]
fn contracts_are_the_same_by_what_they_say() {
    let read = |file: &str, text: &str| {
        Contract::read(file, text, &|_| Err(String::new())).map_err(drop).unwrap().0
    };
    let (one, two) = (read("a.toml", SPENDS), read("b.toml", SPENDS));
    assert!(one.is_same_as(&two));
    assert!(!one.is_same_as(&read("a.toml", &SPENDS.replace("max = 100", "max = 101"))));
}
