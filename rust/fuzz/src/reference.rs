//! RFC 8785 by other people's parts: serde_json reads, ryu-js prints numbers.

use serde_json::Value;

/// The value that a JSON text stands for, by serde_json; None where it is none.
fn parsed(text: &[u8]) -> Option<Value> {
    let mut reader = serde_json::Deserializer::from_slice(text);
    reader.disable_recursion_limit();
    let value = serde::Deserialize::deserialize(&mut reader).ok()?;
    reader.end().ok()?;
    Some(value)
}

/// The canonical form of JSON text; None where it is none. Of members with one name the last one counts.
pub fn canonical(text: &[u8]) -> Option<Vec<u8>> {
    let mut form = Vec::new();
    write(&parsed(text)?, &mut form);
    Some(form)
}

fn write(value: &Value, form: &mut Vec<u8>) {
    match value {
        Value::Null => form.extend(b"null"),
        Value::Bool(true) => form.extend(b"true"),
        Value::Bool(false) => form.extend(b"false"),
        Value::Number(number) => {
            let number = number.as_f64().unwrap_or(f64::NAN);
            form.extend(ryu_js::Buffer::new().format(number).bytes());
        }
        Value::String(text) => write_string(text, form),
        Value::Array(items) => {
            form.push(b'[');
            for (i, item) in items.iter().enumerate() {
                if i > 0 {
                    form.push(b',');
                }
                write(item, form);
            }
            form.push(b']');
        }
        Value::Object(members) => {
            let mut members: Vec<_> = members.iter().collect();
            members.sort_by_key(|(name, _)| name.encode_utf16().collect::<Vec<u16>>());
            form.push(b'{');
            for (i, (name, value)) in members.into_iter().enumerate() {
                if i > 0 {
                    form.push(b',');
                }
                write_string(name, form);
                form.push(b':');
                write(value, form);
            }
            form.push(b'}');
        }
    }
}

fn write_string(text: &str, form: &mut Vec<u8>) {
    form.push(b'"');
    for c in text.chars() {
        match c {
            '"' | '\\' => form.extend([b'\\', c as u8]),
            '\u{8}' => form.extend(b"\\b"),
            '\t' => form.extend(b"\\t"),
            '\n' => form.extend(b"\\n"),
            '\u{c}' => form.extend(b"\\f"),
            '\r' => form.extend(b"\\r"),
            '\0'..' ' => form.extend(format!("\\u{:04x}", c as u32).bytes()),
            _ => form.extend(c.encode_utf8(&mut [0; 4]).bytes()),
        }
    }
    form.push(b'"');
}
