//! What the app's rows are to Filmgate, and how their texts are understood.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use uuid::Uuid;

use crate::Error;

/// A user of the app's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AppUser {
    /// The app's number.
    pub id: i64,
    /// What people call them; made of the number where the app has no such column.
    pub username: String,
    /// Whether they may still sign in.
    pub is_active: bool,
    /// Whether they are an administrator.
    pub is_admin: bool,
}

/// An assessment session of the app's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AppSession {
    /// Its key: a UUID with hyphens in lower case, or whatever else the app has.
    pub key: String,
    /// Filmgate's id of it.
    pub id: Uuid,
    /// Whose it is.
    pub user_id: i64,
    /// How its photos are taken.
    pub settings: Option<AppSettings>,
}

/// When frames are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecordingMode {
    /// One every `interval_seconds`.
    Interval,
    /// One at each of the events that are switched on.
    EventDriven,
}

/// Camera settings of the app's.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(clippy::struct_excessive_bools)] // names are the app's own
pub struct AppSettings {
    /// Their key, as that of a session.
    pub key: String,
    /// Filmgate's id of them.
    pub id: Uuid,
    /// What people call them.
    pub setting_name: String,
    /// When frames are taken.
    pub recording_mode: RecordingMode,
    /// Seconds between frames, at least 1 where there is a number.
    pub interval_seconds: Option<u32>,
    /// As `1280x720`.
    pub resolution: String,
    /// A frame at each click.
    pub capture_on_button_click: bool,
    /// A frame at each message sent.
    pub capture_on_message_send: bool,
    /// A frame as each question starts.
    pub capture_on_question_start: bool,
    /// Inactive settings count as none.
    pub is_active: bool,
    /// The app's default.
    pub is_default: bool,
}

/// What the app's own table says a capture belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AppLink {
    /// The app's key of the capture.
    pub capture_key: String,
    /// Its filename.
    pub filename: String,
    /// The assessment: JSON, a number or a text.
    pub assessment_id: String,
    /// `PHQ`, `LLM` or whatever the app writes.
    pub assessment_type: String,
}

/// A capture for the app's table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AppCapture {
    /// Filmgate's id; the app's too where its key is no number.
    pub id: Uuid,
    /// Its session's key.
    pub session_key: String,
    /// Unique.
    pub filename: String,
    /// Bytes of the photo.
    pub file_size_bytes: u64,
    /// Why it was taken.
    pub capture_trigger: String,
    /// When it was received.
    pub timestamp: Timestamp,
    /// The assessment it belongs to: JSON, a number or a text.
    pub assessment_id: Option<String>,
    /// `PHQ`, `LLM` or `GENERAL`.
    pub assessment_type: String,
    /// The settings that the final gate used: JSON.
    pub camera_settings_snapshot: Option<String>,
}

/// What writing a capture did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Put {
    /// The row is new.
    Inserted,
    /// The row was there and now says what it belongs to.
    Linked,
    /// The row was there and says all that it should.
    Unchanged,
    /// The row was there, and the app has linked it by itself.
    LinkedByApp(AppLink),
    /// The app has no such session any more, and so no place for its captures.
    SessionGone,
}

/// A row of the app's captures as it stands there, each value as text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AppCaptureRow {
    /// Its key, as that of a session.
    pub id: String,
    /// Its session's key.
    pub session_id: String,
    /// As the app named the file.
    pub filename: String,
    /// As the app noted it.
    pub file_size_bytes: Option<i64>,
    /// Why it was taken.
    pub capture_trigger: Option<String>,
    /// As the engine writes it: `2026-11-24 08:00:00.123456`, UTC.
    pub timestamp: Option<String>,
    /// The assessment it belongs to: JSON, a number or a text.
    pub assessment_id: Option<String>,
    /// What kind of assessment.
    pub assessment_type: Option<String>,
    /// JSON.
    pub camera_settings_snapshot: Option<String>,
}

impl AppCaptureRow {
    /// When it was taken, where the app's text can be read as a time; without a zone it is UTC.
    pub fn time(&self) -> Option<Timestamp> {
        let text = self.timestamp.as_deref()?.trim().replacen(' ', "T", 1);
        if let Ok(seconds) = text.parse::<f64>() {
            return Timestamp::from_microsecond(to_micros(seconds)?).ok();
        }
        // PostgreSQL writes `+00` where RFC 3339 wants `+00:00`.
        let text = text.strip_suffix("+00").unwrap_or(&text);
        text.parse::<Timestamp>().ok().or_else(|| {
            let civil: jiff::civil::DateTime = text.parse().ok()?;
            TimeZone::UTC.to_timestamp(civil).ok()
        })
    }
}

#[allow(clippy::cast_possible_truncation)] // checked just before
fn to_micros(seconds: f64) -> Option<i64> {
    (seconds.abs() < 1e12).then_some((seconds * 1e6).round() as i64)
}

/// A flag: whatever type it has, its text is one of a few words.
pub(crate) fn flag(column: &str, text: Option<&str>) -> Result<bool, Error> {
    let word = text.unwrap_or_default().trim().to_ascii_lowercase();
    match word.as_str() {
        "1" | "true" | "t" | "yes" | "y" | "on" => Ok(true),
        "" | "0" | "false" | "f" | "no" | "n" | "off" => Ok(false),
        _ => Err(Error::Schema(format!("{column} holds neither yes nor no"))),
    }
}

/// Whether a column of the app's holds one of the words that mean yes.
pub(crate) fn is_one_of(words: &[String], text: Option<&str>) -> bool {
    text.is_some_and(|text| words.iter().any(|word| word.eq_ignore_ascii_case(text.trim())))
}

/// SQLAlchemy keeps an enum's name; some write its value, in lower case or with a hyphen.
pub(crate) fn recording_mode(text: Option<&str>) -> Result<RecordingMode, Error> {
    let text = text.unwrap_or_default();
    let word = text.rsplit('.').next().unwrap_or(text).trim().to_ascii_uppercase().replace(['-', ' '], "_");
    match word.as_str() {
        "INTERVAL" => Ok(RecordingMode::Interval),
        "EVENT_DRIVEN" => Ok(RecordingMode::EventDriven),
        _ => Err(Error::Schema("recording_mode is neither INTERVAL nor EVENT_DRIVEN".to_owned())),
    }
}

/// Seconds as a whole number of at least one; a part of a second counts as a whole one, nothing as nothing.
pub(crate) fn seconds(text: Option<&str>) -> Result<Option<u32>, Error> {
    let Some(text) = text.map(str::trim).filter(|text| !text.is_empty()) else { return Ok(None) };
    let wrong = || Error::Schema("interval_seconds is no number".to_owned());
    let number: f64 = text.parse().map_err(|_| wrong())?;
    if !number.is_finite() {
        return Err(wrong());
    }
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // clamped
    let whole = number.ceil().clamp(0.0, f64::from(u32::MAX)) as u32;
    Ok((whole > 0).then_some(whole))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_an_app_writes_for_a_mode_a_flag_or_seconds() {
        for word in ["INTERVAL", "interval", "RecordingMode.INTERVAL", " Interval "] {
            assert_eq!(recording_mode(Some(word)), Ok(RecordingMode::Interval), "{word}");
        }
        for word in ["EVENT_DRIVEN", "event_driven", "event-driven", "RecordingMode.EVENT_DRIVEN"] {
            assert_eq!(recording_mode(Some(word)), Ok(RecordingMode::EventDriven), "{word}");
        }
        assert!(recording_mode(Some("1")).is_err());
        assert!(recording_mode(None).is_err());
        assert_eq!(flag("x", Some("t")), Ok(true));
        assert_eq!(flag("x", Some("FALSE")), Ok(false));
        assert_eq!(flag("x", None), Ok(false));
        assert!(flag("x", Some("2026-01-01")).is_err());
        assert_eq!(seconds(Some("5")), Ok(Some(5)));
        assert_eq!(seconds(Some("0.5")), Ok(Some(1)));
        assert_eq!(seconds(Some("0")), Ok(None));
        assert_eq!(seconds(None), Ok(None));
        assert!(seconds(Some("soon")).is_err());
    }

    #[test]
    fn times_as_the_engines_write_them() {
        let expected: Timestamp = "2026-11-24T08:00:00.25Z".parse().unwrap();
        for text in [
            "2026-11-24 08:00:00.25",
            "2026-11-24 08:00:00.250000",
            "2026-11-24T08:00:00.250000",
            "2026-11-24 08:00:00.25+00",
            "2026-11-24T10:00:00.25+02:00",
            "1795507200.25",
        ] {
            let row = AppCaptureRow { timestamp: Some(text.to_owned()), ..AppCaptureRow::default() };
            assert_eq!(row.time(), Some(expected), "{text}");
        }
        let row = AppCaptureRow { timestamp: Some("yesterday".to_owned()), ..AppCaptureRow::default() };
        assert_eq!(row.time(), None);
    }
}
