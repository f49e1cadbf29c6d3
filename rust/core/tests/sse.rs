//! Server-sent events: however a stream is cut, it reads as its lines do one after another.

#![expect(clippy::unwrap_used, reason = "a test that panics has failed")]

use hotloop_core::sse::{Event, Frame, Reader};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};

type Raw = (Vec<u8>, Vec<u8>);

/// The events of a stream that is there as a whole, line by line.
fn obvious(stream: &[u8]) -> Vec<Raw> {
    let stream = stream.strip_prefix(b"\xef\xbb\xbf").unwrap_or(stream);
    let mut lines = vec![Vec::new()];
    let mut before = 0;
    for &byte in stream {
        match byte {
            b'\n' if before == b'\r' => {}
            b'\n' | b'\r' => lines.push(Vec::new()),
            _ => lines.last_mut().unwrap().push(byte),
        }
        before = byte;
    }
    lines.pop(); // unfinished
    let (mut events, mut name, mut data) = (Vec::new(), Vec::new(), Vec::new());
    for line in lines {
        let value = |field: &[u8]| {
            let value = line.strip_prefix(field)?;
            Some(value.strip_prefix(b" ").unwrap_or(value).to_vec())
        };
        if line.is_empty() {
            if !data.is_empty() {
                events.push((name, data.join(&b'\n')));
            }
            (name, data) = (Vec::new(), Vec::new());
        } else if line == b"data" {
            data.push(Vec::new());
        } else if let Some(value) = value(b"data:") {
            data.push(value);
        } else if let Some(value) = value(b"event:") {
            name = value;
        }
    }
    events
}

fn read(reader: &mut Reader, piece: &[u8], events: &mut Vec<Raw>) {
    reader.feed(piece);
    while let Some(event) = reader.event() {
        let Event::Raw { name, data } = event else {
            unreachable!("no frame was expected");
        };
        events.push((name.to_vec(), data.to_vec()));
    }
}

fn stream() -> impl Strategy<Value = Vec<u8>> {
    const PARTS: [&[u8]; 17] = [
        b"\n",
        b"\r",
        b"\r\n",
        b"\n\n",
        b"data",
        b"data:",
        b"data: ",
        b"event",
        b"event:",
        b"event: e",
        b":",
        b" ",
        b"x",
        b"\xef\xbb\xbf",
        b"\xef",
        "é\u{2028}".as_bytes(),
        b"\xff",
    ];
    vec(select(PARTS.as_slice()), 0..40).prop_map(|parts| parts.concat())
}

proptest! {
    #[test]
    fn cuts_change_nothing_and_hold_nothing_back(
        stream in prop_oneof![stream(), vec(any::<u8>(), 0..100)],
        cuts in vec(any::<Index>(), 0..8),
    ) {
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(stream.len() + 1)).collect();
        cuts.push(stream.len());
        cuts.sort_unstable();
        let (mut reader, mut events, mut from) = (Reader::default(), Vec::new(), 0);
        for to in cuts {
            read(&mut reader, stream.get(from..to).unwrap(), &mut events);
            prop_assert_eq!(&events, &obvious(stream.get(..to).unwrap()));
            from = to;
        }
    }

    #[test]
    fn a_text_is_what_its_json_says(
        head in "[\\[{\"a,]{0,4}",
        tail in "[\\]}\"a,]{0,4}",
        token in prop_oneof![
            any::<String>().prop_map(|text| serde_json::to_string(&text).unwrap()),
            "\"([a\"é]|\\\\[\"\\\\/bfnrtux]|\\\\u[0-9a-fA-F]{4}|\n){0,6}\"",
        ],
    ) {
        let data = [head.as_bytes(), token.as_bytes(), tail.as_bytes()].concat();
        let frame = Frame::new(head.as_bytes(), tail.as_bytes());
        let meant: Option<String> = serde_json::from_str(&token).ok();
        if let Some(text) = frame.text(&data) {
            prop_assert_eq!(Some(text.into_owned()), meant);
        } else {
            let easy = |text: &String| !text.is_empty() && !token.contains("\\u");
            prop_assert!(!meant.as_ref().is_some_and(easy), "{} was left to others", token);
        }
    }
}
