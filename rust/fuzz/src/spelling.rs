//! JSON values, and the many texts that stand for one.

use arbitrary::{Arbitrary, Result, Unstructured};

/// A JSON value with a canonical form.
#[derive(Clone, Debug)]
pub enum Json {
    /// null, true, false.
    Word(&'static str),
    /// A finite double.
    Number(f64),
    /// Any text.
    Text(String),
    /// Items.
    Array(Vec<Json>),
    /// Members, no two of one name.
    Object(Vec<(String, Json)>),
}

impl Json {
    fn build(u: &mut Unstructured<'_>, depth: usize) -> Result<Self> {
        Ok(match u.int_in_range(0..=if depth == 0 { 4 } else { 6 })? {
            0 => Self::Word(u.choose(&["null", "true", "false"])?),
            1 => Self::Number(f64::from(i32::arbitrary(u)?)),
            2 => {
                let number = f64::arbitrary(u)?;
                Self::Number(if number.is_finite() { number } else { 0.0 })
            }
            3 | 4 => Self::Text(String::arbitrary(u)?),
            5 => {
                let count = u.int_in_range(0..=3)?;
                let items = (0..count).map(|_| Self::build(u, depth - 1));
                Self::Array(items.collect::<Result<_>>()?)
            }
            _ => Self::Object(Self::members(u, depth - 1)?),
        })
    }

    /// Some members with different names.
    ///
    /// # Errors
    /// The input is used up.
    pub fn members(u: &mut Unstructured<'_>, depth: usize) -> Result<Vec<(String, Self)>> {
        let mut members: Vec<(String, Self)> = Vec::new();
        for _ in 0..u.int_in_range(0..=4)? {
            let name = String::arbitrary(u)?;
            if members.iter().all(|(other, _)| *other != name) {
                members.push((name, Self::build(u, depth)?));
            }
        }
        Ok(members)
    }
}

impl<'a> Arbitrary<'a> for Json {
    fn arbitrary(u: &mut Unstructured<'a>) -> Result<Self> {
        Self::build(u, 3)
    }
}

/// Writes values as JSON text, each time in another spelling.
#[derive(Arbitrary, Clone, Debug)]
pub struct Speller(u64);

impl Speller {
    /// A choice out of `count`.
    pub fn pick(&mut self, count: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (self.0 >> 33) % count
    }

    fn space(&mut self, out: &mut String) {
        let choice = self.pick(12) as usize;
        out.push_str(
            ["", " ", "\n", "\t", "\r\n", "   "]
                .get(choice)
                .unwrap_or(&""),
        );
    }

    /// Writes a value.
    pub fn write(&mut self, value: &Json, out: &mut String) {
        self.space(out);
        match value {
            Json::Word(word) => out.push_str(word),
            Json::Number(number) => out.push_str(&self.number(*number)),
            Json::Text(text) => self.string(text, out),
            Json::Array(items) => {
                out.push('[');
                for (i, item) in items.iter().enumerate() {
                    out.push_str(if i > 0 { "," } else { "" });
                    self.write(item, out);
                }
                self.space(out);
                out.push(']');
            }
            Json::Object(members) => self.object(members, out),
        }
        self.space(out);
    }

    /// Writes members as an object, in any order.
    pub fn object(&mut self, members: &[(String, Json)], out: &mut String) {
        let mut order: Vec<_> = members.iter().collect();
        for last in (1..order.len()).rev() {
            let other = self.pick(last as u64 + 1) as usize;
            order.swap(last, other);
        }
        out.push('{');
        for (i, (name, value)) in order.into_iter().enumerate() {
            out.push_str(if i > 0 { "," } else { "" });
            self.space(out);
            self.string(name, out);
            self.space(out);
            out.push(':');
            self.write(value, out);
        }
        self.space(out);
        out.push('}');
    }

    /// Spellings that read back as the same double. An integer without point or exponent has to be exact.
    fn number(&mut self, number: f64) -> String {
        let exact = number.abs() < 9e15 && number.fract() == 0.0;
        match self.pick(4) {
            0 if exact => format!("{number:.0}"),
            1 => format!("{number:e}"),
            2 => format!("{number:E}")
                .replace("E", "E+")
                .replace("E+-", "E-"),
            _ => {
                let text = format!("{number:?}");
                if text.contains(['.', 'e']) {
                    text
                } else {
                    format!("{text}.0")
                }
            }
        }
    }

    fn string(&mut self, text: &str, out: &mut String) {
        out.push('"');
        for c in text.chars() {
            let must = matches!(c, '"' | '\\' | '\0'..' ');
            if must || self.pick(8) == 0 {
                for unit in c.encode_utf16(&mut [0; 2]) {
                    out.push_str(&format!("\\u{unit:04X}"));
                }
            } else if c == '/' && self.pick(2) == 0 {
                out.push_str("\\/");
            } else {
                out.push(c);
            }
        }
        out.push('"');
    }
}
