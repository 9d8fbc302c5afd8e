//! Bytes of a catalogue as they come, cut into lines.

use std::collections::VecDeque;
use std::io::{self, Write};

use flate2::write::MultiGzDecoder;

/// Bytes of a line: what `POST products` takes as a body.
pub const LINE_BYTES_MAX: usize = http_server::edge::BODY_BYTES_MAX;
/// Compressed bytes that are unpacked at a time: at the best ratio there is they become a mebibyte.
const UNPACK_BYTES: usize = 1024;
/// How gzip begins; no line of a catalogue does.
const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];
/// What some editors put before the first line.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// What cannot be unpacked. The lines before it are good.
#[derive(Debug, thiserror::Error)]
#[error("what is compressed by gzip is damaged or ends early: {0}")]
pub struct NotUnpacked(#[from] io::Error);

/// A line with its number, from 1. Blank lines are numbered, and left out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// As an editor counts.
    pub number: u64,
    /// Without its line break.
    pub text: Result<Vec<u8>, TooLong>,
}

/// A line of more than [`LINE_BYTES_MAX`]. What follows it is read all the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("longer than {LINE_BYTES_MAX} bytes")]
pub struct TooLong;

/// Cuts what is fed to it into lines; unpacks it where it begins as gzip, of one member or several. Holds one line and
/// what was fed last.
#[derive(Default)]
pub struct Lines {
    packed: VecDeque<u8>,
    format: Format,
    cut: Cut,
}

#[derive(Default)]
enum Format {
    /// Not enough has come to tell.
    #[default]
    Unknown,
    Plain,
    Gzip(Box<MultiGzDecoder<Vec<u8>>>),
}

/// Unpacked text, of which lines are taken.
#[derive(Default)]
struct Cut {
    text: Vec<u8>,
    /// Up to here it was taken.
    taken: usize,
    /// Up to here no line ends.
    searched: usize,
    number: u64,
    /// Within a line that was too long: until it ends.
    skips: bool,
}

impl Lines {
    /// Takes the next bytes. To be called when [`next_line`](Self::next_line) has no more lines.
    pub fn feed(&mut self, bytes: &[u8]) {
        self.packed.extend(bytes);
    }

    /// The next whole line of what was fed, if there is one.
    ///
    /// # Errors
    /// When it cannot be unpacked; no line comes after that.
    pub fn next_line(&mut self) -> Result<Option<Line>, NotUnpacked> {
        loop {
            if let Some(line) = self.cut.next_line() {
                return Ok(Some(line));
            }
            if !self.unpack_some()? {
                return Ok(None);
            }
        }
    }

    /// The last line, where no line break follows it. To be called at the end of what there is to feed.
    ///
    /// # Errors
    /// As [`next_line`](Self::next_line), and where compressed data is cut off.
    pub fn finish(&mut self) -> Result<Option<Line>, NotUnpacked> {
        if matches!(self.format, Format::Unknown) {
            self.format = Format::Plain;
        }
        if let Some(line) = self.next_line()? {
            return Ok(Some(line));
        }
        if let Format::Gzip(gzip) = &mut self.format {
            gzip.try_finish()?;
            self.cut.text.append(gzip.get_mut());
            self.format = Format::Plain;
        }
        Ok(self.cut.next_line().or_else(|| self.cut.last_line()))
    }

    /// False when all that was fed is unpacked.
    fn unpack_some(&mut self) -> Result<bool, NotUnpacked> {
        if let Format::Unknown = self.format {
            if self.packed.len() < GZIP_MAGIC.len() {
                return Ok(false);
            }
            self.format = if self.packed.iter().take(2).eq(&GZIP_MAGIC) {
                Format::Gzip(Box::new(MultiGzDecoder::new(Vec::new())))
            } else {
                Format::Plain
            };
        }
        if self.packed.is_empty() {
            return Ok(false);
        }
        self.cut.make_room();
        match &mut self.format {
            Format::Gzip(gzip) => {
                let (first, _) = self.packed.as_slices();
                let count = first.len().min(UNPACK_BYTES);
                gzip.write_all(&first[..count])?;
                self.packed.drain(..count);
                self.cut.text.append(gzip.get_mut());
            }
            Format::Plain | Format::Unknown => self.cut.text.extend(self.packed.drain(..)),
        }
        Ok(true)
    }
}

impl Cut {
    /// Forgets what was taken.
    fn make_room(&mut self) {
        self.text.drain(..self.taken);
        self.searched -= self.taken;
        self.taken = 0;
    }

    fn next_line(&mut self) -> Option<Line> {
        loop {
            let found = self.text[self.searched..]
                .iter()
                .position(|&byte| byte == b'\n');
            let Some(found) = found else {
                self.searched = self.text.len();
                self.skip_if_too_long();
                return None;
            };
            let end = self.searched + found;
            let begin = std::mem::replace(&mut self.taken, end + 1);
            self.searched = end + 1;
            if let Some(line) = self.line(begin, end) {
                return Some(line);
            }
        }
    }

    /// What is left, at the end of everything.
    fn last_line(&mut self) -> Option<Line> {
        let (begin, end) = (self.taken, self.text.len());
        (self.taken, self.searched) = (end, end);
        if begin == end && !self.skips {
            return None;
        }
        self.line(begin, end)
    }

    fn line(&mut self, begin: usize, end: usize) -> Option<Line> {
        self.number += 1;
        let number = self.number;
        let mut text = &self.text[begin..end];
        if number == 1 {
            text = text.strip_prefix(BYTE_ORDER_MARK).unwrap_or(text);
        }
        let text = text.trim_ascii();
        if std::mem::take(&mut self.skips) || text.len() > LINE_BYTES_MAX {
            let text = Err(TooLong);
            return Some(Line { number, text });
        }
        (!text.is_empty()).then(|| Line {
            number,
            text: Ok(text.to_vec()),
        })
    }

    /// A line without end must not gather in memory.
    fn skip_if_too_long(&mut self) {
        if self.text.len() - self.taken > LINE_BYTES_MAX + BYTE_ORDER_MARK.len() {
            self.skips = true;
            self.text.clear();
            (self.taken, self.searched) = (0, 0);
        }
    }
}

#[cfg(test)]
mod tests {
    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::*;

    fn gzip(text: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(text).unwrap();
        encoder.finish().unwrap()
    }

    type Numbered = Vec<(u64, Option<String>)>;

    /// All lines, fed in pieces of this size, and how it ended.
    fn cut(bytes: &[u8], piece: usize) -> (Numbered, Result<(), NotUnpacked>) {
        let mut lines = Lines::default();
        let mut found = Vec::new();
        let mut push = |line: Line| {
            let text = line.text.ok();
            found.push((
                line.number,
                text.map(|text| String::from_utf8(text).unwrap()),
            ));
        };
        let mut run = || {
            for piece in bytes.chunks(piece) {
                lines.feed(piece);
                while let Some(line) = lines.next_line()? {
                    push(line);
                }
            }
            while let Some(line) = lines.finish()? {
                push(line);
            }
            Ok(())
        };
        let ended = run();
        (found, ended)
    }

    fn numbered(lines: &[(u64, &str)]) -> Numbered {
        let owned = |&(number, text): &(u64, &str)| (number, Some(text.to_owned()));
        lines.iter().map(owned).collect()
    }

    #[test]
    fn lines_are_numbered_whatever_surrounds_them() {
        let text = b"\xef\xbb\xbf{a}\r\n\n  \n{b}\n \t{c} \r\n{d}";
        let expected = numbered(&[(1, "{a}"), (4, "{b}"), (5, "{c}"), (6, "{d}")]);
        for piece in [1, 2, 3, 7, 100] {
            for bytes in [text.to_vec(), gzip(text)] {
                let (found, ended) = cut(&bytes, piece);
                assert_eq!(found, expected, "in pieces of {piece}");
                ended.unwrap();
            }
        }
        for nothing in [&b""[..], b"\n", b"\xef\xbb\xbf", b"x"] {
            let (found, ended) = cut(nothing, 1);
            assert_eq!(found.len(), usize::from(nothing == b"x"));
            ended.unwrap();
        }
    }

    #[test]
    fn gzip_may_have_several_members_and_must_be_whole() {
        let members = [gzip(b"{a}\n{"), gzip(b""), gzip(b"b}\n")].concat();
        for piece in [1, 5, 1000] {
            let (found, ended) = cut(&members, piece);
            assert_eq!(found, numbered(&[(1, "{a}"), (2, "{b}")]));
            ended.unwrap();
        }
        let whole = gzip("{a}\n".repeat(10_000).as_bytes());
        for end in [whole.len() - 1, whole.len() - 8, whole.len() / 2, 9, 3] {
            assert!(cut(&whole[..end], 64).1.is_err(), "cut at {end}");
        }
        let damaged = [&whole[..whole.len() - 6], b"\0\0\0\0\0\0"].concat();
        assert!(cut(&damaged, 64).1.is_err());
        let (found, ended) = cut(&[&gzip(b"{a}\n"), &b"garbage"[..]].concat(), 64);
        assert_eq!(found, numbered(&[(1, "{a}")]));
        assert!(ended.is_err());
    }

    #[test]
    fn a_line_that_is_too_long_is_skipped_and_not_kept() {
        let fits = "x".repeat(LINE_BYTES_MAX);
        for (long, expected) in [(0, Some(fits.clone())), (1, None), (3_000_000, None)] {
            let text = format!("a\n{fits}{}\nb\n", "x".repeat(long));
            for bytes in [text.clone().into_bytes(), gzip(text.as_bytes())] {
                let (found, ended) = cut(&bytes, 1000);
                ended.unwrap();
                assert_eq!(found[1], (2, expected.clone()));
                assert_eq!(found[2], (3, Some("b".to_owned())));
            }
        }
        let mut lines = Lines::default();
        for _ in 0..100 {
            lines.feed(&[b'x'; 100_000]);
            assert_eq!(lines.next_line().unwrap(), None);
            assert!(lines.cut.text.capacity() < 2_000_000);
        }
        let last = lines.finish().unwrap().unwrap();
        assert_eq!((last.number, last.text), (1, Err(TooLong)));
    }
}
