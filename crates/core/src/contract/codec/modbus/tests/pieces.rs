//! The verdict is the same however the bytes come.

use super::*;
use proptest::prelude::*;

fn frame() -> impl Strategy<Value = Vec<u8>> {
    let request = (1..=24u8, 1..=3u8, any::<u16>(), 0..=130u16, any::<u16>()).prop_map(
        |(code, unit, addr, count, value)| {
            let count = count.min(if code == 16 { 120 } else { 130 });
            request(code, unit, addr % 300, count, value % 1500)
        },
    );
    let own = |frame: Vec<u8>, tid: u8| {
        let mut frame = frame;
        frame[1] = tid;
        frame
    };
    let mutated =
        (request.clone(), any::<prop::sample::Index>(), any::<u8>()).prop_map(|(f, at, b)| {
            let mut frame = f;
            let at = at.index(frame.len());
            frame[at] = b;
            frame
        });
    prop_oneof![
        4 => (request, any::<u8>()).prop_map(move |(frame, tid)| own(frame, tid)),
        1 => mutated,
        1 => prop::collection::vec(any::<u8>(), 0..20),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn the_verdict_does_not_depend_on_how_bytes_arrive(
        frames in prop::collection::vec(frame(), 1..8),
        piece in 1..40usize,
    ) {
        let contract = contract(UNITS);
        let run = |said: &[Vec<u8>], piece: usize| {
            let mut run = Run::allowed(Arc::clone(&contract));
            said.iter().for_each(|said| run.say(Side::Client, said, piece));
            run.seen
        };
        let joined = [frames.concat()];
        let whole = run(&joined, usize::MAX);
        prop_assert_eq!(&run(&joined, 1), &whole);
        prop_assert_eq!(&run(&joined, piece), &whole);
        prop_assert_eq!(&run(&frames, usize::MAX), &whole);
    }
}
