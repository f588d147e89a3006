//! BetterTLS: paths among alternatives, and name constraints. Every case has to come out right.

#[path = "limbo/suite.rs"]
mod suite;

use std::time::Instant;

// PKI-60
#[test]
fn every_case_of_bettertls_is_judged_right() {
    let Some(cases) = suite::cases("limbo-full.json.xz", "bettertls::") else { return };
    assert_eq!(cases.len(), 9572);
    let began = Instant::now();
    let wrong: Vec<String> = std::thread::scope(|scope| {
        let size = cases.len().div_ceil(4);
        let parts: Vec<_> = cases
            .chunks(size)
            .map(|part| scope.spawn(|| part.iter().filter_map(fault).collect::<Vec<_>>()))
            .collect();
        parts.into_iter().flat_map(|part| part.join().unwrap()).collect()
    });
    let right = cases.len() - wrong.len();
    println!("{right} of {} right in {:.1} s", cases.len(), began.elapsed().as_secs_f64());
    assert!(wrong.is_empty(), "{}", wrong.get(..20).unwrap_or(&wrong).join("\n"));
}

fn fault(case: &suite::Case) -> Option<String> {
    match (case.good, case.segwan()) {
        (true, Err(why)) => Some(format!("{}: {why}", case.id)),
        (false, Ok(())) => Some(format!("{} is believed", case.id)),
        _ => None,
    }
}
