//! How what is saved becomes bytes and comes back. One description of each type serves both ways, so
//! they cannot differ, and reading fills what is there already, so it needs no stack.
//!
//! Numbers are little-endian; text and lists begin with their length.

use heapless::{Vec, VecView};

use crate::{
    saved::FORMAT,
    text::{Text, TextView},
};

/// A buffer that is written or read, and how far that is.
pub(crate) struct Bytes<'b> {
    buffer: &'b mut [u8],
    at: usize,
    is_reading: bool,
}

/// What can be saved.
pub(crate) trait Stored {
    /// Writes the value to `bytes` or reads it from there. `None`: they end early, or mean nothing.
    fn pass(&mut self, bytes: &mut Bytes<'_>) -> Option<()>;
}

/// Writes a value and tells how many bytes it has.
pub(crate) fn write(value: &mut dyn Stored, buffer: &mut [u8]) -> Option<usize> {
    let mut bytes = Bytes {
        buffer,
        at: 0,
        is_reading: false,
    };
    FORMAT.clone().pass(&mut bytes)?;
    value.pass(&mut bytes)?;
    Some(bytes.at)
}

/// Reads a value.
pub(crate) fn read(value: &mut dyn Stored, buffer: &mut [u8]) -> Option<()> {
    let mut bytes = Bytes {
        buffer,
        at: 0,
        is_reading: true,
    };
    let mut format = 0;
    u8::pass(&mut format, &mut bytes)?;
    (format == FORMAT).then_some(())?;
    value.pass(&mut bytes)
}

impl Bytes<'_> {
    fn next(&mut self, count: usize) -> Option<&mut [u8]> {
        let next = self.buffer.get_mut(self.at..)?.get_mut(..count)?;
        self.at += count;
        Some(next)
    }

    fn copy(&mut self, value: &mut [u8]) -> Option<()> {
        let is_reading = self.is_reading;
        let here = self.next(value.len())?.iter_mut();
        for (here, value) in here.zip(value) {
            if is_reading {
                *value = *here;
            } else {
                *here = *value;
            }
        }
        Some(())
    }

    /// Passes a length and tells it.
    fn length(&mut self, length: usize) -> Option<usize> {
        let mut length = length as u16;
        length.pass(self)?;
        Some(length.into())
    }

    fn text(&mut self, text: &mut TextView) -> Option<()> {
        let length = self.length(text.len())?;
        let is_reading = self.is_reading;
        let here = self.next(length)?;
        if is_reading {
            text.clear();
            text.push_str(core::str::from_utf8(here).ok()?).ok()
        } else {
            here.copy_from_slice(text.as_bytes());
            Some(())
        }
    }

    fn list<T: Stored + Default>(&mut self, list: &mut VecView<T>) -> Option<()> {
        let length = self.length(list.len())?;
        if self.is_reading {
            list.clear();
            for _ in 0..length {
                list.push(T::default()).ok()?;
            }
        }
        list.iter_mut().try_for_each(|item| item.pass(self))
    }
}

impl Stored for bool {
    fn pass(&mut self, bytes: &mut Bytes<'_>) -> Option<()> {
        let mut byte = u8::from(*self);
        byte.pass(bytes)?;
        *self = byte != 0;
        Some(())
    }
}

macro_rules! numbers {
    ($($number:ty)*) => {$(
        impl Stored for $number {
            fn pass(&mut self, bytes: &mut Bytes<'_>) -> Option<()> {
                let mut array = self.to_le_bytes();
                bytes.copy(&mut array)?;
                *self = Self::from_le_bytes(array);
                Some(())
            }
        }
    )*};
}

numbers! { u8 u16 u32 u64 i64 }

impl<const N: usize> Stored for [u8; N] {
    fn pass(&mut self, bytes: &mut Bytes<'_>) -> Option<()> {
        bytes.copy(self)
    }
}

impl<const N: usize> Stored for Text<N> {
    fn pass(&mut self, bytes: &mut Bytes<'_>) -> Option<()> {
        bytes.text(self.as_mut_view())
    }
}

impl<T: Stored + Default, const N: usize> Stored for Vec<T, N> {
    fn pass(&mut self, bytes: &mut Bytes<'_>) -> Option<()> {
        bytes.list(self.as_mut_view())
    }
}

impl<T: Stored + Default> Stored for Option<T> {
    fn pass(&mut self, bytes: &mut Bytes<'_>) -> Option<()> {
        let mut is_some = self.is_some();
        is_some.pass(bytes)?;
        if bytes.is_reading {
            *self = is_some.then(T::default);
        }
        self.as_mut().map_or(Some(()), |value| value.pass(bytes))
    }
}

impl<A: Stored, B: Stored> Stored for (A, B) {
    fn pass(&mut self, bytes: &mut Bytes<'_>) -> Option<()> {
        self.0.pass(bytes)?;
        self.1.pass(bytes)
    }
}

/// Says that a struct is saved as these fields one after the other.
macro_rules! stored {
    ($($struct:ident { $($field:ident)* })*) => {$(
        impl $crate::stored::Stored for $struct {
            fn pass(&mut self, bytes: &mut $crate::stored::Bytes<'_>) -> Option<()> {
                let Self { $($field),* } = self;
                $($crate::stored::Stored::pass($field, bytes)?;)*
                Some(())
            }
        }
    )*};
}

pub(crate) use stored;
