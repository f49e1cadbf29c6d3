//! Which request headers enter a key.
//!
//! All but those known not to change the answer: a header nobody here has heard of may route to another model, and
//! a miss costs less than a wrong answer.

use std::borrow::Cow;

/// Headers that stay out, in lower case and sorted; a name that ends in `*` stands for all that begin so.
const LEFT_OUT: [&str; 53] = [
    "accept-encoding",        // the form of the answer on the wire, not the answer
    "amz-sdk-*",              // telemetry
    "api-key",                // a credential: the tenant stands for it
    "authorization",          // a credential
    "b3",                     // tracing
    "baggage",                // tracing
    "cache-control",          // for caches: what it asks of them is done beside the key
    "connection",             // the connection
    "content-length",         // the body says it
    "cookie",                 // a credential
    "date",                   // when, not what
    "expect",                 // the connection
    "host",                   // the URL says it
    "idempotency-key",        // one attempt
    "keep-alive",             // the connection
    "pragma",                 // for caches
    "proxy-authorization",    // a credential
    "proxy-connection",       // the connection
    "request-id",             // one attempt
    "sentry-trace",           // tracing
    "te",                     // the connection
    "trace-id",               // tracing
    "traceparent",            // tracing
    "tracestate",             // tracing
    "trailer",                // the connection
    "transfer-encoding",      // the connection
    "upgrade",                // the connection
    "user-agent",             // telemetry
    "x-amz-content-sha256",   // the body says it
    "x-amz-date",             // when, not what
    "x-amz-security-token",   // a credential
    "x-amzn-trace-id",        // tracing
    "x-api-key",              // a credential
    "x-b3-*",                 // tracing
    "x-client-request-id",    // one attempt
    "x-cloud-trace-context",  // tracing
    "x-correlation-id",       // one attempt
    "x-datadog-*",            // tracing
    "x-forwarded-*",          // the way here
    "x-goog-api-client",      // telemetry
    "x-goog-api-key",         // a credential
    "x-hotloop-*",            // for us: the namespace enters by itself
    "x-idempotency-key",      // one attempt
    "x-ms-client-request-id", // one attempt
    "x-ms-date",              // when, not what
    "x-ms-useragent",         // telemetry
    "x-real-ip",              // the way here
    "x-request-id",           // one attempt
    "x-request-start",        // when, not what
    "x-retry-count",          // one attempt
    "x-session-affinity",     // the connection
    "x-stainless-*",          // telemetry of the OpenAI and Anthropic SDKs
    "x-trace-id",             // tracing
];

/// Whether a header, named in lower case, enters the key.
#[must_use]
pub fn shapes_response(name: &[u8]) -> bool {
    !LEFT_OUT.iter().any(|out| match out.strip_suffix('*') {
        Some(start) => name.starts_with(start.as_bytes()),
        None => name == out.as_bytes(),
    })
}

/// The headers that enter a key: names in lower case and in the order of their bytes, values without white space
/// around them, those of one name joined by `", "` in the order they came (RFC 9110, section 5.3).
pub(super) fn select<'h>(
    headers: impl IntoIterator<Item = (&'h [u8], &'h [u8])>,
) -> Vec<(Vec<u8>, Cow<'h, [u8]>)> {
    let mut selected: Vec<(Vec<u8>, Cow<'h, [u8]>)> = headers
        .into_iter()
        .map(|(name, value)| (name.to_ascii_lowercase(), Cow::Borrowed(trim(value))))
        .filter(|(name, _)| shapes_response(name))
        .collect();
    selected.sort_by(|a, b| a.0.cmp(&b.0)); // stable
    selected.dedup_by(|later, first| {
        let same = later.0 == first.0;
        if same {
            let value = first.1.to_mut();
            value.extend_from_slice(b", ");
            value.extend_from_slice(&later.1);
        }
        same
    });
    selected
}

/// Without the optional white space (spaces and tabs) that may surround a field value.
fn trim(mut value: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = value {
        value = rest;
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    fn selected(headers: &[(&str, &str)]) -> Vec<(String, String)> {
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        let pairs = headers
            .iter()
            .map(|(name, value)| (name.as_bytes(), value.as_bytes()));
        select(pairs)
            .iter()
            .map(|(name, value)| (text(name), text(value)))
            .collect()
    }

    #[test]
    fn the_list_is_sorted_and_in_lower_case() {
        assert!(LEFT_OUT.is_sorted());
        assert!(
            LEFT_OUT
                .iter()
                .all(|name| *name == name.to_ascii_lowercase())
        );
    }

    #[test]
    fn what_shapes_the_answer_stays_and_the_rest_goes() {
        let headers = [
            ("Anthropic-Version", "2023-06-01"),
            ("Authorization", "Bearer secret"),
            ("X-Stainless-Retry-Count", "1"),
            ("x-never-heard-of", "1"),
            ("User-Agent", "python"),
        ];
        let want = [
            ("anthropic-version", "2023-06-01"),
            ("x-never-heard-of", "1"),
        ];
        assert_eq!(
            selected(&headers),
            want.map(|(n, v)| (n.to_owned(), v.to_owned()))
        );
    }

    #[test]
    fn values_of_one_name_are_joined_in_order() {
        let headers = [
            ("openai-beta", " b\t"),
            ("accept", "x"),
            ("OpenAI-Beta", "a"),
        ];
        assert_eq!(
            selected(&headers)[1],
            ("openai-beta".to_owned(), "b, a".to_owned())
        );
    }
}
