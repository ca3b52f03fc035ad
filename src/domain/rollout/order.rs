use sha2::{Digest, Sha256};

/// Shuffles and positions are below it: 2^31 − 1, a prime, so that every multiplier but 0 makes a
/// permutation and the product of two numbers below it fits an `i64`, in SQL as well.
pub const ORDER_MODULUS: i64 = (1 << 31) - 1;

/// The `a` (1 to the modulus) and `b` (0 to the modulus), both exclusive above, of a rollout's order.
pub fn order_coefficients(seed: i64) -> (i64, i64) {
    let digest = Sha256::digest(seed.to_be_bytes());
    let (first, rest) = digest.split_at(4);
    let number = |bytes: &[u8]| {
        bytes
            .iter()
            .fold(0, |sum, byte| sum << 8 | i64::from(*byte))
    };
    let a = 1 + number(first) % (ORDER_MODULUS - 1);
    let b = number(&rest[..4]) % ORDER_MODULUS;
    (a, b)
}

/// The place of a gateway in a rollout's order, 0 to [`ORDER_MODULUS`] (exclusive): `shuffle` is the
/// gateway's hash, of the same range, `seed` the rollout's.
pub fn position(shuffle: i64, seed: i64) -> i64 {
    let (a, b) = order_coefficients(seed);
    (a * shuffle.rem_euclid(ORDER_MODULUS) + b) % ORDER_MODULUS
}

/// How many of `total` members stand in each wave or one before it. `waves` are percentages of the
/// total, rounded up to whole members.
pub fn wave_end_ranks(total: i64, waves: &[u8]) -> Vec<i64> {
    let rank = |percent: &u8| (i128::from(total) * i128::from(*percent) + 99) / 100;
    waves
        .iter()
        .map(|percent| i64::try_from(rank(percent)).unwrap_or(i64::MAX))
        .collect()
}
