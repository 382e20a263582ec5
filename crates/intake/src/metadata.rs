//! What a client says of a photo: JSON that may be anything, read as the contract reads it.

use records::AssessmentType;
use serde_json::{Map, Value};

use crate::{Limits, Refusal, Trigger};

/// What is made of one `metadata_<key>`.
#[derive(Clone, Debug)]
pub(crate) struct Metadata {
    pub(crate) trigger: Trigger,
    pub(crate) assessment_type: AssessmentType,
    /// A JSON scalar.
    pub(crate) assessment_id: Option<String>,
    pub(crate) captured_at: Option<String>,
    /// The whole object, unknown members and all.
    pub(crate) object: Value,
}

impl Metadata {
    /// Of a batch upload: missing, malformed or not an object counts as `{}`.
    pub(crate) fn of_batch(text: Option<&[u8]>, limits: &Limits) -> Result<Self, Refusal> {
        let object = match text {
            Some(text) => object_or_empty(text, limits)?,
            None => Map::new(),
        };
        let trigger = text_of(object.get("trigger")).unwrap_or_else(|| "MANUAL".to_owned());
        Ok(Self::from_object(&trigger, object))
    }

    /// Of a single upload: its trigger is a field of the form, its timing another.
    pub(crate) fn of_single(trigger: Option<&[u8]>, timing: Option<&[u8]>, limits: &Limits) -> Result<Self, Refusal> {
        let trigger = trigger.map_or("unknown".into(), String::from_utf8_lossy);
        if trigger.contains('\0') {
            return Err(Refusal::UnstorableText("trigger"));
        }
        let mut object = Map::new();
        if let Some(timing) = timing {
            object.insert("timing".to_owned(), Value::Object(object_or_empty(timing, limits)?));
        }
        Ok(Self::from_object(&trigger, object))
    }

    fn from_object(trigger: &str, object: Map<String, Value>) -> Self {
        // The app's own rule: `phq_response_id or llm_conversation_id`, by Python's truth.
        let (assessment_type, assessment_id) = if let Some(id) = truthy(object.get("phq_response_id")) {
            (AssessmentType::Phq, Some(id))
        } else if let Some(id) = truthy(object.get("llm_conversation_id")) {
            (AssessmentType::Llm, Some(id))
        } else {
            (AssessmentType::General, None)
        };
        Self {
            trigger: Trigger::parse(trigger),
            assessment_type,
            assessment_id,
            captured_at: object.get("captured_at").and_then(Value::as_str).map(str::to_owned),
            object: Value::Object(object),
        }
    }
}

fn text_of(value: Option<&Value>) -> Option<String> {
    match value? {
        Value::Null => None,
        Value::String(text) => Some(text.clone()),
        other => Some(other.to_string()),
    }
}

/// The scalar as JSON, unless Python would call it false.
fn truthy(value: Option<&Value>) -> Option<String> {
    match value? {
        Value::Number(number) if number.as_f64() == Some(0.0) => None,
        Value::String(text) if text.is_empty() => None,
        scalar @ (Value::Number(_) | Value::String(_)) => Some(scalar.to_string()),
        _ => None,
    }
}

fn object_or_empty(text: &[u8], limits: &Limits) -> Result<Map<String, Value>, Refusal> {
    let scan = scan(text);
    if scan.depth > limits.metadata_depth_max {
        return Err(Refusal::MetadataTooLarge(limits.metadata_bytes_max));
    }
    // PostgreSQL's JSON takes neither; refused alike on every catalog.
    if scan.unstorable {
        return Err(Refusal::UnstorableText("metadata"));
    }
    Ok(match serde_json::from_slice(text) {
        Ok(Value::Object(object)) => object,
        _ => Map::new(),
    })
}

struct Scan {
    depth: usize,
    unstorable: bool,
}

/// One pass over JSON text: how deep it nests, and whether a string escapes NUL or half a surrogate pair.
fn scan(text: &[u8]) -> Scan {
    let mut scan = Scan { depth: 0, unstorable: false };
    let (mut depth, mut in_string, mut at) = (0_usize, false, 0);
    while let Some(&byte) = text.get(at) {
        at += 1;
        match byte {
            b'"' => in_string = !in_string,
            b'\\' if in_string => {
                if let Some(unit) = escaped_unit(text, at) {
                    let pair = (0xD800..0xDC00).contains(&unit)
                        && text.get(at + 5) == Some(&b'\\')
                        && escaped_unit(text, at + 6).is_some_and(|low| (0xDC00..0xE000).contains(&low));
                    scan.unstorable |= unit == 0 || ((0xD800..0xE000).contains(&unit) && !pair);
                    at += if pair { 11 } else { 5 };
                } else {
                    at += 1;
                }
            }
            b'{' | b'[' if !in_string => {
                depth += 1;
                scan.depth = scan.depth.max(depth);
            }
            b'}' | b']' if !in_string => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    scan
}

/// The code unit of `uXXXX` at `at`.
fn escaped_unit(text: &[u8], at: usize) -> Option<u16> {
    let digits = text.get(at..at + 5)?.strip_prefix(b"u")?;
    if !digits.iter().all(u8::is_ascii_hexdigit) {
        return None;
    }
    u16::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::scan;

    fn check(text: &str, depth: usize, unstorable: bool) {
        let scan = scan(text.as_bytes());
        assert_eq!((scan.depth, scan.unstorable), (depth, unstorable), "{text}");
    }

    #[test]
    fn scans() {
        check("{}", 1, false);
        check(r#"{"a":[[{"b":"]]]["}]]}"#, 4, false);
        check(r#"{"a":"\u0000"}"#, 1, true);
        check(r#"{"a":"\\u0000"}"#, 1, false);
        check(r#"{"a":"\ud83d\ude00"}"#, 1, false);
        check(r#"{"a":"\ud83d"}"#, 1, true);
        check(r#"{"a":"\ude00\ud83d"}"#, 1, true);
        check(r#"{"a":"\ud83d\ud83d"}"#, 1, true);
        check(r#"{"a":"\u00"}"#, 1, false);
        check(r#"{"a":"\u+000"}"#, 1, false);
        check(r#"{"a\u0000":1}"#, 1, true);
        check(&"[".repeat(5000), 5000, false);
        check(r#"{"a":"\"#, 1, false);
    }
}
