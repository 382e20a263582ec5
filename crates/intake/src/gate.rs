//! Is a capture of this trigger wanted? The table of the contract.

use records::{CameraSettings, RecordingMode};

/// Why a frame was taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trigger {
    /// The timer of interval mode.
    Interval,
    /// A click.
    ButtonClick,
    /// A message sent.
    MessageSend,
    /// A question begins.
    QuestionStart,
    /// The participant's own wish.
    Manual,
    /// A word of the client's own: kept as sent, gated as unknown.
    Other(String),
}

impl Trigger {
    /// Reads a trigger as pages send it, in upper or lower case.
    pub fn parse(text: &str) -> Self {
        match text.to_ascii_uppercase().as_str() {
            "INTERVAL" => Self::Interval,
            "BUTTON_CLICK" => Self::ButtonClick,
            "MESSAGE_SEND" => Self::MessageSend,
            "QUESTION_START" => Self::QuestionStart,
            "MANUAL" => Self::Manual,
            _ => Self::Other(text.to_owned()),
        }
    }

    /// The word that is stored and answered.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Interval => "INTERVAL",
            Self::ButtonClick => "BUTTON_CLICK",
            Self::MessageSend => "MESSAGE_SEND",
            Self::QuestionStart => "QUESTION_START",
            Self::Manual => "MANUAL",
            Self::Other(text) => text,
        }
    }

    /// Frames of an event are processed before those of the timer: somebody may be waiting to see them.
    pub(crate) fn task_priority(&self) -> u32 {
        match self {
            Self::ButtonClick | Self::MessageSend | Self::QuestionStart | Self::Manual => 0,
            Self::Interval | Self::Other(_) => 1,
        }
    }
}

/// Settings that count: inactive ones are as good as none.
pub(crate) fn effective(settings: Option<&CameraSettings>) -> Option<&CameraSettings> {
    settings.filter(|settings| settings.chosen.is_active)
}

/// `Err` says, for a person, why a capture of this trigger is not wanted. Without settings every trigger is.
pub(crate) fn wanted(settings: Option<&CameraSettings>, trigger: &Trigger) -> Result<(), &'static str> {
    let Some(settings) = effective(settings) else { return Ok(()) };
    let chosen = &settings.chosen;
    match (chosen.recording_mode, trigger) {
        (RecordingMode::Interval, Trigger::Interval) => Ok(()),
        (RecordingMode::Interval, _) => Err("the session's settings take INTERVAL captures only"),
        (RecordingMode::EventDriven, Trigger::ButtonClick) if chosen.capture_on_button_click => Ok(()),
        (RecordingMode::EventDriven, Trigger::MessageSend) if chosen.capture_on_message_send => Ok(()),
        (RecordingMode::EventDriven, Trigger::QuestionStart) if chosen.capture_on_question_start => Ok(()),
        (RecordingMode::EventDriven, Trigger::ButtonClick | Trigger::MessageSend | Trigger::QuestionStart) => {
            Err("this trigger is switched off in the session's settings")
        }
        (RecordingMode::EventDriven, _) => Err("the session's settings take captures at events only"),
    }
}

#[cfg(test)]
mod tests {
    use super::{Trigger, wanted};
    use jiff::Timestamp;
    use records::{CameraSettings, NewCameraSettings, RecordingMode};

    fn settings(mode: RecordingMode, flags: [bool; 3], is_active: bool) -> CameraSettings {
        CameraSettings {
            id: uuid::Uuid::nil(),
            chosen: NewCameraSettings {
                setting_name: "test".to_owned(),
                recording_mode: mode,
                interval_seconds: Some(1),
                resolution: "1280x720".to_owned(),
                capture_on_button_click: flags[0],
                capture_on_message_send: flags[1],
                capture_on_question_start: flags[2],
                is_active,
                is_default: false,
            },
            host_key: None,
            created_at: Timestamp::UNIX_EPOCH,
            updated_at: Timestamp::UNIX_EPOCH,
        }
    }

    /// `expect` has a letter for each of Interval, Button, Message, Question, Manual, other: `y` where wanted.
    fn check(settings: Option<&CameraSettings>, expect: &str) {
        let triggers = ["interval", "BUTTON_CLICK", "message_send", "Question_Start", "MANUAL", "eye_blink"];
        let got: String =
            triggers.iter().map(|t| if wanted(settings, &Trigger::parse(t)).is_ok() { 'y' } else { 'n' }).collect();
        assert_eq!(got, expect, "{settings:?}");
    }

    #[test]
    fn the_contracts_table() {
        use RecordingMode::{EventDriven, Interval};
        check(None, "yyyyyy");
        check(Some(&settings(Interval, [true; 3], false)), "yyyyyy");
        check(Some(&settings(Interval, [true; 3], true)), "ynnnnn");
        check(Some(&settings(EventDriven, [true; 3], true)), "nyyynn");
        check(Some(&settings(EventDriven, [false; 3], true)), "nnnnnn");
        check(Some(&settings(EventDriven, [true, false, false], true)), "nynnnn");
        check(Some(&settings(EventDriven, [false, true, false], true)), "nnynnn");
        check(Some(&settings(EventDriven, [false, false, true], true)), "nnnynn");
    }

    #[test]
    fn an_unknown_trigger_is_kept_as_sent() {
        assert_eq!(Trigger::parse("Eye_Blink").as_str(), "Eye_Blink");
        assert_eq!(Trigger::parse("message_send").as_str(), "MESSAGE_SEND");
    }
}
