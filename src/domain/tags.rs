use std::collections::BTreeMap;

/// What people say of a gateway, by key.
pub type Tags = BTreeMap<String, String>;
/// New values by key; `None` removes the tag.
pub type TagChanges = BTreeMap<String, Option<String>>;

/// Longest key of a tag, in bytes.
pub const TAG_KEY_LENGTH_MAX: usize = 64;
/// Longest value of a tag, in characters.
pub const TAG_VALUE_LENGTH_MAX: usize = 128;
/// Tags of one gateway.
pub const TAGS_MAX: usize = 64;

/// Refuses what can't be a tag's key, with a sentence.
pub fn check_tag_key(key: &str) -> Result<(), String> {
    let is_key = (1..=TAG_KEY_LENGTH_MAX).contains(&key.len())
        && key
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-' | b'/'));
    match is_key {
        true => Ok(()),
        false => Err(format!(
            "{key:?} is not a tag's key: use 1 to {TAG_KEY_LENGTH_MAX} of A-Z a-z 0-9 . _ - /"
        )),
    }
}

/// Refuses what can't be a tag's value, with a sentence.
pub fn check_tag_value(value: &str) -> Result<(), String> {
    if value.chars().count() > TAG_VALUE_LENGTH_MAX {
        return Err(format!(
            "the tag value {value:?} is too long: use at most {TAG_VALUE_LENGTH_MAX} characters"
        ));
    }
    if value.chars().any(char::is_control) {
        return Err(format!(
            "the tag value {value:?} has a control character: leave it out"
        ));
    }
    Ok(())
}

/// Applies `changes`; refuses, with a sentence, what would be more than [`TAGS_MAX`] tags.
pub fn change_tags(tags: &mut Tags, changes: &TagChanges) -> Result<(), String> {
    for (key, value) in changes {
        match value {
            Some(value) => tags.insert(key.clone(), value.clone()),
            None => tags.remove(key),
        };
    }
    match tags.len() {
        0..=TAGS_MAX => Ok(()),
        many => Err(format!(
            "the gateway would have {many} tags: remove some, {TAGS_MAX} is the most"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_and_values_are_of_bounded_length_and_printable() {
        for good in ["site", "a/b.c_d-e", "0", &"k".repeat(64)] {
            assert_eq!(check_tag_key(good), Ok(()), "{good}");
        }
        for bad in ["", "a b", "a:b", "a=b", "ä", "a;b", &"k".repeat(65)] {
            assert!(check_tag_key(bad).is_err(), "{bad}");
        }
        for good in ["", "north lab", "=;\"'", &"ä".repeat(128)] {
            assert_eq!(check_tag_value(good), Ok(()), "{good}");
        }
        for bad in ["a\nb", "\0", "\u{7f}", &"ä".repeat(129)] {
            assert!(check_tag_value(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn changes_set_replace_and_remove() {
        let mut tags = Tags::from([("a".into(), "1".into()), ("b".into(), "2".into())]);
        let changes = TagChanges::from([
            ("a".into(), None),
            ("b".into(), Some("3".into())),
            ("c".into(), Some(String::new())),
            ("d".into(), None),
        ]);
        change_tags(&mut tags, &changes).unwrap();
        let expected = Tags::from([("b".into(), "3".into()), ("c".into(), String::new())]);
        assert_eq!(tags, expected);
        let many = (0..TAGS_MAX).map(|n| (format!("k{n}"), Some(String::new())));
        let refusal = change_tags(&mut tags, &many.collect()).unwrap_err();
        assert!(refusal.contains("66 tags"), "{refusal}");
    }
}
