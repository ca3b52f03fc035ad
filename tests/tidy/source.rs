//! As much of a Rust parser as the rules need.

/// A Rust file, its code parted from its strings.
pub struct Source {
    /// As many lines as the file; comments and what strings hold are gone.
    pub code: String,
    /// Each string's first line and text.
    pub strings: Vec<(usize, String)>,
}

impl Source {
    pub fn read(text: &str) -> Source {
        let mut source = Source {
            code: String::new(),
            strings: Vec::new(),
        };
        let mut rest = text;
        while !rest.is_empty() {
            rest = &rest[source.take(rest)..];
        }
        source
    }

    /// Takes the next comment, literal or character; its length.
    fn take(&mut self, rest: &str) -> usize {
        let word_before = self
            .code
            .ends_with(|c: char| c.is_alphanumeric() || c == '_');
        if rest.starts_with("//") {
            return rest.find('\n').unwrap_or(rest.len());
        }
        if rest.starts_with("/*") {
            return self.skip(rest, rest.find("*/").map_or(rest.len(), |end| end + 2));
        }
        if !word_before && let Some(hashes) = raw_string(rest) {
            let open = rest.find('"').unwrap_or(0) + 1;
            let close = format!("\"{}", "#".repeat(hashes));
            let length = rest[open..].find(&close).unwrap_or(rest.len() - open);
            return self.string(rest, open, length, close.len());
        }
        if let Some(inside) = rest.strip_prefix('"') {
            let mut escaped = false;
            let length = inside.find(|c| {
                let ends = c == '"' && !escaped;
                escaped = c == '\\' && !escaped;
                ends
            });
            return self.string(rest, 1, length.unwrap_or(inside.len()), 1);
        }
        let mut chars = rest.chars();
        let first = chars.next().unwrap_or_default();
        if first == '\'' {
            // A character literal; what has no second quote is a lifetime.
            let inside = &rest[1..];
            let length = match inside.strip_prefix('\\') {
                Some(escape) => escape
                    .char_indices()
                    .skip(1)
                    .find(|(_, c)| *c == '\'')
                    .map(|(at, _)| at + 1),
                None => chars.next().map(char::len_utf8),
            };
            if let Some(length) = length
                && inside[length..].starts_with('\'')
            {
                return length + 2;
            }
        }
        self.code.push(first);
        first.len_utf8()
    }

    fn string(&mut self, rest: &str, open: usize, length: usize, close: usize) -> usize {
        let line = self.code.matches('\n').count() + 1;
        let text = rest[open..open + length].to_owned();
        self.strings.push((line, text));
        self.code.push_str("\"\"");
        self.skip(rest, (open + length + close).min(rest.len()))
    }

    fn skip(&mut self, rest: &str, length: usize) -> usize {
        let lines = rest[..length].matches('\n').count();
        self.code.push_str(&"\n".repeat(lines));
        length
    }
}

/// How many `#` a raw string that begins here has.
fn raw_string(text: &str) -> Option<usize> {
    let text = text.strip_prefix(['b', 'c']).unwrap_or(text);
    let text = text.strip_prefix('r')?;
    let hashes = text.len() - text.trim_start_matches('#').len();
    text[hashes..].starts_with('"').then_some(hashes)
}

#[derive(Clone, Copy, Debug)]
pub struct Token<'t> {
    pub line: usize,
    pub text: &'t str,
}

pub fn tokens(code: &str) -> Vec<Token<'_>> {
    let mut tokens = Vec::new();
    let mut line = 1;
    let mut rest = code;
    while let Some(first) = rest.chars().next() {
        let is_word = |c: char| c.is_alphanumeric() || c == '_';
        let length = if is_word(first) {
            rest.find(|c| !is_word(c)).unwrap_or(rest.len())
        } else if rest.starts_with("::") {
            2
        } else {
            first.len_utf8()
        };
        if first == '\n' {
            line += 1;
        } else if !first.is_whitespace() {
            let text = &rest[..length];
            tokens.push(Token { line, text });
        }
        rest = &rest[length..];
    }
    tokens
}

/// The text of token `at`; empty past the end.
pub fn text<'t>(tokens: &[Token<'t>], at: usize) -> &'t str {
    tokens.get(at).map_or("", |token| token.text)
}
