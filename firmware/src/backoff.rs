//! How long to wait before trying again, so that a fleet cut off together does not come back
//! together.

/// Milliseconds to wait after the `failures`-th failure in a row (the first is 1): the wait doubles
/// from `ms_min` to `ms_max`, and the upper half of it is spread by `jitter`, any random number.
pub fn backoff_ms(failures: u32, ms_min: u64, ms_max: u64, jitter: u64) -> u64 {
    let doublings = failures.saturating_sub(1).min(u64::BITS - 1);
    let whole = ms_min.saturating_mul(1 << doublings).min(ms_max);
    let half = whole / 2;
    half + jitter % (whole - half + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wait_doubles_up_to_the_longest() {
        let longest = |failures| backoff_ms(failures, 1_000, 60_000, 500);
        assert_eq!(longest(1), 500 + 500);
        assert_eq!(longest(2), 1_000 + 500);
        assert_eq!(longest(3), 2_000 + 500);
        assert_eq!(longest(7), 30_000 + 500);
        assert_eq!(longest(u32::MAX), 30_000 + 500);
    }

    #[test]
    fn jitter_stays_in_the_upper_half() {
        for jitter in [0, 1, 499, 500, 501, u64::MAX] {
            assert!((500..=1_000).contains(&backoff_ms(1, 1_000, 60_000, jitter)));
        }
    }
}
