//! Many measurements of one thing, and what is said of them.

#![allow(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss)] // figures for people

use std::time::Duration;

/// Durations, sorted.
#[derive(Clone, Debug, Default)]
pub(super) struct Sample(Vec<u64>);

impl Sample {
    /// Of durations in nanoseconds, in any order.
    pub(super) fn of_nanos(mut nanos: Vec<u64>) -> Self {
        nanos.sort_unstable();
        Self(nanos)
    }

    /// Of durations, in any order.
    pub(super) fn of(durations: impl IntoIterator<Item = Duration>) -> Self {
        Self::of_nanos(durations.into_iter().map(nanos).collect())
    }

    /// How many.
    pub(super) fn count(&self) -> u64 {
        self.0.len() as u64
    }

    /// The smallest one that `quantile` (0 to 1) of all do not exceed, in microseconds; 0 of none.
    pub(super) fn quantile_us(&self, quantile: f64) -> f64 {
        let rank = (quantile * self.0.len() as f64).ceil() as usize;
        let at = rank.clamp(1, self.0.len().max(1)) - 1;
        self.0.get(at).map_or(0.0, |nanos| *nanos as f64 / 1_000.0)
    }

    /// The same in milliseconds.
    pub(super) fn quantile_ms(&self, quantile: f64) -> f64 {
        self.quantile_us(quantile) / 1_000.0
    }
}

/// A duration as a number.
pub(super) fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// So many in that time, a second.
pub(super) fn rate(count: u64, elapsed: Duration) -> f64 {
    count as f64 / elapsed.as_secs_f64().max(1e-9)
}

/// The middle one; the mean of the middle two of an even number; 0 of none.
pub(super) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    match values.len() {
        0 => 0.0,
        odd if odd % 2 == 1 => values[odd / 2],
        even => f64::midpoint(values[even / 2 - 1], values[even / 2]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_measured_values() {
        let sample = Sample::of((1..=100).rev().map(Duration::from_micros));
        let all = [0.0, 0.5, 0.99, 1.0].map(|quantile| sample.quantile_us(quantile).round() as u64);
        assert_eq!(all, [1, 50, 99, 100]);
        assert_eq!(Sample::of([Duration::from_millis(3)]).quantile_ms(0.99).round() as u64, 3);
        assert_eq!(Sample::default().quantile_us(0.5).to_bits(), 0.0_f64.to_bits());
    }

    #[test]
    fn a_median_is_in_the_middle() {
        let all = [vec![], vec![7.0], vec![9.0, 1.0, 5.0], vec![4.0, 1.0, 2.0, 3.0]].map(median);
        assert_eq!(all.map(|middle| (middle * 10.0) as u64), [0, 70, 50, 25]);
    }
}
