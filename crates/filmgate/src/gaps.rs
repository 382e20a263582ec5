//! Frames that a session's settings expected, against those that came: where some are missing, and why where it is known.
//!
//! **Promises** that every frame the clock of the page wanted is counted once: stored, or missing with the reason that the
//! page gave, or missing and `deleted` or `unknown`.
//! **Leaves** to the page's client to say why: each stored frame carries what was missed before it (`metadata.gaps`,
//! `docs/client.md`). So nothing is written here, and whatever is known of a gap goes with the frame that told of it. What
//! was missed after the last frame has none to travel with.
//!
//! All stand on one line, by the page's clock: what is missing between two neighbours is what the interval wants there.

use std::collections::{BTreeMap, HashSet};

use jiff::{SignedDuration, Timestamp};
use records::Capture;
use serde::Serialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::app::App;

/// Rows read in one step.
const STEP: usize = 500;
/// Gaps that one answer names: whoever makes up more does not fill the memory.
pub const GAPS_MAX: usize = 10_000;
/// What one gap may count, whatever a client says: some weeks of seconds.
const MISSED_MAX: u64 = 2_000_000;
/// Letters of a reason, a code, a question.
const WORD_CHARS_MAX: usize = 64;
const QUESTION_CHARS_MAX: usize = 200;
/// How long after it was due a frame that was deleted may have come.
const LATE_MAX: SignedDuration = SignedDuration::from_secs(10);

/// Frames that are missing, one after the other, for one reason.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Gap {
    /// Why. Of the page: `hidden`, `asleep`, `thinned`, `refused`, `not_wanted`, `camera_ended`, `camera_muted`,
    /// `queue_full`, `encode_failed`, `slow`, `paused`, `not_running`, `expired`. Of the server: `deleted` (they came and
    /// were deleted), `unknown`.
    pub reason: String,
    /// When the first was due, by the page's clock, RFC 3339.
    pub from: String,
    /// When the last was due.
    pub to: String,
    /// How many.
    pub missed: u64,
    /// The question or message on the page, as the page named it.
    pub question: Option<String>,
    /// The event whose frame it was; `null`: frames of the clock.
    pub trigger: Option<String>,
    /// The server's code, where it refused.
    pub code: Option<String>,
}

/// A session's frames against what its settings expected.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, ToSchema)]
pub struct Gaps {
    /// Frames that the clock of the page wanted, from the first that is known of to the last.
    pub expected: u64,
    /// Those of them that are stored.
    pub received: u64,
    /// Those that are missing.
    pub missed: u64,
    /// Frames of events that are stored.
    pub events_received: u64,
    /// Frames of events that are missing: as far as the page told.
    pub events_missed: u64,
    /// When the first frame was due, by the page's clock.
    pub first_at: Option<String>,
    /// When the last one was. What was missed after it is not known here.
    pub last_at: Option<String>,
    /// How many are missing for each reason.
    pub reasons: BTreeMap<String, u64>,
    /// Each gap, by time.
    pub gaps: Vec<Gap>,
    /// Whether there are more gaps than are named here; all are counted.
    pub is_cut: bool,
}

/// What is known of one moment or stretch of the session.
#[derive(Clone, Debug)]
struct Known {
    from: Timestamp,
    to: Timestamp,
    /// Between frames of the clock; `None`: the settings have no clock.
    interval_ms: Option<u64>,
    /// A frame that is stored, or a gap.
    gap: Option<Gap>,
}

/// Gathers what a session's captures tell; then [`Ledger::balance`].
#[derive(Default)]
pub struct Ledger {
    known: Vec<Known>,
    events_received: u64,
    /// The same gap may have been told twice: a frame was sent again under another key.
    told: HashSet<(String, String, String, Option<String>)>,
    events_missed: Vec<(Timestamp, Gap)>,
}

/// The gaps of this session.
///
/// # Errors
/// The catalog fails.
pub async fn of_session(app: &App, session_id: Uuid) -> records::Result<Gaps> {
    let mut ledger = Ledger::default();
    let mut after = None;
    loop {
        let captures = app.records.captures_of_session_after(session_id, after, STEP).await?;
        let Some(last) = captures.last() else { break };
        after = Some((last.received_at, last.id));
        for capture in &captures {
            ledger.add(capture);
        }
    }
    let deleted = app.records.deleted_of_session(session_id).await?;
    Ok(ledger.balance(&deleted))
}

fn object(json: &str) -> Map<String, Value> {
    match serde_json::from_str(json) {
        Ok(Value::Object(members)) => members,
        _ => Map::new(),
    }
}

fn time(said: Option<&Value>) -> Option<Timestamp> {
    said?.as_str()?.parse().ok()
}

/// A word of the client's, in the letters of words.
fn word(said: Option<&Value>) -> Option<String> {
    let said = said?.as_str()?;
    let is_word = (1..=WORD_CHARS_MAX).contains(&said.len())
        && said.chars().all(|c| c.is_ascii_alphanumeric() || "_-.".contains(c));
    is_word.then(|| said.to_owned())
}

fn question(said: Option<&Value>) -> Option<String> {
    match said? {
        Value::String(text) => Some(text.chars().take(QUESTION_CHARS_MAX).collect()),
        number @ Value::Number(_) => Some(number.to_string()),
        _ => None,
    }
}

impl Ledger {
    /// Takes a stored frame into account, and the gaps that it carried.
    pub fn add(&mut self, capture: &Capture) {
        let metadata = object(&capture.metadata);
        let settings = capture.settings_snapshot.as_deref().map(object).unwrap_or_default();
        let timing = metadata.get("timing");
        let said = timing.and_then(|timing| timing.get("interval_ms")).and_then(Value::as_u64);
        let of_settings = settings.get("interval_seconds").and_then(Value::as_u64).map(|seconds| seconds * 1_000);
        let interval_ms = said.or(of_settings).filter(|interval| *interval > 0);
        for gap in metadata.get("gaps").and_then(Value::as_array).into_iter().flatten() {
            self.add_gap(gap, interval_ms);
        }
        if capture.trigger == "INTERVAL" {
            let due = time(timing.and_then(|timing| timing.get("due_at")));
            let taken = || capture.captured_at.as_deref().and_then(|said| said.parse().ok());
            let at = due.or_else(taken).unwrap_or(capture.received_at);
            self.known.push(Known { from: at, to: at, interval_ms, gap: None });
        } else {
            self.events_received += 1;
        }
    }

    fn add_gap(&mut self, said: &Value, interval_ms: Option<u64>) {
        let Some(from) = time(said.get("from")) else { return };
        let to = time(said.get("to")).filter(|to| *to >= from).unwrap_or(from);
        let missed = said.get("missed").and_then(Value::as_u64).unwrap_or(1).clamp(1, MISSED_MAX);
        let gap = Gap {
            reason: word(said.get("reason")).unwrap_or_else(|| "unknown".to_owned()),
            from: from.to_string(),
            to: to.to_string(),
            missed,
            question: question(said.get("question")),
            trigger: word(said.get("trigger")),
            code: word(said.get("code")),
        };
        if !self.told.insert((gap.reason.clone(), gap.from.clone(), gap.to.clone(), gap.trigger.clone())) {
            return;
        }
        if gap.trigger.is_some() {
            self.events_missed.push((from, gap));
        } else {
            self.known.push(Known { from, to, interval_ms, gap: Some(gap) });
        }
    }

    /// Puts all on one line, and finds what is missing between neighbours; `deleted` is when frames came that are no more.
    pub fn balance(self, deleted: &[Timestamp]) -> Gaps {
        let Self { mut known, events_received, events_missed, .. } = self;
        known.sort_by_key(|known| (known.from, known.to));
        let mut deleted = deleted.to_vec();
        deleted.sort_unstable();
        let mut found: Vec<(Timestamp, Gap)> = events_missed;
        let mut gaps = Gaps { events_received, ..Gaps::default() };
        gaps.events_missed = found.iter().map(|(_, gap)| gap.missed).sum();
        gaps.first_at = known.first().map(|known| known.from.to_string());
        gaps.last_at = known.iter().map(|known| known.to).max().map(|time| time.to_string());
        let mut last: Option<(Timestamp, Option<u64>)> = None;
        for known in known {
            if let Some((ended, interval)) = last
                && let Some(between) = unaccounted(ended, known.from, known.interval_ms.or(interval), &mut deleted)
            {
                gaps.missed += between.missed;
                found.push((ended, between));
            }
            last = Some((last.map_or(known.to, |(ended, _)| ended.max(known.to)), known.interval_ms));
            match known.gap {
                None => gaps.received += 1,
                Some(gap) => {
                    gaps.missed += gap.missed;
                    found.push((known.from, gap));
                }
            }
        }
        gaps.expected = gaps.received + gaps.missed;
        for (_, gap) in &found {
            *gaps.reasons.entry(gap.reason.clone()).or_default() += gap.missed;
        }
        found.sort_by_key(|(from, _)| *from);
        gaps.is_cut = found.len() > GAPS_MAX;
        gaps.gaps = found.into_iter().take(GAPS_MAX).map(|(_, gap)| gap).collect();
        gaps
    }
}

/// What the interval wanted between these two and nobody speaks of.
fn unaccounted(
    ended: Timestamp,
    begins: Timestamp,
    interval_ms: Option<u64>,
    deleted: &mut Vec<Timestamp>,
) -> Option<Gap> {
    let interval = i64::try_from(interval_ms?).ok()?;
    let between = begins.duration_since(ended).as_millis().try_into().unwrap_or(i64::MAX);
    // To the nearest: a frame that was late by less than half a turn is no gap.
    let missed = (between + interval / 2) / interval - 1;
    if missed < 1 {
        return None;
    }
    let step = SignedDuration::from_millis(interval);
    let from = ended.checked_add(step).ok()?;
    let to = begins.checked_sub(step).ok()?.max(from);
    // Those that came in this time, or a little later; each stands for one.
    let until = to.checked_add(LATE_MAX).ok()?;
    // The two clocks may differ a little.
    let since = from.checked_sub(step / 2).ok()?;
    let first = deleted.partition_point(|time| *time < since);
    let came = deleted.partition_point(|time| *time <= until).saturating_sub(first);
    let missed = u64::try_from(missed).ok()?.min(MISSED_MAX);
    let were_deleted = usize::try_from(missed).is_ok_and(|missed| came >= missed);
    if were_deleted {
        deleted.drain(first..first + usize::try_from(missed).unwrap_or(0));
    }
    Some(Gap {
        reason: if were_deleted { "deleted" } else { "unknown" }.to_owned(),
        from: from.to_string(),
        to: to.to_string(),
        missed,
        question: None,
        trigger: None,
        code: None,
    })
}

#[cfg(test)]
mod tests {
    use records::{AssessmentType, Processing, StoredBlob};
    use serde_json::json;

    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + second).unwrap()
    }

    fn capture(trigger: &str, metadata: &Value) -> Capture {
        Capture {
            id: Uuid::now_v7(),
            session_id: Uuid::nil(),
            filename: String::new(),
            blob: StoredBlob { key: String::new(), format: "plain".to_owned(), size_bytes: 1, sha256: [0; 32] },
            content_type: "image/jpeg".to_owned(),
            width_px: 1,
            height_px: 1,
            trigger: trigger.to_owned(),
            assessment_type: AssessmentType::General,
            assessment_id: None,
            captured_at: metadata["captured_at"].as_str().map(str::to_owned),
            // The server has all of them later and in another order: they waited for the network.
            received_at: at(10_000),
            settings_snapshot: Some(json!({"interval_seconds": 1}).to_string()),
            metadata: metadata.to_string(),
            processing: Processing::default(),
        }
    }

    fn frame(second: i64, gaps: &Value) -> Capture {
        let due = at(second).to_string();
        capture("INTERVAL", &json!({"timing": {"due_at": due, "interval_ms": 1000}, "gaps": gaps}))
    }

    fn gap(reason: &str, from: i64, to: i64) -> Value {
        json!({"reason": reason, "from": at(from).to_string(), "to": at(to).to_string(), "missed": to - from + 1})
    }

    fn balance(captures: &[Capture], deleted: &[Timestamp]) -> Gaps {
        let mut ledger = Ledger::default();
        for capture in captures {
            ledger.add(capture);
        }
        ledger.balance(deleted)
    }

    /// Reason, first, last and number of each gap.
    fn named(gaps: &Gaps) -> Vec<(String, i64, i64, u64)> {
        let second = |time: &str| time.parse::<Timestamp>().unwrap().as_second() - 1_800_000_000;
        gaps.gaps.iter().map(|gap| (gap.reason.clone(), second(&gap.from), second(&gap.to), gap.missed)).collect()
    }

    #[test]
    fn every_second_is_accounted_for() {
        // 0 1 | 2-4 hidden | 5 | 6-7 nobody says | 8 | 9-18 not running, told by another run | 19
        let captures = [
            frame(19, &json!([gap("not_running", 9, 18)])),
            frame(0, &json!([])),
            frame(8, &json!([])),
            frame(5, &json!([gap("hidden", 2, 4)])),
            frame(1, &json!(null)),
        ];
        let found = balance(&captures, &[]);
        let expected = [("hidden", 2, 4, 3), ("unknown", 6, 7, 2), ("not_running", 9, 18, 10)];
        assert_eq!(named(&found), expected.map(|(reason, from, to, missed)| (reason.to_owned(), from, to, missed)));
        assert_eq!((found.expected, found.received, found.missed), (20, 5, 15));
        assert_eq!(found.reasons["hidden"], 3);
        assert!(balance(&captures[1..3], &[]).missed == 7, "the control: without what was told, nobody knows");
    }

    #[test]
    fn frames_that_were_deleted_are_told_from_those_that_never_came() {
        let captures = [frame(0, &json!([])), frame(3, &json!([])), frame(6, &json!([]))];
        let deleted = [at(1), at(2)];
        let found = balance(&captures, &deleted);
        assert_eq!(found.reasons, BTreeMap::from([("deleted".to_owned(), 2), ("unknown".to_owned(), 2)]));
    }

    #[test]
    fn frames_of_events_are_counted_apart_and_have_no_clock() {
        let missed = json!([{"reason": "queue_full", "from": at(1).to_string(), "trigger": "BUTTON_CLICK"}]);
        let captures = [frame(0, &json!([])), capture("MESSAGE_SEND", &json!({"gaps": missed})), frame(1, &json!([]))];
        let found = balance(&captures, &[]);
        assert_eq!((found.expected, found.received, found.missed), (2, 2, 0));
        assert_eq!((found.events_received, found.events_missed), (1, 1));
    }

    #[test]
    fn pages_of_the_app_that_tell_no_reason_are_judged_by_their_clock() {
        let taken = |second| capture("INTERVAL", &json!({"captured_at": at(second).to_string()}));
        assert_eq!(balance(&[taken(0), taken(1), taken(4)], &[]).reasons, BTreeMap::from([("unknown".to_owned(), 2)]));
    }

    #[test]
    fn nonsense_of_a_client_is_no_trouble() {
        let nonsense = json!([1, null, {"from": "x"}, {"from": at(1).to_string(), "to": at(0).to_string(), "missed": u64::MAX,
            "reason": "<b>", "question": {"a": 1}}, gap("hidden", 2, 2), gap("hidden", 2, 2)]);
        let found = balance(&[frame(0, &nonsense), frame(3, &json!("gaps"))], &[]);
        assert_eq!(named(&found).len(), 2, "each is told once: {:?}", found.gaps);
        assert_eq!((found.gaps[0].reason.as_str(), found.gaps[0].missed), ("unknown", MISSED_MAX));
        assert_eq!(balance(&[], &[]), Gaps::default());
    }
}
