//! Text of bounded length.

use core::fmt::{self, Write};

/// Text of at most `N` bytes.
pub type Text<const N: usize> = heapless::String<N>;

/// [`Text`] of any capacity.
pub(crate) type TextView = heapless::string::StringView;

/// `arguments` as text; what does not fit is cut off.
pub(crate) fn text<const N: usize>(arguments: fmt::Arguments<'_>) -> Text<N> {
    let mut text = Text::new();
    fill(text.as_mut_view(), arguments);
    text
}

fn fill(text: &mut TextView, arguments: fmt::Arguments<'_>) {
    // `Cut` takes everything.
    let _ = Cut(text).write_fmt(arguments);
}

struct Cut<'t>(&'t mut TextView);

impl Write for Cut<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let room = self.0.capacity() - self.0.len();
        let fits = text.get(..text.floor_char_boundary(room));
        self.0
            .push_str(fits.unwrap_or_default())
            .map_err(|_| fmt::Error)
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
