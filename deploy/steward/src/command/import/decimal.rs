//! Dollars in decimals, as other programs write them, in whole small units.

/// Digits that a binary float of 64 bits holds for sure. What is behind them is the noise of whoever wrote it.
const DIGITS_MAX: usize = 15;

/// The longest number that is read.
const TEXT_BYTES_MAX: usize = 64;

/// An amount in whole units.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Whole {
    /// How many units; what is no whole number of them is rounded up.
    pub(super) units: u64,
    /// True if it was no whole number of them.
    pub(super) rounded: bool,
}

/// Pico-dollars in a number of dollars such as `1.5e-07`; none if it is no amount.
pub(super) fn pico(dollars: &str) -> Option<Whole> {
    whole(dollars, 12)
}

/// Nano-dollars in a number of dollars; none if it is no amount.
pub(super) fn nano(dollars: &str) -> Option<Whole> {
    whole(dollars, 9)
}

/// A count such as `128000`, or `128000.0` as some write it.
pub(super) fn count(number: &str) -> Option<u64> {
    whole(number, 0).filter(|whole| !whole.rounded).map(|whole| whole.units)
}

/// `number` times ten to the power of `power`.
fn whole(number: &str, power: i32) -> Option<Whole> {
    if number.len() > TEXT_BYTES_MAX {
        return None;
    }
    let (mantissa, exponent) = match number.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, exponent.parse::<i32>().ok()?),
        None => (number, 0),
    };
    let (before, behind) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = format!("{before}{behind}");
    if digits.is_empty() || !digits.bytes().all(|digit| digit.is_ascii_digit()) {
        return None;
    }
    let (digits, dropped) = significant(digits.trim_start_matches('0'));
    let behind = i32::try_from(behind.len()).ok()?.checked_sub(dropped)?;
    scaled(digits, power.checked_add(exponent)?.checked_sub(behind)?)
}

/// The digits that count, the last of them rounded, and how many were dropped.
fn significant(digits: &str) -> (u128, i32) {
    let (kept, noise) = digits.split_at(digits.len().min(DIGITS_MAX));
    let kept = kept.bytes().fold(0, |sum, digit| sum * 10 + u128::from(digit - b'0'));
    let up = noise.bytes().next().is_some_and(|digit| digit >= b'5');
    (kept + u128::from(up), i32::try_from(noise.len()).unwrap_or(i32::MAX))
}

fn scaled(digits: u128, shift: i32) -> Option<Whole> {
    if digits == 0 {
        return Some(Whole { units: 0, rounded: false });
    }
    let power = 10_u128.checked_pow(shift.unsigned_abs());
    let (units, rounded) = match (shift >= 0, power) {
        (true, power) => (digits.checked_mul(power?)?, false),
        (false, Some(power)) => (digits.div_ceil(power), !digits.is_multiple_of(power)),
        (false, None) => (1, true),
    };
    Some(Whole { units: u64::try_from(units).ok()?, rounded })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const fn exact(units: u64) -> Whole {
        Whole { units, rounded: false }
    }

    #[test]
    fn dollars_a_token_become_pico_dollars() {
        for (text, units) in [
            ("1.5e-07", 150_000),
            ("0.00000015", 150_000),
            ("2.5E-6", 2_500_000),
            ("3e-06", 3_000_000),
            ("0", 0),
            ("0.0", 0),
            ("1", 1_000_000_000_000),
            ("0e999", 0),
        ] {
            assert_eq!(pico(text), Some(exact(units)), "{text}");
        }
    }

    #[test]
    fn noise_behind_fifteen_digits_is_no_price() {
        assert_eq!(pico("1.0000000000000001e-07"), Some(exact(100_000)));
        assert_eq!(pico("1.9999999999999998e-07"), Some(exact(200_000)));
    }

    #[test]
    fn less_than_a_pico_dollar_is_rounded_up_and_said() {
        assert_eq!(pico("1.00000051e-07"), Some(Whole { units: 100_001, rounded: true }));
        assert_eq!(pico("1e-30"), Some(Whole { units: 1, rounded: true }));
        assert_eq!(pico("1e-99"), Some(Whole { units: 1, rounded: true }));
    }

    #[test]
    fn what_is_no_amount_is_none() {
        let long = "1".repeat(65);
        for text in ["", ".", "-1", "1.2.3", "1e", "e1", "1e999999999999", "nan", ".inf", "1_000", "1e30", "+1", &long]
        {
            assert_eq!(pico(text), None, "{text}");
        }
    }

    #[test]
    fn a_count_is_whole() {
        assert_eq!(count("128000"), Some(128_000));
        assert_eq!(count("128000.0"), Some(128_000));
        assert_eq!(count("1e5"), Some(100_000));
        assert_eq!(count("1.5"), None);
    }

    proptest! {
        /// However a float is printed, its first fifteen digits are what was meant.
        #[test]
        fn a_float_of_whole_pico_dollars_is_exact(units in 0_u64..1_000_000_000_000) {
            #[allow(clippy::cast_precision_loss)]
            let dollars = units as f64 / 1e12;
            prop_assert_eq!(pico(&dollars.to_string()), Some(exact(units)));
            prop_assert_eq!(pico(&format!("{dollars:e}")), Some(exact(units)));
        }

        #[test]
        fn no_text_is_too_much(text in "\\PC{0,80}") {
            let _ = pico(&text);
        }
    }
}
