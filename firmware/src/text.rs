//! Text of bounded length.

use core::fmt::{self, Write};

/// Text of at most `N` bytes.
pub type Text<const N: usize> = heapless::String<N>;

/// `arguments` as text; what does not fit is cut off.
pub(crate) fn text<const N: usize>(arguments: fmt::Arguments<'_>) -> Text<N> {
    let mut cut = Cut(Text::new());
    // `Cut` takes everything.
    let _ = cut.write_fmt(arguments);
    cut.0
}

struct Cut<const N: usize>(Text<N>);

impl<const N: usize> Write for Cut<N> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let mut end = text.len().min(N - self.0.len());
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        self.0.push_str(&text[..end]).map_err(|_| fmt::Error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_too_long_is_cut_between_characters() {
        assert_eq!(text::<5>(format_args!("ab{}", "cdef")), "abcde");
        assert_eq!(text::<4>(format_args!("aé{}", "é")), "aé");
    }
}
