//! Kubernetes' quantities: `200Mi`, `0.5`, `1e3`, `20m`.
//!
//! The API server reads them with a scanner of its own that accepts more than its documentation says (`.`, `+`
//! and surrounding blanks are legal) and never a fraction of a nano-unit. Values are compared exactly, so they
//! are whole numbers of nano-units here, not doubles.

/// A number of nano-units. Everything from about 10^29 units on counts as equal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Quantity(i128);

const NANO: i128 = 1_000_000_000;
/// Far above 2^63 units, and far below what additions could overflow; a whole number.
const MOST: i128 = i128::MAX / 1_000_000 / NANO * NANO;

/// What is wrong with a text that is no quantity.
pub(crate) const SYNTAX: &str =
    "a quantity is a number and one of the suffixes m, k, M, G, T, P, E, Ki, Mi, Gi, Ti, Pi, Ei, or none";

impl Quantity {
    pub(crate) const ZERO: Self = Self(0);

    /// Reads a quantity; `None` if the API server could not.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        if text.is_empty() {
            return None;
        }
        let (negative, rest) = match text.as_bytes().first() {
            Some(b'-') => (true, &text[1..]),
            Some(b'+') => (false, &text[1..]),
            _ => (false, text),
        };
        let (whole, rest) = digits(rest);
        let (fraction, suffix) = match rest.strip_prefix('.') {
            Some(rest) => digits(rest),
            None => ("", rest),
        };
        let (base, exponent) = scale(suffix)?;
        let mut value = Amount::default();
        for digit in whole.bytes().chain(fraction.bytes()) {
            value.push(digit - b'0');
        }
        let mut ten = 9 - i64::try_from(fraction.len()).unwrap_or(i64::MAX);
        match base {
            Base::Two => {
                for _ in 0..exponent {
                    value.multiply(2);
                }
            }
            Base::Ten => ten = ten.saturating_add(exponent),
        }
        value.shift(ten);
        Some(Self(if negative { -value.value } else { value.value }))
    }

    pub(crate) fn is_negative(self) -> bool {
        self.0 < 0
    }

    /// Whether it is a whole number, counted in thousandths as the API server does, rounded up.
    pub(crate) fn is_integer(self) -> bool {
        let milli = NANO / 1000;
        let up = self.0.div_euclid(milli) + i128::from(self.0.rem_euclid(milli) != 0);
        up.rem_euclid(1000) == 0
    }

    /// The next whole number of units.
    pub(crate) fn rounded_up(self) -> Self {
        Self(self.0.saturating_add((NANO - self.0.rem_euclid(NANO)) % NANO))
    }

    /// Whether it is a positive multiple of another one.
    pub(crate) fn is_multiple_of(self, other: Self) -> bool {
        other.0 != 0 && self.0 % other.0 == 0
    }

    /// Nano-units.
    pub(crate) fn nano(self) -> i128 {
        self.0
    }

    pub(crate) fn plus(self, other: Self) -> Self {
        Self((self.0 + other.0).clamp(-MOST, MOST))
    }
}

/// A quantity as a plain number of units: `0.512`.
pub(crate) fn in_units(quantity: Quantity) -> String {
    let sign = if quantity.is_negative() { "-" } else { "" };
    let nano = quantity.0.unsigned_abs();
    let (whole, rest) = (nano / NANO.unsigned_abs(), nano % NANO.unsigned_abs());
    let rest = format!("{rest:09}");
    match rest.trim_end_matches('0') {
        "" => format!("{sign}{whole}"),
        rest => format!("{sign}{whole}.{rest}"),
    }
}

/// The quantity that was meant with a text that is none: `8G` for `8 GB`, `1Gi` for `1gib`.
pub(crate) fn meant(text: &str) -> Option<String> {
    let text = text.trim();
    let unit_at = text.find(|c: char| !matches!(c, '0'..='9' | '.' | '-' | '+'))?;
    let (number, unit) = text.split_at(unit_at);
    let unit = unit.trim().to_lowercase();
    let unit = match unit.strip_suffix("bytes").or_else(|| unit.strip_suffix('b')) {
        Some(unit) => unit,
        None => &unit,
    };
    let unit = match unit {
        "" => "",
        "k" => "k",
        "ki" => "Ki",
        "m" | "mega" => "M",
        "mi" => "Mi",
        "g" | "giga" => "G",
        "gi" => "Gi",
        "t" => "T",
        "ti" => "Ti",
        "p" => "P",
        "pi" => "Pi",
        _ => return None,
    };
    let meant = format!("{number}{unit}");
    number.bytes().any(|b| b.is_ascii_digit()).then_some(())?;
    Quantity::parse(&meant).map(|_| meant)
}

/// A number that is still being read. Digits beyond what it can hold are remembered as a count.
#[derive(Default)]
struct Amount {
    value: i128,
    /// Decimal places that were left out because the number is full.
    dropped: i64,
}

impl Amount {
    fn push(&mut self, digit: u8) {
        if self.dropped > 0 || self.value > MOST / 10 - 10 {
            self.dropped = self.dropped.saturating_add(1);
        } else {
            self.value = self.value * 10 + i128::from(digit);
        }
    }

    fn multiply(&mut self, by: i128) {
        if self.value > MOST / by {
            // A power of two more or less does not matter up here.
            self.value = MOST;
        } else {
            self.value *= by;
        }
    }

    /// Moves the decimal point; what falls below a nano-unit is rounded up.
    fn shift(&mut self, places: i64) {
        let mut places = places.saturating_add(self.dropped);
        while places > 0 && self.value != 0 && self.value < MOST {
            self.multiply(10);
            places -= 1;
        }
        let mut rest = false;
        while places < 0 && self.value != 0 {
            rest |= self.value % 10 != 0;
            self.value /= 10;
            places += 1;
        }
        self.value += i128::from(rest);
    }
}

fn digits(text: &str) -> (&str, &str) {
    text.split_at(
        text.bytes()
            .position(|b| !b.is_ascii_digit())
            .unwrap_or(text.len()),
    )
}

enum Base {
    Two,
    Ten,
}

fn scale(suffix: &str) -> Option<(Base, i64)> {
    Some(match suffix {
        "" => (Base::Ten, 0),
        "n" => (Base::Ten, -9),
        "u" => (Base::Ten, -6),
        "m" => (Base::Ten, -3),
        "k" => (Base::Ten, 3),
        "M" => (Base::Ten, 6),
        "G" => (Base::Ten, 9),
        "T" => (Base::Ten, 12),
        "P" => (Base::Ten, 15),
        "E" => (Base::Ten, 18),
        "Ki" => (Base::Two, 10),
        "Mi" => (Base::Two, 20),
        "Gi" => (Base::Two, 30),
        "Ti" => (Base::Two, 40),
        "Pi" => (Base::Two, 50),
        "Ei" => (Base::Two, 60),
        _ => {
            let exponent = suffix.strip_prefix(['e', 'E'])?;
            let number = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
            if number.is_empty() || !number.bytes().all(|b| b.is_ascii_digit()) {
                return None;
            }
            (Base::Ten, exponent.parse().ok()?)
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nano(text: &str) -> Option<i128> {
        Quantity::parse(text).map(|quantity| quantity.0)
    }

    #[test]
    fn suffixes_are_powers_of_ten_or_two() {
        assert_eq!(nano("20m"), Some(NANO / 50));
        assert_eq!(nano("1k"), nano("1000"));
        assert_eq!(nano("1Ki"), nano("1024"));
        assert_eq!(nano("1.5Gi"), nano("1536Mi"));
        assert_eq!(nano("1e3"), nano("1k"));
        assert_eq!(nano("1E-3"), nano("1m"));
        assert_eq!(nano("1E"), nano("1000P"));
    }

    #[test]
    fn what_the_api_server_cannot_read_is_no_quantity() {
        for text in [
            "", " ", "1K", "1 Gi", "1GB", "abc", "1.2.3", "1mi", "0x10", "1e", "--1", "1Mib",
        ] {
            assert_eq!(nano(text), None, "{text:?}");
        }
        for text in [".", "+", "-", ".5", "5.", " 1 ", "00", "+1", "1e+3"] {
            assert!(nano(text).is_some(), "{text:?}");
        }
    }

    #[test]
    fn the_quantity_that_was_meant_is_suggested() {
        for (text, expected) in [
            ("16 GB", Some("16G")),
            ("8GB", Some("8G")),
            ("1 Gi", Some("1Gi")),
            ("1.5gib", Some("1.5Gi")),
            ("512MB", Some("512M")),
            ("1K", Some("1k")),
            ("two", None),
            ("4 cores", None),
            ("GB", None),
        ] {
            assert_eq!(meant(text).as_deref(), expected, "{text}");
        }
    }

    #[test]
    fn a_plain_number_of_units_has_the_fraction_that_is_there() {
        for (text, plain, up) in [
            ("512m", "0.512", "1"),
            ("0.1Gi", "107374182.4", "107374183"),
            ("2", "2", "2"),
            ("-1500m", "-1.5", "-1"),
        ] {
            let quantity = Quantity::parse(text).unwrap();
            assert_eq!(in_units(quantity), plain);
            assert_eq!(in_units(quantity.rounded_up()), up);
        }
    }

    #[test]
    fn less_than_a_nano_unit_is_rounded_up() {
        assert_eq!(nano("0.0000000001"), Some(1));
        assert_eq!(nano("1e-400"), Some(1));
    }

    #[test]
    fn huge_numbers_stay_ordered_and_cost_nothing() {
        let many = "9".repeat(100_000);
        assert!(nano(&many) > nano("9223372036854775807"));
        assert!(nano("1e999999999999") > nano("1Ei"));
        assert_eq!(nano("0e999999999999"), Some(0));
    }

    #[test]
    fn integers_are_judged_in_thousandths() {
        let integer = |text| Quantity::parse(text).is_some_and(Quantity::is_integer);
        assert!(integer("2") && integer("2000m") && integer("1Ki"));
        assert!(!integer("500m") && !integer("1.0001"));
    }
}
