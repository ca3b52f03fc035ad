use super::Role;

/// How a provider's groups that are meant for this server begin.
const OURS: &str = "airlift-";

/// The role that a provider's words give. Words that begin with `airlift-` come before those that may
/// mean something else. Of several the one that may most; operator and publisher may neither what the
/// other may, and then it is operator.
pub fn role_of(words: &[String]) -> Option<Role> {
    let most = |roles: Vec<Role>| {
        [Role::Admin, Role::Operator, Role::Publisher, Role::Viewer]
            .into_iter()
            .find(|role| roles.contains(role))
    };
    let ours = words.iter().filter_map(|word| word.strip_prefix(OURS));
    let plain = words.iter().map(String::as_str);
    most(ours.filter_map(Role::parse).collect())
        .or_else(|| most(plain.filter_map(Role::parse).collect()))
}

/// Whether a login may go on to this address afterwards: only a path of this server.
pub fn is_own_path(path: &str) -> bool {
    const LENGTH_MAX: usize = 512;
    let mut characters = path.chars();
    characters.next() == Some('/')
        && !matches!(characters.next(), Some('/' | '\\'))
        && path.len() <= LENGTH_MAX
        && path.chars().all(|it| it.is_ascii_graphic() && it != '\\')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_word_that_may_most_is_the_role() {
        for (words, role) in [
            (&[][..], None),
            (&["staff", "Admin", "airlift-", "airlift"], None),
            (&["viewer"], Some(Role::Viewer)),
            (
                &["airlift-viewer", "airlift-publisher"],
                Some(Role::Publisher),
            ),
            (&["publisher", "operator", "viewer"], Some(Role::Operator)),
            (&["operator", "admin"], Some(Role::Admin)),
            // An admin of something else.
            (&["admin", "airlift-viewer"], Some(Role::Viewer)),
        ] {
            let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
            assert_eq!(role_of(&words), role, "{words:?}");
        }
    }

    #[test]
    fn a_login_goes_on_to_this_server_alone() {
        for path in ["/", "/docs/", "/a?b=c#d", "/a//b"] {
            assert!(is_own_path(path), "{path}");
        }
        for path in [
            "",
            "a",
            "//evil.example",
            "/\\evil.example",
            "https://evil.example",
            "/a\\b",
            "/a b",
            "/\tb",
            "/\n/evil.example",
            "javascript:alert(1)",
            "/ä",
        ] {
            assert!(!is_own_path(path), "{path}");
        }
        assert!(!is_own_path(&format!("/{}", "a".repeat(512))));
    }
}
