//! The parser of JSON text (RFC 8259), recursive to [`MAX_DEPTH`] and no further.

use super::number::integer_literal;
use super::scan::{BLOCK, STRIDE, first_special, is_plain, is_special};
use super::text::{Integers, Node, Span};
use super::{CanonError, MAX_DEPTH, Result, Step};

/// What a parser is reading.
pub(super) struct Parser<'a> {
    text: &'a str,
    bytes: &'a [u8],
    integers: Integers,
    pub(super) at: usize,
    pub(super) decoded: String,
    pub(super) nodes: Vec<Node>,
}

/// A position or length in a text, which is shorter than `MAX_BYTES`.
fn short(position: usize) -> u32 {
    u32::try_from(position).unwrap_or(u32::MAX)
}

impl<'a> Parser<'a> {
    pub(super) fn new(text: &'a str, integers: Integers) -> Self {
        Self {
            text,
            bytes: text.as_bytes(),
            integers,
            at: 0,
            decoded: String::new(),
            nodes: Vec::new(),
        }
    }

    pub(super) fn document(&mut self) -> Result<()> {
        self.value(0)?;
        self.space();
        if self.at < self.bytes.len() {
            Err(self.wrong("the end of the text"))
        } else {
            Ok(())
        }
    }

    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn take(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        self.at += usize::from(found);
        found
    }

    fn space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\n' | b'\r' | b'\t')) {
            self.at += 1;
        }
    }

    fn wrong(&self, expected: &str) -> CanonError {
        let at = self.at;
        match self.text.get(at..).and_then(|rest| rest.chars().next()) {
            Some(found) => CanonError::new(format!(
                "not JSON: expected {expected} at byte {at}, not {found:?}"
            )),
            None => CanonError::new(format!(
                "not JSON: expected {expected} at byte {at}, where the text ends"
            )),
        }
    }

    fn value(&mut self, depth: usize) -> Result<()> {
        self.space();
        let node = match self.peek() {
            Some(b'"') => self.string(false)?,
            Some(b'{') => return self.object(depth),
            Some(b'[') => return self.array(depth),
            Some(b'-' | b'0'..=b'9') => self.number()?,
            Some(b't') => self.word("true", Node::True)?,
            Some(b'f') => self.word("false", Node::False)?,
            Some(b'n') => self.word("null", Node::Null)?,
            _ => return Err(self.wrong("a value")),
        };
        self.nodes.push(node);
        Ok(())
    }

    fn word(&mut self, word: &str, node: Node) -> Result<Node> {
        if !self
            .bytes
            .get(self.at..)
            .is_some_and(|rest| rest.starts_with(word.as_bytes()))
        {
            // To the end, when only the start of the word is there.
            return Err(self.wrong("a value"));
        }
        self.at += word.len();
        Ok(node)
    }

    /// Opens an array or object: its node is filled in when it closes.
    fn open(&mut self, depth: usize) -> Result<usize> {
        if depth == MAX_DEPTH {
            return Err(CanonError::too_deep());
        }
        self.at += 1;
        self.nodes.push(Node::Null);
        Ok(self.nodes.len() - 1)
    }

    fn close(&mut self, opened: usize, node: impl FnOnce(u32) -> Node) {
        let end = short(self.nodes.len());
        if let Some(slot) = self.nodes.get_mut(opened) {
            *slot = node(end);
        }
    }

    fn array(&mut self, depth: usize) -> Result<()> {
        let opened = self.open(depth)?;
        self.space();
        if !self.take(b']') {
            let mut index = 0;
            loop {
                self.value(depth + 1)
                    .map_err(|error| error.within(Step::Index(index)))?;
                self.space();
                if self.take(b']') {
                    break;
                }
                if !self.take(b',') {
                    return Err(self.wrong("',' or ']'"));
                }
                index += 1;
            }
        }
        self.close(opened, |end| Node::Array { end });
        Ok(())
    }

    fn object(&mut self, depth: usize) -> Result<()> {
        let opened = self.open(depth)?;
        self.space();
        if !self.take(b'}') {
            loop {
                self.space();
                if self.peek() != Some(b'"') {
                    return Err(self.wrong("a name in quotes"));
                }
                let name = self.string(true)?;
                self.nodes.push(name);
                self.space();
                if !self.take(b':') {
                    return Err(self.wrong("':'").within(self.step(name)));
                }
                self.value(depth + 1)
                    .map_err(|error| error.within(self.step(name)))?;
                self.space();
                if self.take(b'}') {
                    break;
                }
                if !self.take(b',') {
                    return Err(self.wrong("',' or '}'"));
                }
            }
        }
        self.close(opened, |end| Node::Object { end });
        Ok(())
    }

    fn step(&self, name: Node) -> Step {
        Step::Name(match name {
            Node::Verbatim(span) => span.of(self.text).to_owned(),
            Node::Decoded(span) => span.of(&self.decoded).to_owned(),
            _ => String::new(),
        })
    }

    fn digits(&mut self) -> Result<()> {
        let start = self.at;
        while self.peek().is_some_and(|byte| byte.is_ascii_digit()) {
            self.at += 1;
        }
        if self.at == start {
            Err(self.wrong("a digit"))
        } else {
            Ok(())
        }
    }

    fn number(&mut self) -> Result<Node> {
        let start = self.at;
        self.take(b'-');
        if !self.take(b'0') {
            self.digits()?;
        }
        let mut integer = true;
        if self.take(b'.') {
            integer = false;
            self.digits()?;
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            integer = false;
            self.at += 1;
            if matches!(self.peek(), Some(b'+' | b'-')) {
                self.at += 1;
            }
            self.digits()?;
        }
        let literal = self.text.get(start..self.at).unwrap_or_default();
        let value = if integer {
            integer_literal(literal, self.integers == Integers::Printed)
        } else {
            literal.parse().ok()
        };
        match value {
            Some(value) if value.is_finite() => Ok(Node::Number(value)),
            _ if integer => Err(CanonError::new(
                "an integer that no IEEE 754 double holds exactly",
            )),
            _ => Err(CanonError::new(
                "a number beyond the range of IEEE 754 doubles",
            )),
        }
    }

    /// Moves past bytes that need no attention in a string.
    fn plain(&mut self) {
        while let Some(stride) = self
            .bytes
            .get(self.at..)
            .and_then(|rest| rest.first_chunk::<STRIDE>())
            && is_plain(stride)
        {
            self.at += STRIDE;
        }
        while let Some(block) = self
            .bytes
            .get(self.at..)
            .and_then(|rest| rest.first_chunk::<BLOCK>())
        {
            let clean = first_special(block);
            self.at += clean;
            if clean < BLOCK {
                return;
            }
        }
        while self.peek().is_some_and(|byte| !is_special(byte)) {
            self.at += 1;
        }
    }

    /// Reads a string. A name is decoded where it has any escape, because names are compared.
    fn string(&mut self, is_name: bool) -> Result<Node> {
        self.at += 1;
        let start = self.at;
        loop {
            self.plain();
            match self.peek() {
                Some(b'"') => {
                    let span = Span {
                        start: short(start),
                        end: short(self.at),
                    };
                    self.at += 1;
                    return Ok(Node::Verbatim(span));
                }
                Some(b'\\') => {
                    let canonical = matches!(
                        self.bytes.get(self.at + 1),
                        Some(b'"' | b'\\' | b'b' | b'f' | b'n' | b'r' | b't')
                    );
                    if is_name || !canonical {
                        return self.decode(start);
                    }
                    self.at += 2;
                }
                _ => return Err(self.wrong("'\"' or a character that may stand in a string")),
            }
        }
    }

    /// Decodes the string that began at `start`, of which the first part, up to the position, may stand as it is.
    #[cold]
    fn decode(&mut self, start: usize) -> Result<Node> {
        let from = self.decoded.len();
        self.at = start;
        loop {
            let plain = self.at;
            self.plain();
            self.decoded
                .push_str(self.text.get(plain..self.at).unwrap_or_default());
            match self.peek() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(Node::Decoded(Span {
                        start: short(from),
                        end: short(self.decoded.len()),
                    }));
                }
                Some(b'\\') => {
                    self.at += 1;
                    let character = self.escape()?;
                    self.decoded.push(character);
                }
                _ => return Err(self.wrong("'\"' or a character that may stand in a string")),
            }
        }
    }

    fn escape(&mut self) -> Result<char> {
        let character = match self.peek() {
            Some(byte @ (b'"' | b'\\' | b'/')) => char::from(byte),
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b'u') => {
                self.at += 1;
                return self.unicode_escape();
            }
            _ => return Err(self.wrong("one of \"\\/bfnrtu after a backslash")),
        };
        self.at += 1;
        Ok(character)
    }

    /// Reads what follows `\u`, with the second half of a surrogate pair.
    fn unicode_escape(&mut self) -> Result<char> {
        let first = self.hex()?;
        let code = if (0xd800..0xdc00).contains(&first)
            && self.bytes.get(self.at..self.at + 2) == Some(b"\\u")
        {
            self.at += 2;
            let second = self.hex()?;
            if (0xdc00..0xe000).contains(&second) {
                0x1_0000 + ((first - 0xd800) << 10 | (second - 0xdc00))
            } else {
                first
            }
        } else {
            first
        };
        char::from_u32(code).ok_or_else(|| {
            CanonError::new(format!(
                "a lone surrogate (\\u{first:04x}) before byte {}",
                self.at
            ))
        })
    }

    fn hex(&mut self) -> Result<u32> {
        let mut code = 0;
        for _ in 0..4 {
            let digit = self
                .peek()
                .and_then(|byte| char::from(byte).to_digit(16))
                .ok_or_else(|| self.wrong("a hexadecimal digit"))?;
            code = code << 4 | digit;
            self.at += 1;
        }
        Ok(code)
    }
}
