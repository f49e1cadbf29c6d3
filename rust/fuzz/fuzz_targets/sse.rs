//! Any stream of server-sent events, read in any pieces: the events are those of the whole, and a text that comes alone
//! is the JSON string that stands in its event.
#![no_main]

use arbitrary::Arbitrary;
use hotloop_core::sse::{Event, Frame, Reader};
use libfuzzer_sys::fuzz_target;

#[derive(Arbitrary, Debug)]
struct Input<'a> {
    stream: &'a [u8],
    cuts: Vec<u16>,
    head: &'a [u8],
    tail: &'a [u8],
}

fn events(reader: &mut Reader, piece: &[u8], all: &mut Vec<(Vec<u8>, Vec<u8>)>) {
    reader.feed(piece);
    while let Some(event) = reader.event() {
        match event {
            Event::Raw { name, data } => {
                assert!(!name.contains(&b'\n') && !data.contains(&b'\r'));
                all.push((name.to_vec(), data.to_vec()));
            }
            Event::Text(_) => panic!("no frame was expected"),
        }
    }
}

fuzz_target!(|input: Input<'_>| {
    let mut whole = Vec::new();
    events(&mut Reader::default(), input.stream, &mut whole);

    let (mut reader, mut pieces, mut rest) = (Reader::default(), Vec::new(), input.stream);
    for cut in input.cuts {
        let (piece, left) = rest.split_at(usize::from(cut).min(rest.len()));
        events(&mut reader, piece, &mut pieces);
        rest = left;
    }
    events(&mut reader, rest, &mut pieces);
    assert_eq!(whole, pieces);

    let mut reader = Reader::default();
    reader.expect(Frame::new(input.head, input.tail));
    reader.feed(input.stream);
    for (name, data) in &whole {
        match reader.event().expect("a frame hides no event") {
            Event::Raw {
                name: again,
                data: same,
            } => assert_eq!((again, same), (name.as_slice(), data.as_slice())),
            Event::Text(text) => {
                assert!(name.is_empty());
                let token = &data[input.head.len()..data.len() - input.tail.len()];
                assert_eq!(
                    serde_json::from_slice::<String>(token).ok(),
                    Some(text.into_owned())
                );
            }
        }
    }
    assert_eq!(reader.event(), None);
});
