//! JSON text, read into a flat list of nodes and written in canonical form.
//!
//! Two passes, each linear: an object can only be written when its last member is known. Strings stay where they
//! are in the text; only those with escapes that are not canonical are decoded.

use super::names::{prefix, utf16_order};
use super::parse::Parser;
use super::{CanonError, MAX_BYTES, Result, Step, Writer};

#[derive(Clone, Copy, Debug)]
pub(super) enum Node {
    Null,
    False,
    True,
    Number(f64),
    /// A string whose text, without the quotes, is canonical as it stands.
    Verbatim(Span),
    /// A string that stands decoded in `Text::decoded`.
    Decoded(Span),
    /// An array: its items follow, up to the node at `end`.
    Array {
        end: u32,
    },
    /// An object: names and values follow in turn, up to the node at `end`.
    Object {
        end: u32,
    },
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Span {
    pub(super) start: u32,
    pub(super) end: u32,
}

impl Span {
    pub(super) fn of(self, text: &str) -> &str {
        text.get(self.start as usize..self.end as usize)
            .unwrap_or_default()
    }
}

/// Which integer literals stand for a double.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Integers {
    /// Those that a double holds exactly.
    Exact,
    /// Also those that are what ECMAScript prints for a double, so that every canonical form is its own. It prints
    /// 2^68 as 295147905179352830000, which is not that number.
    Printed,
}

/// One parsed JSON text.
#[derive(Debug)]
pub struct Text<'a> {
    source: &'a str,
    decoded: String,
    nodes: Vec<Node>,
}

/// A value in a [`Text`].
#[derive(Clone, Copy, Debug)]
pub struct Value(u32);

impl<'a> Text<'a> {
    /// Parses one JSON value with nothing but white space around it.
    ///
    /// # Errors
    /// [`CanonError`] for what is not JSON (RFC 8259) in UTF-8, and for numbers, strings and nesting that have no
    /// canonical form. Names that occur twice are found when the object is written.
    pub fn parse(source: &'a [u8], integers: Integers) -> Result<Self> {
        if source.len() > MAX_BYTES {
            return Err(CanonError::new(format!(
                "the text is longer than {MAX_BYTES} bytes"
            )));
        }
        let (valid, broken) = match std::str::from_utf8(source) {
            Ok(text) => (text, None),
            Err(error) => {
                let at = error.valid_up_to();
                let valid = source
                    .get(..at)
                    .and_then(|text| std::str::from_utf8(text).ok());
                (valid.unwrap_or_default(), Some(at))
            }
        };
        let mut parser = Parser::new(valid, integers);
        let result = parser.document();
        match broken {
            // The path is where reading the valid part came to its end.
            Some(at) if parser.at >= at => {
                let reason = format!("byte {at} is not UTF-8");
                Err(result.err().map_or_else(
                    || CanonError::new(reason.clone()),
                    |error| error.because(reason.clone()),
                ))
            }
            _ => result.map(|()| Self {
                source: valid,
                decoded: parser.decoded,
                nodes: parser.nodes,
            }),
        }
    }

    /// Writes the whole text.
    ///
    /// # Errors
    /// [`CanonError`] for names that occur twice and for a form that is too long.
    pub fn write(&self, writer: &mut Writer) -> Result<()> {
        self.write_value(Value(0), writer)
    }

    /// Writes one of its values.
    ///
    /// # Errors
    /// As [`Text::write`].
    pub fn write_value(&self, value: Value, writer: &mut Writer) -> Result<()> {
        let mut pass = Pass {
            text: self,
            members: Vec::new(),
        };
        pass.value(value.0, writer)?;
        Ok(writer.finish()?)
    }

    /// Writes the object that the text is, without the member `left_out`.
    ///
    /// # Errors
    /// As [`Text::write`], and when the text is not an object.
    pub fn write_object_without(&self, left_out: Option<&str>, writer: &mut Writer) -> Result<()> {
        let Some(&Node::Object { end }) = self.nodes.first() else {
            return Err(CanonError::new("a request body is a JSON object"));
        };
        let mut pass = Pass {
            text: self,
            members: Vec::new(),
        };
        pass.object(1, end, left_out, writer)?;
        Ok(writer.finish()?)
    }

    /// Whether the text is an object with a member `name`.
    #[must_use]
    pub fn has_member(&self, name: &str) -> bool {
        self.member(name).is_some()
    }

    /// The items of the array that is the member `name` of the object that the text is. None where there is no such
    /// object, member or array; the last, where the name occurs twice.
    #[must_use]
    pub fn array_member(&self, name: &str) -> Option<Vec<Value>> {
        let first = self.member(name)?;
        let Some(&Node::Array { end }) = self.nodes.get(first as usize) else {
            return None;
        };
        let mut items = Vec::new();
        let mut at = first + 1;
        while at < end {
            items.push(Value(at));
            at = self.next(at);
        }
        Some(items)
    }

    /// The node of the last member `name` of the object that the text is.
    fn member(&self, name: &str) -> Option<u32> {
        let Some(&Node::Object { end }) = self.nodes.first() else {
            return None;
        };
        let mut at = 1;
        let mut found = None;
        while at < end {
            if self.string(at) == Some(name) {
                found = Some(at + 1);
            }
            at = self.next(at + 1);
        }
        found
    }

    fn node(&self, at: u32) -> Node {
        self.nodes.get(at as usize).copied().unwrap_or(Node::Null)
    }

    /// The node after the value at `at`.
    fn next(&self, at: u32) -> u32 {
        match self.node(at) {
            Node::Array { end } | Node::Object { end } => end,
            _ => at + 1,
        }
    }

    /// The string at `at`, decoded.
    fn string(&self, at: u32) -> Option<&str> {
        match self.node(at) {
            Node::Verbatim(span) => Some(span.of(self.source)),
            Node::Decoded(span) => Some(span.of(&self.decoded)),
            _ => None,
        }
    }
}

/// One writing pass. `members` is a stack: each object being written has its sorted members on top.
struct Pass<'t> {
    text: &'t Text<'t>,
    members: Vec<Member<'t>>,
}

#[derive(Clone, Copy)]
struct Member<'t> {
    prefix: u64,
    name: &'t str,
    value: u32,
}

impl Pass<'_> {
    fn value(&mut self, at: u32, writer: &mut Writer) -> Result<()> {
        match self.text.node(at) {
            Node::Null => writer.raw(b"null")?,
            Node::False => writer.raw(b"false")?,
            Node::True => writer.raw(b"true")?,
            Node::Number(value) => writer.number(value)?,
            Node::Verbatim(span) => {
                writer.byte(b'"')?;
                writer.raw(span.of(self.text.source).as_bytes())?;
                writer.byte(b'"')?;
            }
            Node::Decoded(span) => writer.string(span.of(&self.text.decoded))?,
            Node::Array { end } => self.array(at + 1, end, writer)?,
            Node::Object { end } => self.object(at + 1, end, None, writer)?,
        }
        Ok(())
    }

    fn array(&mut self, first: u32, end: u32, writer: &mut Writer) -> Result<()> {
        let mut at = first;
        let mut index = 0;
        writer.byte(b'[')?;
        while at < end {
            if index > 0 {
                writer.byte(b',')?;
            }
            self.value(at, writer)
                .map_err(|error| error.within(Step::Index(index)))?;
            index += 1;
            at = self.text.next(at);
        }
        Ok(writer.byte(b']')?)
    }

    fn object(
        &mut self,
        first: u32,
        end: u32,
        left_out: Option<&str>,
        writer: &mut Writer,
    ) -> Result<()> {
        let base = self.members.len();
        let mut at = first;
        while at < end {
            let name = self.text.string(at).unwrap_or_default();
            self.members.push(Member {
                prefix: prefix(name),
                name,
                value: at + 1,
            });
            at = self.text.next(at + 1);
        }
        let members = self.members.get_mut(base..).unwrap_or_default();
        members.sort_unstable_by(|a, b| {
            a.prefix
                .cmp(&b.prefix)
                .then_with(|| utf16_order(a.name, b.name))
        });
        if let Some(name) = members.windows(2).find_map(|pair| match pair {
            [a, b] if a.name == b.name => Some(a.name),
            _ => None,
        }) {
            return Err(CanonError::duplicate(name));
        }
        let mut empty = true;
        writer.byte(b'{')?;
        for i in base..self.members.len() {
            let Some(&Member { name, value, .. }) = self.members.get(i) else {
                break;
            };
            if left_out == Some(name) {
                continue;
            }
            if !empty {
                writer.byte(b',')?;
            }
            empty = false;
            writer.name(name)?;
            self.value(value, writer)
                .map_err(|error| error.within(Step::Name(name.to_owned())))?;
        }
        self.members.truncate(base);
        Ok(writer.byte(b'}')?)
    }
}
