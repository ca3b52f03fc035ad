/// What stands in the place of a secret.
const MASK: &str = "***";
/// Endings of the names of options whose value is a secret.
const SECRET_ENDINGS: [&str; 5] = ["secret", "password", "passphrase", "token", "key"];
/// Options that end so and hold no secret: the name of a file that has it.
const NO_SECRETS: [&str; 1] = ["--tls-key"];

/// An option of the server, as it may be shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    /// As on the command line, `--listen` say.
    pub name: String,
    /// Without secrets; `None`: nothing is set, and there is no default.
    pub value: Option<String>,
    pub help: String,
    pub source: SettingSource,
}

/// Where a value comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SettingSource {
    Default,
    CommandLine,
    Environment,
    File,
}

impl SettingSource {
    pub fn as_str(self) -> &'static str {
        match self {
            SettingSource::Default => "default",
            SettingSource::CommandLine => "command line",
            SettingSource::Environment => "environment",
            SettingSource::File => "file",
        }
    }
}

impl Setting {
    pub fn new(name: String, value: Option<String>, help: String, source: SettingSource) -> Self {
        Setting {
            value: value.map(|value| without_secrets(&name, &value)),
            name,
            help,
            source,
        }
    }
}

/// A value as others may see it. Of a URL the user, the password and what stands behind the path are
/// left out; where they can't be told apart, all of it.
fn without_secrets(name: &str, value: &str) -> String {
    let is_secret = SECRET_ENDINGS.iter().any(|ending| name.ends_with(ending));
    if is_secret && !NO_SECRETS.contains(&name) {
        return MASK.to_owned();
    }
    let Some((scheme, rest)) = value.split_once("://") else {
        return value.to_owned();
    };
    let is_behind = |byte: char| matches!(byte, '?' | '#' | '&' | ';');
    match rest.rsplit_once('@') {
        Some((user, _)) if user.contains(is_behind) => format!("{scheme}://{MASK}"),
        Some((_, place)) => format!("{scheme}://{MASK}@{}", cut(place, is_behind)),
        None => format!("{scheme}://{}", cut(rest, is_behind)),
    }
}

fn cut(place: &str, is_behind: impl Fn(char) -> bool) -> String {
    match place.find(is_behind) {
        None => place.to_owned(),
        Some(end) => format!("{}?{MASK}", &place[..end]),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_shown_holds_no_secrets() {
        for (name, value, shown) in [
            ("--public-url", "http://a.b:8018/c", "http://a.b:8018/c"),
            ("--listen", "[::1]:8018", "[::1]:8018"),
            (
                "--database-url",
                "sqlite:./data/airlift.db",
                "sqlite:./data/airlift.db",
            ),
            ("--database-url", "postgres://u:p@h/d", "postgres://***@h/d"),
            (
                "--database-url",
                "postgres://u:p@w@h:1/d?x=y",
                "postgres://***@h:1/d?***",
            ),
            (
                "--database-url",
                "postgres://h/d?user=u&password=p",
                "postgres://h/d?***",
            ),
            (
                "--database-url",
                "postgres://h/d?user=u&password=p@x",
                "postgres://***",
            ),
            ("--database-url", "postgres://u:p?w@h/d", "postgres://***"),
            (
                "--mqtt-url",
                "mqtts://u:p@broker:8883",
                "mqtts://***@broker:8883",
            ),
            ("--some-secret", "x", "***"),
            ("--tls-key", "/etc/airlift/tls.key", "/etc/airlift/tls.key"),
            ("--oidc-client-secret-file", "/etc/secret", "/etc/secret"),
            ("--trusted-keys", "/etc/keys", "/etc/keys"),
        ] {
            assert_eq!(without_secrets(name, value), shown, "{name} {value}");
        }
    }

    proptest! {
        #[test]
        fn no_password_of_a_url_is_ever_shown(password in "[a-z@?#&;:/%]{0,6}SECRET[a-z@?#&;:/%]{0,6}") {
            let value = format!("postgres://user:{password}@host/database");
            let shown = without_secrets("--database-url", &value);
            prop_assert!(!shown.contains("SECRET"), "{}", shown);
        }
    }
}
