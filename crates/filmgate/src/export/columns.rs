//! The tables of an export: each column with its words for the codebook and how its cell is got.
//!
//! One list for both, so that no column is without words. Client's words that a spreadsheet would run as a formula get
//! an apostrophe before them.

use crate::gaps::Gap;
use records::{Capture, Session};
use serde::Serialize;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::names::Names;

/// One column of a table.
pub(super) struct Column<Row> {
    name: &'static str,
    kind: &'static str,
    about: &'static str,
    /// Whether pseudonymous exports go without: it says freely who somebody is.
    is_telling: bool,
    cell: fn(&Row, &Names) -> String,
}

const fn column<Row>(
    name: &'static str,
    kind: &'static str,
    about: &'static str,
    cell: fn(&Row, &Names) -> String,
) -> Column<Row> {
    Column { name, kind, about, is_telling: false, cell }
}

const fn telling<Row>(
    name: &'static str,
    kind: &'static str,
    about: &'static str,
    cell: fn(&Row, &Names) -> String,
) -> Column<Row> {
    Column { name, kind, about, is_telling: true, cell }
}

/// What the codebook says of a column.
#[derive(Serialize)]
pub(super) struct Described {
    column: &'static str,
    #[serde(rename = "type")]
    kind: &'static str,
    meaning: &'static str,
}

/// A table's lines (RFC 4180: commas, quotes where they must be, CRLF).
pub(super) struct Table<Row: 'static> {
    columns: Vec<&'static Column<Row>>,
}

impl<Row> Table<Row> {
    pub(super) fn new(columns: &'static [Column<Row>], names: &Names) -> Self {
        let is_wanted = |column: &&Column<Row>| !(column.is_telling && names.are_pseudonyms());
        Self { columns: columns.iter().filter(is_wanted).collect() }
    }

    pub(super) fn head(&self) -> String {
        line(self.columns.iter().map(|column| column.name.to_owned()))
    }

    pub(super) fn line(&self, row: &Row, names: &Names) -> String {
        line(self.columns.iter().map(|column| (column.cell)(row, names)))
    }

    pub(super) fn codebook(&self) -> Vec<Described> {
        let described =
            |column: &&Column<Row>| Described { column: column.name, kind: column.kind, meaning: column.about };
        self.columns.iter().map(described).collect()
    }
}

fn line(cells: impl Iterator<Item = String>) -> String {
    let quoted = cells.map(|cell| {
        if cell.contains([',', '"', '\r', '\n']) { format!("\"{}\"", cell.replace('"', "\"\"")) } else { cell }
    });
    quoted.collect::<Vec<_>>().join(",") + "\r\n"
}

/// A spreadsheet runs what begins like a formula, and the client chose these words.
fn unrun(said: String) -> String {
    if said.starts_with(['=', '+', '-', '@', '\t', '\r']) { format!("'{said}") } else { said }
}

fn text(value: Option<impl ToString>) -> String {
    value.map(|value| value.to_string()).unwrap_or_default()
}

/// A photo in an export.
pub(super) struct PhotoRow {
    pub(super) capture: Capture,
    pub(super) session: Session,
    /// What the client said of it.
    pub(super) metadata: Map<String, Value>,
    pub(super) settings: Map<String, Value>,
    /// Its name in the archive, size and checksum there; `None`: it is not in it.
    pub(super) file: Option<(String, usize, [u8; 32])>,
    /// What is wrong with it; empty where nothing is.
    pub(super) problem: &'static str,
}

impl PhotoRow {
    fn said(&self, name: &str) -> String {
        word(self.metadata.get(name))
    }
    fn timing(&self, name: &str) -> String {
        word(self.metadata.get("timing").and_then(|timing| timing.get(name)))
    }
    /// What a pseudonymous export lets through: a number, or yes and no.
    fn number(&self, name: &str) -> String {
        let said = self.metadata.get("timing").and_then(|timing| timing.get(name));
        said.filter(|said| said.is_number() || said.is_boolean()).map(ToString::to_string).unwrap_or_default()
    }
}

/// A scalar of the client's.
fn word(said: Option<&Value>) -> String {
    match said {
        Some(Value::String(text)) => text.clone(),
        Some(other @ (Value::Number(_) | Value::Bool(_))) => other.to_string(),
        _ => String::new(),
    }
}

/// Of an empty text no name is made.
fn named(said: String, name: impl FnOnce(&str) -> String) -> String {
    if said.is_empty() { said } else { name(&said) }
}

pub(super) const CAPTURES: &[Column<PhotoRow>] = &[
    column("capture", "id", "The capture. A pseudonym where the export has pseudonyms.", |row, names| {
        names.capture(row.capture.id)
    }),
    column("session", "id", "The assessment session it was taken in; see sessions.csv.", |row, names| {
        names.session(row.capture.session_id)
    }),
    column("participant", "id", "Whose session it is.", |row, names| names.participant(row.session.user_id)),
    column("file", "path", "The photo in this archive; empty where it is not there: see problem.", |row, _| {
        text(row.file.as_ref().map(|file| &file.0))
    }),
    column(
        "problem",
        "word",
        "Empty: none. damaged, missing: the stored photo is not what was taken in, and is left out. not_shipped: it is \
         still on the server that took it, and is left out. not_stripped: its metadata could not be taken out of it, and \
         a pseudonymous export leaves it out. undecodable: it is here, and could not be decoded.",
        |row, _| row.problem.to_owned(),
    ),
    column("size_bytes", "integer", "Bytes of the file in this archive.", |row, _| {
        text(row.file.as_ref().map(|file| file.1))
    }),
    column("sha256", "hex", "SHA-256 of the file in this archive.", |row, _| {
        text(row.file.as_ref().map(|file| hex::encode(file.2)))
    }),
    column("content_type", "word", "Type of the photo, by its bytes.", |row, _| row.capture.content_type.clone()),
    column("width_px", "integer", "Width as stored, before it is turned upright.", |row, _| {
        row.capture.width_px.to_string()
    }),
    column("height_px", "integer", "Height as stored, before it is turned upright.", |row, _| {
        row.capture.height_px.to_string()
    }),
    column(
        "trigger",
        "word",
        "Why the frame was taken: INTERVAL (the clock), BUTTON_CLICK, MESSAGE_SEND, QUESTION_START (the page), MANUAL.",
        |row, _| row.capture.trigger.clone(),
    ),
    column(
        "assessment_type",
        "word",
        "What it belongs to: PHQ (questionnaire), LLM (conversation), GENERAL.",
        |row, _| row.capture.assessment_type.as_str().to_owned(),
    ),
    column("assessment", "id", "The questionnaire or conversation it is linked to; empty: none.", |row, names| {
        let capture = &row.capture;
        unrun(text(capture.assessment_id.as_deref().map(|id| names.assessment(capture.assessment_type, id))))
    }),
    column(
        "question",
        "text",
        "The question or message on the page when it was taken, as the page named it.",
        |row, names| unrun(named(row.said("question"), |said| names.question(said))),
    ),
    column("received_at", "time", "When the server had it, by the server's clock; UTC.", |row, _| {
        row.capture.received_at.to_string()
    }),
    column(
        "captured_at",
        "time",
        "When it was taken, by the client's clock, which may be wrong; as sent.",
        |row, names| unrun(named(text(row.capture.captured_at.as_deref()), |said| names.time(said))),
    ),
    column("due_at", "time", "When the clock of the page wanted it, by the client's clock.", |row, names| {
        unrun(named(row.timing("due_at"), |said| names.time(said)))
    }),
    column("run", "id", "The load of the page it was taken in: new at each reload.", |row, names| {
        unrun(named(row.timing("run"), |said| names.run(said)))
    }),
    column("sequence", "integer", "Its number within the run, from 0.", |row, _| row.number("sequence")),
    column("elapsed_ms", "number", "Milliseconds since the run began.", |row, _| row.number("elapsed_ms")),
    column("question_ms", "number", "Milliseconds since the question was shown.", |row, _| row.number("question_ms")),
    column("offline", "boolean", "Whether the browser had no network when it was taken.", |row, _| {
        row.number("offline")
    }),
    column(
        "recording_mode",
        "word",
        "The settings that let it in: INTERVAL, EVENT_DRIVEN; empty: there were none.",
        |row, _| word(row.settings.get("recording_mode")),
    ),
    column("interval_seconds", "integer", "The settings that let it in: seconds between frames.", |row, _| {
        word(row.settings.get("interval_seconds"))
    }),
    column(
        "processed_at",
        "time",
        "When its signs of quality were made; empty: not yet, and they are empty too.",
        |row, _| text(row.capture.processing.processed_at),
    ),
    column(
        "sharpness",
        "number",
        "The larger, the sharper: variance of the Laplacian. Compare frames of one camera.",
        |row, _| text(row.capture.processing.sharpness),
    ),
    column("brightness", "number", "0 (black) to 1 (white): the mean.", |row, _| {
        text(row.capture.processing.brightness)
    }),
    column("perceptual_hash", "hex", "64 bits; those of pictures that look alike differ in few.", |row, _| {
        text(row.capture.processing.perceptual_hash.map(|hash| format!("{hash:016x}")))
    }),
    column("near_duplicate_of", "id", "The capture before it, where it is nearly the same.", |row, names| {
        text(row.capture.processing.near_duplicate_of.map(|id| names.capture(id)))
    }),
    telling("filename", "text", "Its name on the server.", |row, _| row.capture.filename.clone()),
    telling("metadata", "JSON", "Everything the client said of it.", |row, _| row.capture.metadata.clone()),
];

/// A session in an export.
pub(super) struct SessionRow {
    pub(super) session: Session,
    pub(super) settings: Option<records::CameraSettings>,
    pub(super) captures: u64,
    pub(super) photos: u64,
}

pub(super) const SESSIONS: &[Column<SessionRow>] = &[
    column("session", "id", "The assessment session.", |row, names| names.session(row.session.id)),
    column("participant", "id", "Whose it is.", |row, names| names.participant(row.session.user_id)),
    column("opened_at", "time", "When it was registered; UTC.", |row, _| row.session.created_at.to_string()),
    column("ended_at", "time", "When it ended; empty: it is open.", |row, _| text(row.session.ended_at)),
    column("recording_mode", "word", "Its settings now: INTERVAL, EVENT_DRIVEN; empty: none.", |row, _| {
        text(row.settings.as_ref().map(|settings| settings.chosen.recording_mode.as_str()))
    }),
    column("interval_seconds", "integer", "Its settings now: seconds between frames.", |row, _| {
        text(row.settings.as_ref().and_then(|settings| settings.chosen.interval_seconds))
    }),
    column("resolution", "word", "Its settings now: width and height that pages ask the camera for.", |row, _| {
        text(row.settings.as_ref().map(|settings| &settings.chosen.resolution))
    }),
    column("captures", "integer", "Its captures, each a line of captures.csv.", |row, _| row.captures.to_string()),
    column("photos", "integer", "How many of their photos are in this archive.", |row, _| row.photos.to_string()),
];

/// A gap in an export.
pub(super) struct GapRow {
    pub(super) session: Uuid,
    pub(super) gap: Gap,
}

pub(super) const GAPS: &[Column<GapRow>] = &[
    column("session", "id", "The assessment session.", |row, names| names.session(row.session)),
    column("from", "time", "When the first missing frame was due, by the page's clock.", |row, _| row.gap.from.clone()),
    column("to", "time", "When the last one was.", |row, _| row.gap.to.clone()),
    column("missed", "integer", "How many frames are missing.", |row, _| row.gap.missed.to_string()),
    column(
        "reason",
        "word",
        "hidden: the page was hidden. asleep: the machine slept or the page was held up. thinned: the server asked for \
         fewer. refused, not_wanted: the server said no; see code. camera_ended, camera_muted: the camera went away, or is \
         switched off. queue_full: too many waited. encode_failed, slow: the browser made no JPEG, or was behind. paused: \
         the participant stopped the camera. not_running: no page was open. expired: it waited too long. deleted: it was \
         stored and deleted. unknown: nobody said.",
        |row, _| row.gap.reason.clone(),
    ),
    column("trigger", "word", "The event whose frame is missing; empty: frames of the clock.", |row, _| {
        text(row.gap.trigger.as_ref())
    }),
    column("question", "text", "The question or message on the page, as the page named it.", |row, names| {
        unrun(named(text(row.gap.question.as_ref()), |said| names.question(said)))
    }),
    column("code", "word", "The server's code, where it refused.", |row, _| text(row.gap.code.as_ref())),
];

/// The codebook in words, for who opens the archive and has no program at hand.
pub(super) fn readme(tables: &[(&str, &[Described])], are_pseudonyms: bool) -> String {
    let mut text = String::from(
        "A Filmgate export\n=================\n\n\
         photos/SESSION/CAPTURE.jpg  the photos, named as in captures.csv\n\
         captures.csv                a line for each photo\n\
         sessions.csv                a line for each assessment session\n\
         gaps.csv                    frames that were expected and are missing, and why\n\
         manifest.json               size and SHA-256 of every file, problems, totals, this codebook\n\n\
         Times are ISO 8601. An empty cell: not known, or does not apply. A text that a spreadsheet would run as a\n\
         formula has an apostrophe before it. The same captures give the same archive, to the byte.\n",
    );
    if are_pseudonyms {
        text.push_str(
            "\nParticipants, sessions, captures and assessments have pseudonyms. Who has the key can make them again;\n\
             nobody else gets back from them. Photos are without metadata. They still show faces, and times are as they\n\
             were: treat this archive as personal data.\n",
        );
    }
    let table = |(name, columns): &(&str, &[Described])| {
        let width = columns.iter().map(|column| column.column.len()).max().unwrap_or(0);
        let line = |it: &Described| format!("{:width$}  {}: {}\n", it.column, it.kind, it.meaning);
        format!("\n{name}\n{}\n{}", "-".repeat(name.len()), columns.iter().map(line).collect::<String>())
    };
    text.extend(tables.iter().map(table));
    text
}

/// An object of JSON, or an empty one.
pub(super) fn object(json: Option<&str>) -> Map<String, Value> {
    match json.and_then(|json| serde_json::from_str(json).ok()) {
        Some(Value::Object(members)) => members,
        _ => Map::new(),
    }
}

/// A file's line in the manifest.
pub(super) fn listed(name: &str, size_bytes: u64, sha256: &[u8; 32]) -> String {
    json!({ "name": name, "size_bytes": size_bytes, "sha256": hex::encode(sha256) }).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_are_quoted_and_formulas_are_not_run() {
        let cells = ["plain", "a,b", "say \"x\"", "two\nlines"].map(str::to_owned);
        assert_eq!(line(cells.into_iter()), "plain,\"a,b\",\"say \"\"x\"\"\",\"two\nlines\"\r\n");
        assert_eq!(unrun("=cmd|' /C calc'!A0".to_owned()), "'=cmd|' /C calc'!A0");
        assert_eq!(unrun("phq9-1".to_owned()), "phq9-1");
    }

    #[test]
    fn every_column_has_a_name_of_its_own_and_words() {
        let table = Table::new(CAPTURES, &Names::Stored);
        let mut seen: Vec<&str> = table.codebook().iter().map(|column| column.column).collect();
        assert!(table.codebook().iter().all(|column| column.meaning.ends_with('.')));
        seen.sort_unstable();
        seen.dedup();
        assert_eq!(seen.len(), CAPTURES.len());
    }
}
