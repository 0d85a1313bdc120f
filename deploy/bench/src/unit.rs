//! What a figure counts, and how it is written.

/// In what a figure is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unit {
    /// So many a second.
    PerSecond,
    /// Microseconds.
    Micros,
    /// Milliseconds.
    Millis,
    /// MiB.
    Mebibytes,
    /// A number.
    Number,
}

/// A figure with its unit.
pub(super) fn figure(value: f64, unit: Unit) -> String {
    let number = if value.abs() >= 1_000.0 {
        thousands(value)
    } else if value.abs() >= 100.0 || value.fract().abs() < 1e-9 {
        format!("{value:.0}")
    } else {
        format!("{value:.2}")
    };
    match unit {
        Unit::PerSecond => format!("{number}/s"),
        Unit::Micros => format!("{number} µs"),
        Unit::Millis => format!("{number} ms"),
        Unit::Mebibytes => format!("{number} MiB"),
        Unit::Number => number,
    }
}

/// 1234567 as 1,234,567.
fn thousands(value: f64) -> String {
    let digits = format!("{value:.0}");
    let mut grouped = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) && !grouped.ends_with('-') {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_readable() {
        let all = [0.0, 0.25, 12.0, 999.4, 1_000.0, 1_234_567.0, -5_000.0].map(|value| figure(value, Unit::Number));
        assert_eq!(all, ["0", "0.25", "12", "999", "1,000", "1,234,567", "-5,000"]);
    }
}
