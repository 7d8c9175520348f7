//! Stand-ins of the same form: each word is replaced by one of the same length and the same kinds of characters.
//!
//! What stands between words is left alone, so that whatever is made of words keeps its form: a host, an image, a path,
//! an e-mail address, a label. Stand-ins are numbered in the order in which words are met, and not made from a word by a
//! hash, which could be guessed. No two words get the same one, and none gets a word that stays.

use std::{
    collections::{HashMap, HashSet},
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use super::words::Words;

const LOWER: &[u8] = b"xyzabcdefghijklmnopqrstuvw";
const UPPER: &[u8] = b"XYZABCDEFGHIJKLMNOPQRSTUVW";
const DIGITS: &[u8] = b"9876543210";
const FIRST_DIGITS: &[u8] = b"987654321";
const LOWER_HEX: &[u8] = b"fedcba";
const UPPER_HEX: &[u8] = b"FEDCBA";

/// The stand-ins given so far.
#[derive(Default)]
pub(super) struct StandIns {
    words: HashMap<String, String>,
    used: HashSet<String>,
    /// The next number for words of each shape.
    next: HashMap<String, u64>,
    addresses: HashMap<String, u32>,
    ids: HashMap<String, u64>,
    numbers: HashMap<u64, u32>,
}

impl StandIns {
    /// The stand-in of a word, which is letters and digits only.
    pub(super) fn word(&mut self, word: &str, words: &Words) -> String {
        if let Some(known) = self.words.get(word) {
            return known.clone();
        }
        if word.bytes().all(|b| b == b'0') {
            return word.to_owned();
        }
        let mut shape = shape(word);
        let stand_in = loop {
            let next = self.next.entry(shape.clone()).or_default();
            let Some(candidate) = spell(&shape, *next) else {
                // All words of this shape are given away.
                let last = match shape.chars().next_back() {
                    Some('1') | None => '9',
                    Some(last) => last,
                };
                shape.push(last);
                continue;
            };
            *next += 1;
            // With one or two characters there may be no other.
            let is_itself = candidate == word && word.len() > 2;
            if !is_itself && !words.is_taken(&candidate) && !self.used.contains(&candidate) {
                break candidate;
            }
        };
        self.used.insert(stand_in.clone());
        self.words.insert(word.to_owned(), stand_in.clone());
        stand_in
    }

    /// The stand-in of a UUID.
    pub(super) fn id(&mut self, id: &str) -> String {
        let next = u64::try_from(self.ids.len())
            .unwrap_or(u64::MAX)
            .saturating_add(1);
        let number = *self.ids.entry(id.to_owned()).or_insert(next);
        format!("aaaaaaaa-0000-4000-8000-{number:012x}")
    }

    /// The stand-in of a number.
    pub(super) fn number(&mut self, number: f64) -> u32 {
        let next = u32::try_from(self.numbers.len())
            .unwrap_or(u32::MAX)
            .saturating_add(1);
        *self.numbers.entry(number.to_bits()).or_insert(next)
    }

    /// The stand-in of an address, out of the ranges that are set aside for benchmarks and documentation.
    pub(super) fn address(&mut self, text: &str) -> String {
        /// 198.18.0.0/15
        const BENCHMARKS: u32 = 0xc612_0000;
        /// 2001:db8::/32
        const DOCUMENTATION: u128 = 0x2001_0db8 << 96;
        let Some(address) = address(text) else {
            return text.to_owned();
        };
        let is_special = match address {
            IpAddr::V4(v4) => v4.is_unspecified() || v4 == Ipv4Addr::LOCALHOST,
            IpAddr::V6(v6) => v6.is_unspecified() || v6 == Ipv6Addr::LOCALHOST,
        };
        if is_special {
            return text.to_owned();
        }
        let next = u32::try_from(self.addresses.len())
            .unwrap_or(u32::MAX)
            .saturating_add(1);
        // Another form than the one of RFC 5952 stays one, and two of them stay two.
        let canonical = address.to_string();
        let is_odd = matches!(address, IpAddr::V6(v6) if v6.to_ipv4_mapped().is_none()) && canonical != text;
        let key = if is_odd { text.to_owned() } else { canonical };
        let number = *self.addresses.entry(key).or_insert(next);
        let v4 = Ipv4Addr::from(BENCHMARKS.wrapping_add(number));
        match address {
            IpAddr::V4(_) if text.parse::<Ipv4Addr>().is_err() => format!("0{v4}"),
            IpAddr::V4(_) => v4.to_string(),
            IpAddr::V6(v6) if v6.to_ipv4_mapped().is_some() => format!("::ffff:{v4}"),
            IpAddr::V6(_) => {
                let stand_in = Ipv6Addr::from(DOCUMENTATION + u128::from(number)).to_string();
                if is_odd { stand_in.to_uppercase() } else { stand_in }
            }
        }
    }
}

/// The address that a text is, in the old form with leading zeros too.
pub(super) fn address(text: &str) -> Option<IpAddr> {
    if let Ok(address) = text.parse() {
        return Some(address);
    }
    let mut parts = text.split('.').map(|part| {
        let is_number = !part.is_empty() && part.len() <= 8 && part.bytes().all(|b| b.is_ascii_digit());
        part.parse::<u32>()
            .ok()
            .and_then(|number| u8::try_from(number).ok())
            .filter(|_| is_number)
    });
    let mut part = || parts.next().flatten();
    let v4 = Ipv4Addr::new(part()?, part()?, part()?, part()?);
    parts.next().is_none().then_some(IpAddr::V4(v4))
}

/// One character for each of a word: its kind.
fn shape(word: &str) -> String {
    let is_hex = word.len() >= 8
        && word.bytes().all(|b| b.is_ascii_hexdigit())
        && word.bytes().any(|b| b.is_ascii_digit());
    let kind = |c: char| match c {
        '0'..='9' => '9',
        'a'..='z' if is_hex => 'f',
        'A'..='Z' if is_hex => 'F',
        'a'..='z' => 'x',
        'A'..='Z' => 'X',
        _ => match c.len_utf8() {
            0..=2 => '\u{3b1}',
            3 => '\u{4e00}',
            _ => '\u{20000}',
        },
    };
    let shape: String = word.chars().map(kind).collect();
    // A number has leading zeros if it had them: some are refused with them.
    let zeros = word.len() - word.trim_start_matches('0').len();
    if word.len() > 1 && word.bytes().all(|b| b.is_ascii_digit()) {
        let rest = shape.get(zeros + 1..).unwrap_or_default();
        return format!("{}1{rest}", "0".repeat(zeros));
    }
    shape
}

/// The word of this shape and number; `None` if there are not so many.
fn spell(shape: &str, number: u64) -> Option<String> {
    let mut left = number;
    let mut digit = |count: usize| {
        let count = u64::try_from(count).unwrap_or(1);
        let digit = left % count;
        left /= count;
        usize::try_from(digit).unwrap_or_default()
    };
    let mut spelt: Vec<char> = Vec::with_capacity(shape.len());
    for kind in shape.chars().rev() {
        let mut of = |letters: &[u8]| letters.get(digit(letters.len())).map(|byte| char::from(*byte));
        spelt.push(match kind {
            '0' => '0',
            '1' => of(FIRST_DIGITS)?,
            '9' => of(DIGITS)?,
            'f' => of(LOWER_HEX)?,
            'F' => of(UPPER_HEX)?,
            'x' => of(LOWER)?,
            'X' => of(UPPER)?,
            // 16 letters of the same length in UTF-8.
            first => char::from_u32(u32::from(first) + u32::try_from(digit(16)).unwrap_or_default())?,
        });
    }
    (left == 0).then(|| spelt.iter().rev().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stand_in_has_the_form_of_its_word_and_no_two_are_equal() {
        let words = Words::new();
        let mut stand_ins = StandIns::default();
        let mut seen = HashSet::new();
        for n in 0..40_000 {
            for word in [
                format!("w{n}"),
                format!("{n}"),
                format!("W{n}x"),
                format!("{n:08x}ab"),
            ] {
                let stand_in = stand_ins.word(&word, &words);
                assert_eq!(stand_in, stand_ins.word(&word, &words));
                if !words.is_taken(&word) && word.len() > 2 {
                    assert_eq!(shape(&stand_in), shape(&word), "{word} {stand_in}");
                }
                seen.insert((word, stand_in));
            }
        }
        let (from, to): (HashSet<_>, HashSet<_>) =
            seen.iter().map(|(word, stand_in)| (word, stand_in)).unzip();
        assert_eq!(from.len(), to.len());
    }

    #[test]
    fn an_address_stays_one_of_its_kind() {
        let mut stand_ins = StandIns::default();
        for (text, is) in [
            ("10.1.2.3", "198.18.0.1"),
            ("010.1.2.3", "0198.18.0.1"),
            ("127.0.0.1", "127.0.0.1"),
            ("fd00::53", "2001:db8::2"),
            ("::ffff:10.9.9.9", "::ffff:198.18.0.3"),
            ("FD00::53", "2001:DB8::4"),
            ("10.1.2.300", "10.1.2.300"),
        ] {
            assert_eq!(stand_ins.address(text), is);
        }
    }

    #[test]
    fn text_that_is_not_ascii_keeps_its_length_in_bytes_and_in_utf_16() {
        let words = Words::new();
        for word in ["müller", "東京", "😀a", "Жук"] {
            let stand_in = StandIns::default().word(word, &words);
            assert_ne!(stand_in, word);
            assert_eq!(stand_in.len(), word.len(), "{stand_in}");
            assert_eq!(stand_in.encode_utf16().count(), word.encode_utf16().count());
        }
    }
}
