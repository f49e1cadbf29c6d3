//! Numbers as ECMAScript prints them (`Number::toString`, radix 10; RFC 8785, section 3.2.2.3).

/// Longest number: a sign, 17 digits, a point and an exponent, or a sign, `0.00000` and 17 digits.
pub(super) const MAX_NUMBER: usize = 26;

/// The largest integer below which every integer is a double.
const SAFE: u64 = 1 << 53;

/// The double that equals an integer, if there is one.
#[must_use]
#[expect(clippy::cast_precision_loss, reason = "the loss is what is looked for")]
pub fn exact_integer(value: i64) -> Option<f64> {
    // Exact when the significant bits fit 53: the trailing zeros are the exponent's.
    let magnitude = value.unsigned_abs();
    (magnitude >> magnitude.trailing_zeros().min(63) <= SAFE).then_some(value as f64)
}

/// The double that an integer literal (`-?[0-9]+`, no leading zeros) stands for, if there is one: the one that equals
/// it, or where `printed`, also the one that is printed so.
pub(super) fn integer_literal(literal: &str, printed: bool) -> Option<f64> {
    let value: f64 = literal.parse().ok().filter(|v: &f64| v.is_finite())?;
    let digits = literal.trim_start_matches('-');
    let exact = || digits.len() <= 15 || format!("{:.0}", value.abs()) == digits;
    let as_printed = || {
        let mut form = [0; MAX_NUMBER];
        let len = write_double(value, &mut form);
        form.get(..len) == Some(literal.as_bytes())
    };
    (exact() || printed && as_printed()).then_some(value)
}

/// Writes a finite double to `out` and returns how many bytes it took.
#[expect(
    clippy::indexing_slicing,
    reason = "at most MAX_NUMBER bytes: 17 digits in one of four fixed layouts"
)]
pub(super) fn write_double(value: f64, out: &mut [u8; MAX_NUMBER]) -> usize {
    if value == 0.0 {
        out[0] = b'0'; // -0 too
        return 1;
    }
    let mut at = 0;
    let mut put = |bytes: &[u8]| {
        out[at..at + bytes.len()].copy_from_slice(bytes);
        at += bytes.len();
    };
    if value < 0.0 {
        put(b"-");
    }
    let (digits, point) = shortest(value.abs());
    let digits = digits.as_slice();
    let count = i32::try_from(digits.len()).unwrap_or(i32::MAX);
    match point {
        _ if count <= point && point <= 21 => {
            put(digits);
            put(&b"00000000000000000000"[..usize::try_from(point - count).unwrap_or(0)]);
        }
        1..=21 => {
            let (whole, part) = digits.split_at(usize::try_from(point).unwrap_or(0));
            put(whole);
            put(b".");
            put(part);
        }
        -5..=0 => {
            put(&b"0.00000"[..usize::try_from(2 - point).unwrap_or(0)]);
            put(digits);
        }
        _ => {
            let (first, rest) = digits.split_at(1);
            put(first);
            if !rest.is_empty() {
                put(b".");
                put(rest);
            }
            put(if point > 0 { b"e+" } else { b"e-" });
            put(itoa::Buffer::new()
                .format((point - 1).unsigned_abs())
                .as_bytes());
        }
    }
    at
}

/// Significant digits, without zeros at either end.
struct Digits {
    bytes: [u8; 20],
    len: usize,
}

impl Digits {
    fn as_slice(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or_default()
    }
}

/// The shortest digits that read back as `value` (positive, finite), and the position `n` of the point:
/// the value is `0.digits × 10^n`.
fn shortest(value: f64) -> (Digits, i32) {
    let mut buffer = zmij::Buffer::new();
    let text = buffer.format_finite(value);
    let (mantissa, exponent) = text.split_once('e').unwrap_or((text, "0"));
    let mut point: i32 = exponent.parse().unwrap_or(0);
    let mut digits = Digits {
        bytes: [0; 20],
        len: 0,
    };
    let mut fraction = false;
    let mut kept = 0;
    for byte in mantissa.bytes() {
        match byte {
            b'.' => fraction = true,
            b'0' if digits.len == 0 => point -= i32::from(fraction),
            _ => {
                if let Some(slot) = digits.bytes.get_mut(digits.len) {
                    *slot = byte;
                    digits.len += 1;
                }
                if byte != b'0' {
                    kept = digits.len;
                }
                point += i32::from(!fraction);
            }
        }
    }
    digits.len = kept;
    (digits, point)
}
