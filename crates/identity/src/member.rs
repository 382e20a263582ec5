//! A member of somebody's JSON: by name, or by a JSON pointer (RFC 6901) where it begins with a slash.

use serde_json::Value;

pub(crate) fn member<'json>(json: &'json Value, name: &str) -> Option<&'json Value> {
    let found = if name.starts_with('/') { json.pointer(name) } else { json.get(name).filter(|_| !name.is_empty()) };
    found.filter(|value| !value.is_null())
}

/// Whether the member is this text, or a list with it. `true` is the text "true".
pub(crate) fn says(json: &Value, name: &str, text: &str) -> bool {
    let is = |value: &Value| match value {
        Value::String(found) => found == text,
        Value::Bool(found) => text == if *found { "true" } else { "false" },
        Value::Number(found) => found.to_string() == text,
        _ => false,
    };
    member(json, name).is_some_and(|value| value.as_array().map_or_else(|| is(value), |items| items.iter().any(is)))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{member, says};

    #[test]
    fn by_name_and_by_pointer() {
        let json =
            json!({"sub": "5", "https://a/b": 6, "realm": {"roles": ["a", "admin"]}, "is_admin": true, "none": null});
        assert_eq!(member(&json, "sub"), Some(&json!("5")));
        assert_eq!(member(&json, "https://a/b"), Some(&json!(6)));
        assert!(["none", "", "realm.roles", "/realm/none", "/"].iter().all(|name| member(&json, name).is_none()));
        for (name, text, expect) in [
            ("/realm/roles", "admin", true),
            ("/realm/roles", "adm", false),
            ("is_admin", "true", true),
            ("is_admin", "false", false),
            ("sub", "5", true),
            ("realm", "admin", false),
            ("absent", "true", false),
        ] {
            assert_eq!(says(&json, name, text), expect, "{name} {text}");
        }
    }
}
