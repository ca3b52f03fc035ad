use std::collections::HashSet;

use proptest::prelude::*;

use super::super::{ORDER_MODULUS, order_coefficients, position, wave_end_ranks};

#[test]
fn an_order_stays_the_same_from_release_to_release() {
    assert_eq!(order_coefficients(0), (794128632, 562105211));
    assert_eq!(order_coefficients(1), (1294361112, 1315796658));
    assert_eq!(order_coefficients(-1), (312716869, 1449250397));
    assert_eq!(position(1_234_567_890, 1), 1662545154);
}

proptest! {
    #[test]
    fn positions_are_a_permutation(seed: i64, shuffles in prop::collection::hash_set(0..ORDER_MODULUS, 2..60)) {
        let (a, b) = order_coefficients(seed);
        prop_assert!((1..ORDER_MODULUS).contains(&a));
        prop_assert!((0..ORDER_MODULUS).contains(&b));
        let positions: HashSet<i64> = shuffles.iter().map(|shuffle| position(*shuffle, seed)).collect();
        prop_assert_eq!(positions.len(), shuffles.len());
        for shuffle in shuffles {
            let position = position(shuffle, seed);
            prop_assert!((0..ORDER_MODULUS).contains(&position));
            // What the stores compute in SQL.
            prop_assert_eq!(position, (a * shuffle + b) % ORDER_MODULUS);
        }
    }

    #[test]
    fn seeds_differ_in_their_order(
        seed: i64,
        other: i64,
        shuffles in prop::collection::hash_set(0..ORDER_MODULUS, 20..40),
    ) {
        prop_assume!(seed != other);
        let order = |seed| {
            let mut gateways: Vec<i64> = shuffles.iter().copied().collect();
            gateways.sort_by_cached_key(|shuffle| position(*shuffle, seed));
            gateways
        };
        prop_assert_eq!(order(seed), order(seed));
        prop_assert_ne!(order(seed), order(other));
    }

    #[test]
    fn a_wave_ends_at_the_least_rank_that_has_its_share(total in 0..3_000_000_i64, percents in prop::collection::btree_set(1..=100_u8, 1..8)) {
        let percents: Vec<u8> = percents.into_iter().collect();
        let ranks = wave_end_ranks(total, &percents);
        prop_assert_eq!(ranks.len(), percents.len());
        for (rank, percent) in ranks.iter().zip(&percents) {
            let share = total * i64::from(*percent);
            prop_assert!(rank * 100 >= share && (rank - 1) * 100 < share);
        }
        if percents.last() == Some(&100) {
            prop_assert_eq!(ranks.last(), Some(&total));
        }
    }
}

#[test]
fn ranks_of_a_few_gateways_are_exact() {
    assert_eq!(wave_end_ranks(3, &[1, 10, 50, 100]), [1, 1, 2, 3]);
    assert_eq!(wave_end_ranks(500, &[10, 50, 100]), [50, 250, 500]);
    assert_eq!(wave_end_ranks(0, &[10, 100]), [0, 0]);
    assert_eq!(wave_end_ranks(i64::MAX, &[100]), [i64::MAX]);
}

#[test]
fn a_tenth_of_a_fleet_is_spread_over_all_of_it() {
    // Neighbours by hash must not stand together: of each tenth of the hashes about a tenth is first.
    let first = ORDER_MODULUS / 10;
    for seed in 0..20 {
        let shuffles = (0..10_000).map(|n| n * (ORDER_MODULUS / 10_000));
        let chosen = shuffles
            .filter(|shuffle| position(*shuffle, seed) < first)
            .count();
        assert!((900..=1100).contains(&chosen), "{seed}: {chosen}");
    }
}
