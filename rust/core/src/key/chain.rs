//! The key of a request whose messages come one at a time, as JSON text.

use super::{Digest, MESSAGES, Scope, Shape, message_writer};
use crate::canon::{CanonError, Integers, Result, Step, Text, Writer};

/// The digest of a head and the messages so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Chain {
    digest: Digest,
    messages: usize,
}

impl Chain {
    /// Starts a chain with a head, which may have messages of its own.
    ///
    /// # Errors
    /// [`CanonError`] when the text is not a JSON object, has messages that are not an array, or has no canonical
    /// form.
    pub fn new(scope: &Scope, head: &[u8]) -> Result<Self> {
        let text = Text::parse(head, Integers::Exact)?;
        if text.has_member(MESSAGES) && text.array_member(MESSAGES).is_none() {
            let error = CanonError::new("the messages of a chain are a list");
            return Err(error.within(Step::Name(MESSAGES.to_owned())));
        }
        Self::of(scope, Shape::Messages, &text)
    }

    /// The chain of a whole body.
    pub(super) fn of(scope: &Scope, shape: Shape, body: &Text<'_>) -> Result<Self> {
        let left_out = match shape {
            Shape::Messages => Some(MESSAGES),
            Shape::Whole => None,
        };
        let mut writer = scope.head_writer(shape);
        body.write_object_without(left_out, &mut writer)?;
        let mut chain = Self {
            digest: writer.digest(),
            messages: 0,
        };
        let messages = left_out.and_then(|name| body.array_member(name));
        for (i, message) in messages.into_iter().flatten().enumerate() {
            let mut writer = message_writer(&chain.digest);
            let within = |error: CanonError| {
                error
                    .within(Step::Index(i))
                    .within(Step::Name(MESSAGES.to_owned()))
            };
            body.write_value(message, &mut writer).map_err(within)?;
            chain.push(writer);
        }
        Ok(chain)
    }

    /// Adds the message that a JSON text stands for.
    ///
    /// # Errors
    /// [`CanonError`] when the text has no canonical form; the chain is as it was then.
    pub fn append(&mut self, message: &[u8]) -> Result<()> {
        let mut writer = message_writer(&self.digest);
        Text::parse(message, Integers::Exact)?.write(&mut writer)?;
        self.push(writer);
        Ok(())
    }

    fn push(&mut self, message: Writer) {
        self.digest = message.digest();
        self.messages += 1;
    }

    /// The key of the request as it stands.
    #[must_use]
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// How many messages it has.
    #[must_use]
    pub fn messages(&self) -> usize {
        self.messages
    }
}
