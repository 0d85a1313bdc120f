//! MessagePack read from the front, one value after the other, nothing copied. Each step is `None` if something else
//! stands there; what then follows is not to be relied on.

use rmp::Marker;

/// What is left to read.
pub(super) struct Packed<'a>(pub(super) &'a [u8]);

impl<'a> Packed<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    fn marker(&mut self) -> Option<Marker> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(Marker::from_u8(*first))
    }

    fn big_endian(&mut self, count: usize) -> Option<u64> {
        Some(self.take(count)?.iter().fold(0, |number, byte| number << 8 | u64::from(*byte)))
    }

    fn length(&mut self, bytes: usize) -> Option<usize> {
        self.big_endian(bytes).and_then(|length| usize::try_from(length).ok())
    }

    /// How many values follow as a list.
    pub(super) fn list(&mut self) -> Option<usize> {
        match self.marker()? {
            Marker::FixArray(count) => Some(count.into()),
            Marker::Array16 => self.length(2),
            _ => None,
        }
    }

    /// How many pairs of a name and a value follow.
    pub(super) fn map(&mut self) -> Option<usize> {
        match self.marker()? {
            Marker::FixMap(count) => Some(count.into()),
            _ => None,
        }
    }

    /// A number of any size.
    pub(super) fn number(&mut self) -> Option<u64> {
        match self.marker()? {
            Marker::FixPos(number) => Some(number.into()),
            Marker::U8 => self.big_endian(1),
            Marker::U16 => self.big_endian(2),
            Marker::U32 => self.big_endian(4),
            Marker::U64 => self.big_endian(8),
            _ => None,
        }
    }

    /// A number that says which row of a table.
    pub(super) fn row(&mut self) -> Option<u32> {
        self.number().and_then(|number| number.try_into().ok())
    }

    /// A text.
    pub(super) fn text(&mut self) -> Option<&'a str> {
        let length = match self.marker()? {
            Marker::FixStr(length) => length.into(),
            Marker::Str8 => self.length(1)?,
            Marker::Str16 => self.length(2)?,
            _ => return None,
        };
        std::str::from_utf8(self.take(length)?).ok()
    }

    /// Bytes.
    pub(super) fn bytes(&mut self) -> Option<&'a [u8]> {
        match self.marker()? {
            Marker::Bin8 => self.length(1).and_then(|length| self.take(length)),
            _ => None,
        }
    }

    /// The name of a field that comes next, or else nothing is read.
    pub(super) fn field(&mut self, name: &str) -> Option<()> {
        let Marker::FixStr(length) = Marker::from_u8(*self.0.first()?) else { return None };
        let rest = self.0[1..].strip_prefix(name.as_bytes()).filter(|_| usize::from(length) == name.len())?;
        self.0 = rest;
        Some(())
    }

    /// True if nothing is said here; or else nothing is read.
    pub(super) fn nil(&mut self) -> bool {
        let is_nil = self.0.first().is_some_and(|first| Marker::from_u8(*first) == Marker::Null);
        if is_nil {
            self.0 = &self.0[1..];
        }
        is_nil
    }

    /// True if what comes next is bytes rather than a text.
    pub(super) fn is_bytes(&self) -> bool {
        self.0.first().is_some_and(|first| Marker::from_u8(*first) == Marker::Bin8)
    }

    /// The bytes of the next value, whatever it is of those that are written here.
    pub(super) fn any(&mut self) -> Option<&'a [u8]> {
        let from = self.0;
        let mut left = 1_usize;
        while left > 0 {
            left -= 1;
            // Nothing is kept for what is said to follow, so that it may say any number.
            let (skipped, follow) = match self.marker()? {
                Marker::FixPos(_) | Marker::Null | Marker::False | Marker::True => (0, 0),
                Marker::U8 => (1, 0),
                Marker::U16 => (2, 0),
                Marker::U32 => (4, 0),
                Marker::U64 => (8, 0),
                Marker::FixStr(length) => (length.into(), 0),
                Marker::Str8 | Marker::Bin8 => (self.length(1)?, 0),
                Marker::Str16 => (self.length(2)?, 0),
                Marker::FixArray(count) => (0, count.into()),
                Marker::FixMap(count) => (0, 2 * usize::from(count)),
                Marker::Array16 => (0, self.length(2)?),
                _ => return None,
            };
            self.take(skipped)?;
            left = left.checked_add(follow)?;
        }
        Some(&from[..from.len() - self.0.len()])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_cut_is_nothing() {
        let whole = rmp_serde::to_vec(&("text", 70_000_u32, [1_u8, 2], None::<u8>)).unwrap();
        assert_eq!(Packed(&whole).any(), Some(&whole[..]));
        for length in 0..whole.len() {
            assert_eq!(Packed(&whole[..length]).any(), None, "{length}");
        }
        let mut packed = Packed(&whole);
        assert_eq!((packed.list(), packed.text(), packed.number()), (Some(4), Some("text"), Some(70_000)));
        assert_eq!((packed.nil(), packed.any(), packed.nil()), (false, Some(&[0x92, 1, 2][..]), true));
        assert!(packed.0.is_empty());
    }

    #[test]
    fn another_field_is_not_read() {
        let bytes = rmp_serde::to_vec("schema").unwrap();
        let mut packed = Packed(&bytes);
        assert_eq!((packed.field("schem"), packed.field("schemas"), packed.field("prev")), (None, None, None));
        assert_eq!((packed.field("schema"), packed.0.len()), (Some(()), 0));
    }
}
