//! Faults as the crates below name them, in words that an operator reads: no sentence holds a name
//! out of somebody's code.

/// `text` with each name like `EndEntityUsedAsCa` as words: `end entity used as ca`.
pub(crate) fn in_words(text: &str) -> String {
    let mut words = String::with_capacity(text.len() + 8);
    for word in text.split_inclusive(|letter: char| !letter.is_ascii_alphanumeric()) {
        if is_a_name(word) { spread(word, &mut words) } else { words.push_str(word) }
    }
    words
}

fn is_a_name(word: &str) -> bool {
    let inside = word.bytes().zip(word.bytes().skip(1));
    word.starts_with(|first: char| first.is_ascii_uppercase())
        && inside.filter(|(a, b)| a.is_ascii_lowercase() && b.is_ascii_uppercase()).count() > 0
}

fn spread(word: &str, words: &mut String) {
    let mut small = false;
    for letter in word.chars() {
        if small && letter.is_ascii_uppercase() {
            words.push(' ');
        }
        small = letter.is_ascii_lowercase();
        words.push(letter.to_ascii_lowercase());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_out_of_the_code_becomes_words() {
        let said = "got ApplicationData when expecting Handshake (InvalidCCS)";
        assert_eq!(in_words(said), "got application data when expecting Handshake (invalid ccs)");
        for plain in ["", "TLS", "it needs clientAuth", "Ed25519", "a name: `x`", "세관"] {
            assert_eq!(in_words(plain), plain);
        }
    }
}
