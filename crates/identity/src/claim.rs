//! Whom something that was shown names, before anybody was asked about them.

use serde_json::Value;

use crate::refused::Reason;

/// Whom it names.
#[derive(Clone, Debug)]
pub(crate) struct Claim {
    pub(crate) user_id: UserId,
    /// The name, where it says one.
    pub(crate) username: Option<String>,
    /// Whether it says that they may do everything.
    pub(crate) is_admin: bool,
}

/// The id of a user, as somebody else's program wrote it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum UserId {
    Text(String),
    /// No text and no number.
    Other,
}

impl UserId {
    /// Of a JSON value; `null` names nobody.
    pub(crate) fn of(value: Value) -> Option<Self> {
        match value {
            Value::Null => None,
            Value::String(text) => Some(Self::Text(text)),
            Value::Number(number) => Some(Self::Text(number.to_string())),
            _ => Some(Self::Other),
        }
    }

    /// The number. Neither a sign nor anything else that only some would read as one: two readings of an id are two
    /// people. Numbers below zero are those of Filmgate's own administrators.
    pub(crate) fn number(&self) -> Result<i64, Reason> {
        match self {
            Self::Text(text) if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) => {
                text.parse().map_err(|_| Reason::NotInteger)
            }
            _ => Err(Reason::NotInteger),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::UserId;

    #[test]
    fn a_number_is_digits_and_nothing_else() {
        let number = |value| UserId::of(value).map(|id| id.number().ok());
        for (value, expect) in [
            (json!("42"), Some(Some(42))),
            (json!(42), Some(Some(42))),
            (json!("9223372036854775807"), Some(Some(i64::MAX))),
            (json!("9223372036854775808"), Some(None)),
            (json!(null), None),
        ] {
            assert_eq!(number(value.clone()), expect, "{value}");
        }
        for value in [
            json!(""),
            json!("-1"),
            json!("+1"),
            json!(" 1"),
            json!("1.0"),
            json!(1.5),
            json!(-3),
            json!("0x1"),
            json!("1_0"),
            json!("anna"),
            json!(true),
            json!([1]),
            json!({" u": "0190"}),
            json!("\u{661}"),
            json!("1e3"),
            json!(1e3),
        ] {
            assert_eq!(number(value.clone()), Some(None), "{value}");
        }
    }
}
