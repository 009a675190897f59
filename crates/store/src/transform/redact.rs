//! What people are shown of a dead letter.

use serde_json::Value;
use tidegate_core::job::Job;

use crate::MAX_SHOWN_BYTES;

/// A single text within a document is shown up to this many bytes, so that the rest of it is shown too.
const MAX_TEXT_BYTES: usize = 1 << 10;

/// What stands for a value that looks like a credential.
const REDACTED: &str = "[redacted]";

/// A key that holds any of these, its case and separators left out, names a credential.
const CREDENTIALS: [&str; 13] = [
    "authorization",
    "password",
    "passwd",
    "passphrase",
    "secret",
    "token",
    "apikey",
    "accesskey",
    "privatekey",
    "credential",
    "cookie",
    "session",
    "signature",
];

/// A text that begins like this is a credential, whatever its key.
const SCHEMES: [&str; 3] = ["Bearer ", "Basic ", "-----BEGIN "];

/// Returns the work of a message, fit to be shown: of one that can't be read, all of it. `kept` is
/// a body that the message does not carry.
pub(crate) fn payload(raw: &[u8], kept: Option<&str>) -> Value {
    let value = match (serde_json::from_slice::<Job>(raw), kept) {
        (Ok(job), Some(kept)) if job.body.is_null() => parse(kept),
        (Ok(job), _) => job.body,
        (Err(_), _) => parse(&String::from_utf8_lossy(raw)),
    };
    shown(value)
}

/// Returns a document fit to be shown.
pub(crate) fn shown(mut value: Value) -> Value {
    redact(&mut value, MAX_SHOWN_BYTES);
    match value {
        // Shortened already.
        Value::String(_) => value,
        value => match value.to_string() {
            text if text.len() > MAX_SHOWN_BYTES => {
                Value::String(shortened(&text, MAX_SHOWN_BYTES))
            }
            _ => value,
        },
    }
}

fn parse(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|_| Value::String(text.to_owned()))
}

/// Parsing has bounded how deep the value is. A text is left with at most `most` bytes.
fn redact(value: &mut Value, most: usize) {
    match value {
        Value::Object(members) => {
            for (key, member) in members {
                if names_credential(key) && !member.is_null() {
                    *member = Value::String(REDACTED.to_owned());
                } else {
                    redact(member, MAX_TEXT_BYTES);
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| redact(item, MAX_TEXT_BYTES)),
        Value::String(text) => {
            if SCHEMES.iter().any(|scheme| text.starts_with(scheme)) {
                REDACTED.clone_into(text);
            } else if text.len() > most {
                *text = shortened(text, most);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

fn names_credential(key: &str) -> bool {
    let bare: String =
        key.chars().filter(char::is_ascii_alphanumeric).map(|it| it.to_ascii_lowercase()).collect();
    CREDENTIALS.iter().any(|name| bare.contains(name))
}

fn shortened(text: &str, most: usize) -> String {
    let kept = text.floor_char_boundary(most);
    let (shown, rest) = text.split_at(kept);
    format!("{shown}… ({} more bytes)", rest.len())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_looks_like_a_credential_is_not_shown_wherever_it_stands() {
        let value = json!({
            "city": "oslo",
            "Api-Key": "k", "refresh_token": ["a"], "password": null,
            "headers": [{ "Set-Cookie": "c" }, "Bearer abc", "bearing north"],
        });
        assert_eq!(
            shown(value),
            json!({
                "city": "oslo",
                "Api-Key": REDACTED, "refresh_token": REDACTED, "password": null,
                "headers": [{ "Set-Cookie": REDACTED }, REDACTED, "bearing north"],
            })
        );
    }

    #[test]
    fn what_is_long_is_shortened_at_a_character() {
        let odd = format!("x{}", "ü".repeat(MAX_SHOWN_BYTES));
        let kept = |most: usize| format!("x{}", "ü".repeat(most / 2 - 1));
        let whole = format!("{}… ({} more bytes)", kept(MAX_SHOWN_BYTES), MAX_SHOWN_BYTES + 2);
        assert_eq!(shown(json!(odd)), json!(whole));
        let rest = 2 * MAX_SHOWN_BYTES - MAX_TEXT_BYTES + 2;
        let member = format!("{}… ({rest} more bytes)", kept(MAX_TEXT_BYTES));
        assert_eq!(shown(json!({ "a": odd, "b": 1 })), json!({ "a": member, "b": 1 }));
        let Value::String(text) = shown(json!(vec!["abc"; MAX_SHOWN_BYTES])) else { panic!() };
        assert!(text.starts_with("[\"abc\",") && text.ends_with(" more bytes)"), "{text}");
    }

    #[test]
    fn what_can_not_be_read_is_shown_as_text() {
        assert_eq!(payload(b"\xffnot a job", None), json!("\u{fffd}not a job"));
        assert_eq!(payload(br#"{"token":"t"}"#, None), json!({ "token": REDACTED }));
    }
}
