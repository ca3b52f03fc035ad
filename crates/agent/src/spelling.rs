//! Which known word a slip means.

/// The word nearest to `word`, if one is near.
pub fn nearest<'a>(word: &str, known: &[&'a str]) -> Option<&'a str> {
    let lower = word.to_lowercase();
    let plain: String = lower.chars().filter(|c| c.is_alphanumeric()).collect();
    let far = |other: &str| edits(&plain, &other.to_lowercase());
    let nearest = known.iter().min_by_key(|other| far(other))?;
    // Short words are near to anything.
    let edits_max = (nearest.len() / 4).clamp(1, 3);
    (far(nearest) <= edits_max).then_some(*nearest)
}

/// Letters to put in, take away or change to make one of the other.
fn edits(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, letter) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, other) in b.iter().enumerate() {
            let changed = diagonal + usize::from(letter != *other);
            diagonal = row[j + 1];
            row[j + 1] = changed.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_is_near_and_another_word_is_not() {
        let known = ["server", "pollSeconds", "caFile"];
        assert_eq!(nearest("poll_seconds", &known), Some("pollSeconds"));
        assert_eq!(nearest("ca-file", &known), Some("caFile"));
        assert_eq!(nearest("sevrer", &["server"]), None);
        assert_eq!(nearest("servr", &known), Some("server"));
        assert_eq!(nearest("location", &known), None);
    }
}
