//! The last hour in figures, for the operator's page: how much came, how much was refused, how long it took, what waits.
//!
//! **Owns** the history of this process, a sample each [`SAMPLE_EVERY`], [`SAMPLES_MAX`] of them and no more.
//! **Promises** that nothing is counted twice: a sample is what `/metrics` says, less what it said before, so that the
//! page and a dashboard over Prometheus cannot disagree; and that no upload waits for it.
//! **Leaves** to Prometheus what is older than an hour, and what other nodes did.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use serde::{Serialize, Serializer};
use utoipa::ToSchema;

use crate::app::{App, node_name};

/// Between two samples.
pub const SAMPLE_EVERY: Duration = Duration::from_secs(5);
/// An hour of them, some hundred kilobytes.
const SAMPLES_MAX: usize = 720;
/// The routes that photos come by.
const UPLOADS: [&str; 2] = ["/assessment/camera/upload", "/assessment/camera/upload-single/{session_id}"];

/// What happened between one look and the next, and how things stood at its end.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
pub struct Sample {
    /// When it ended, RFC 3339.
    #[serde(serialize_with = "as_text")]
    #[schema(value_type = String, format = DateTime)]
    pub at: Timestamp,
    /// Uploads answered with a 2xx, each second.
    pub uploads_per_second: f64,
    /// Uploads answered with anything else, each second.
    pub refused_per_second: f64,
    /// Captures stored, each second.
    pub captures_per_second: f64,
    /// Their bytes, each second.
    pub bytes_per_second: f64,
    /// From an upload's header to its answer: half took no longer, in milliseconds; `null`: there was none.
    pub answer_p50_ms: Option<f64>,
    /// As before, of 95 in 100.
    pub answer_p95_ms: Option<f64>,
    /// As before, of 99 in 100.
    pub answer_p99_ms: Option<f64>,
    /// Uploads under way.
    pub uploads_in_flight: f64,
    /// Pieces of disk work that wait for a worker.
    pub disk_queue: f64,
    /// Writes that wait for the catalog.
    pub catalog_write_queue: f64,
    /// Tasks that wait, or wait to be run again; on a catalog that nodes share, all of them.
    pub tasks_waiting: f64,
    /// Dead letters.
    pub tasks_failed: f64,
    /// Free on the photo disk; `null`: it cannot be asked.
    pub disk_free_bytes: Option<f64>,
    /// How far apart frames of the timer are asked for; 0: nothing is asked.
    pub hint_interval_seconds: f64,
    /// The JPEG quality that is asked for, from 0 to 1; 1: nothing is asked.
    pub hint_quality: f64,
    /// Answers that asked for less, each second.
    pub hints_per_second: f64,
    /// Frames of the timer that were refused so that those of events find a place, each second.
    pub interval_frames_refused_per_second: f64,
}

/// How often something was refused since the server began.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Refused {
    /// The error's code.
    pub code: String,
    /// How often.
    pub count: f64,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde hands over a reference")]
fn as_text<S: Serializer>(at: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(at)
}

/// The figures of this process.
#[derive(Default)]
pub struct Figures {
    history: Mutex<History>,
    node: OnceLock<String>,
}

#[derive(Default)]
struct History {
    samples: VecDeque<Sample>,
    refused: Vec<Refused>,
    began: Option<Timestamp>,
    before: Option<(Instant, Reading)>,
}

impl Figures {
    fn lock(&self) -> MutexGuard<'_, History> {
        self.history.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The samples after this moment; without one, all there are.
    pub fn samples(&self, since: Option<Timestamp>) -> Vec<Sample> {
        let is_new = |sample: &&Sample| since.is_none_or(|since| sample.at > since);
        self.lock().samples.iter().filter(is_new).copied().collect()
    }

    /// What was refused since the start, the most frequent first.
    pub fn refused(&self) -> Vec<Refused> {
        self.lock().refused.clone()
    }

    /// When the server began.
    pub fn began(&self) -> Option<Timestamp> {
        self.lock().began
    }

    /// What this node is called: the machine, and where several share a catalog, the end of the name it has there.
    pub fn node(&self, app: &App) -> String {
        let name = || {
            let machine = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
            let machine = if machine.trim().is_empty() { "filmgate" } else { machine.trim() };
            let shared = app.records.is_shared().then(|| node_name(&app.config.data_dir).ok()).flatten();
            match shared.as_deref().and_then(|name| name.get(name.len().saturating_sub(8)..)) {
                Some(end) => format!("{machine}/{end}"),
                None => machine.to_owned(),
            }
        };
        self.node.get_or_init(name).clone()
    }

    fn take(&self, text: &str, at: Timestamp, now: Instant) {
        let reading = Reading::of(text);
        let mut history = self.lock();
        history.began.get_or_insert(at);
        if let Some((then, before)) = history.before.take() {
            let sample = reading.since(&before, at, now.saturating_duration_since(then));
            if history.samples.len() == SAMPLES_MAX {
                history.samples.pop_front();
            }
            history.samples.push_back(sample);
        }
        history.refused.clone_from(&reading.refused_by_code);
        history.before = Some((now, reading));
    }
}

/// Takes samples for as long as the server runs.
pub async fn take_samples(app: App) {
    let mut ticks = tokio::time::interval(SAMPLE_EVERY);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        // What is asked of cameras goes away with time, and nobody else looks while nobody uploads.
        app.intake.wish();
        match app.metrics.encode(app.blobs.free_bytes().ok()) {
            Ok(text) => app.figures.take(&text, app.now(), Instant::now()),
            Err(error) => tracing::warn!(%error, "a sample of the figures was left out"),
        }
    }
}

/// What `/metrics` says at one moment, as far as a sample is made of it.
#[derive(Default)]
struct Reading {
    answered: f64,
    refused: f64,
    captures: f64,
    bytes: f64,
    hints: f64,
    interval_frames_refused: f64,
    /// Upper bounds in seconds, and how many answers took no longer.
    answer_seconds: Vec<(f64, f64)>,
    uploads_in_flight: f64,
    disk_queue: f64,
    catalog_write_queue: f64,
    tasks_waiting: f64,
    tasks_failed: f64,
    disk_free_bytes: f64,
    hint_interval_seconds: f64,
    hint_quality: f64,
    refused_by_code: Vec<Refused>,
}

impl Reading {
    fn of(text: &str) -> Self {
        let mut reading = Self::default();
        for line in text.lines() {
            if let Some((name, labels, value)) = sample_of(line) {
                reading.add(name, labels, value);
            }
        }
        reading.answer_seconds.sort_by(|(a, _), (b, _)| a.total_cmp(b));
        reading.refused_by_code.sort_by(|a, b| b.count.total_cmp(&a.count).then_with(|| a.code.cmp(&b.code)));
        reading
    }

    fn add(&mut self, name: &str, labels: &str, value: f64) {
        let is_upload = || label(labels, "route").is_some_and(|route| UPLOADS.contains(&route));
        match name {
            "http_requests_total" if is_upload() && label(labels, "method") == Some("POST") => {
                let is_success = label(labels, "status").is_some_and(|status| status.starts_with('2'));
                *(if is_success { &mut self.answered } else { &mut self.refused }) += value;
            }
            "http_request_seconds_bucket" if is_upload() => {
                let Some(bound) = label(labels, "le").and_then(|bound| bound.parse::<f64>().ok()) else { return };
                match self.answer_seconds.iter_mut().find(|(known, _)| known.total_cmp(&bound).is_eq()) {
                    Some((_, count)) => *count += value,
                    None => self.answer_seconds.push((bound, value)),
                }
            }
            "refusals_total" => {
                let code = label(labels, "code").unwrap_or_default().to_owned();
                self.refused_by_code.push(Refused { code, count: value });
            }
            "tasks" => match label(labels, "state") {
                Some("PENDING" | "RETRY") => self.tasks_waiting += value,
                Some("FAILURE") => self.tasks_failed += value,
                _ => {}
            },
            "captures_stored_total" => self.captures = value,
            "bytes_stored_total" => self.bytes = value,
            "hints_total" => self.hints = value,
            "interval_frames_refused_total" => self.interval_frames_refused = value,
            "uploads_in_flight" => self.uploads_in_flight = value,
            "disk_queue" => self.disk_queue = value,
            "catalog_write_queue" => self.catalog_write_queue = value,
            "disk_free_bytes" => self.disk_free_bytes = value,
            "hint_interval_seconds" => self.hint_interval_seconds = value,
            "hint_quality" => self.hint_quality = value,
            _ => {}
        }
    }

    fn since(&self, before: &Self, at: Timestamp, passed: Duration) -> Sample {
        let seconds = passed.as_secs_f64().max(0.001);
        let per_second = |of: fn(&Self) -> f64| rounded((of(self) - of(before)).max(0.0) / seconds);
        let took =
            |share| quantile(&self.answer_seconds, &before.answer_seconds, share).map(|took| rounded(took * 1e3));
        Sample {
            at,
            uploads_per_second: per_second(|reading| reading.answered),
            refused_per_second: per_second(|reading| reading.refused),
            captures_per_second: per_second(|reading| reading.captures),
            bytes_per_second: per_second(|reading| reading.bytes),
            answer_p50_ms: took(0.5),
            answer_p95_ms: took(0.95),
            answer_p99_ms: took(0.99),
            uploads_in_flight: self.uploads_in_flight,
            disk_queue: self.disk_queue,
            catalog_write_queue: self.catalog_write_queue,
            tasks_waiting: self.tasks_waiting,
            tasks_failed: self.tasks_failed,
            disk_free_bytes: (self.disk_free_bytes >= 0.0).then_some(self.disk_free_bytes),
            hint_interval_seconds: rounded(self.hint_interval_seconds),
            hint_quality: rounded(self.hint_quality),
            hints_per_second: per_second(|reading| reading.hints),
            interval_frames_refused_per_second: per_second(|reading| reading.interval_frames_refused),
        }
    }
}

/// Name without `filmgate_`, labels and value of a line of OpenMetrics text.
fn sample_of(line: &str) -> Option<(&str, &str, f64)> {
    let (series, value) = line.strip_prefix("filmgate_")?.rsplit_once(' ')?;
    // A route has braces of its own, within the labels'.
    let (name, labels) = match series.split_once('{') {
        Some((name, labels)) => (name, labels.strip_suffix('}')?),
        None => (series, ""),
    };
    Some((name, labels, value.parse().ok()?))
}

fn label<'line>(labels: &'line str, name: &str) -> Option<&'line str> {
    labels.split(',').find_map(|pair| pair.strip_prefix(name)?.strip_prefix("=\"")?.strip_suffix('"'))
}

/// The value that this share did not exceed, as Prometheus reckons it: within a bucket, as if evenly spread.
fn quantile(now: &[(f64, f64)], before: &[(f64, f64)], share: f64) -> Option<f64> {
    let earlier =
        |bound: f64| before.iter().find(|(known, _)| known.total_cmp(&bound).is_eq()).map_or(0.0, |found| found.1);
    let counts: Vec<(f64, f64)> = now.iter().map(|&(bound, count)| (bound, count - earlier(bound))).collect();
    let wanted = counts.last()?.1 * share;
    if wanted <= 0.0 {
        return None;
    }
    let mut below = (0.0, 0.0);
    for &(bound, count) in &counts {
        if count >= wanted {
            // Above the last bound nothing is known but that.
            let share = (wanted - below.1) / (count - below.1);
            return Some(if bound.is_finite() { below.0 + (bound - below.0) * share } else { below.0 });
        }
        below = (bound, count);
    }
    None
}

/// To a thousandth: more is noise.
fn rounded(value: f64) -> f64 {
    (value * 1e3).round() / 1e3
}

#[cfg(test)]
mod tests {
    use super::*;

    const BEFORE: &str = r#"# TYPE filmgate_http_requests counter
filmgate_http_requests_total{method="POST",route="/assessment/camera/upload",status="200"} 10
filmgate_http_requests_total{method="GET",route="/",status="200"} 99
filmgate_captures_stored_total 30
filmgate_tasks{kind="process",state="PENDING"} 4
filmgate_tasks{kind="deliver",state="RETRY"} 1
filmgate_tasks{kind="process",state="FAILURE"} 2
filmgate_disk_free_bytes -1
filmgate_http_request_seconds_bucket{le="0.001",route="/assessment/camera/upload"} 10
filmgate_http_request_seconds_bucket{le="+Inf",route="/assessment/camera/upload"} 10
# EOF
"#;
    const AFTER: &str = r#"filmgate_http_requests_total{method="POST",route="/assessment/camera/upload",status="200"} 20
filmgate_http_requests_total{method="POST",route="/assessment/camera/upload-single/{session_id}",status="202"} 5
filmgate_http_requests_total{method="POST",route="/assessment/camera/upload",status="503"} 2
filmgate_refusals_total{code="overloaded"} 2
filmgate_refusals_total{code="not_found"} 7
filmgate_captures_stored_total 80
filmgate_disk_free_bytes 1000
filmgate_hint_interval_seconds 2.378414230005442
filmgate_http_request_seconds_bucket{le="0.001",route="/assessment/camera/upload"} 15
filmgate_http_request_seconds_bucket{le="0.002",route="/assessment/camera/upload"} 20
filmgate_http_request_seconds_bucket{le="+Inf",route="/assessment/camera/upload"} 20
filmgate_http_request_seconds_bucket{le="0.001",route="/assessment/camera/upload-single/{session_id}"} 0
filmgate_http_request_seconds_bucket{le="0.002",route="/assessment/camera/upload-single/{session_id}"} 0
filmgate_http_request_seconds_bucket{le="+Inf",route="/assessment/camera/upload-single/{session_id}"} 5
"#;

    #[test]
    fn a_sample_is_what_came_between_two_readings() {
        let figures = Figures::default();
        let (then, at) = (Instant::now(), Timestamp::UNIX_EPOCH);
        figures.take(BEFORE, at, then);
        assert!(figures.samples(None).is_empty(), "one reading tells nothing of a second");
        figures.take(AFTER, at, then + Duration::from_secs(5));
        let samples = figures.samples(None);
        let sample = serde_json::to_value(samples[0]).unwrap();
        let expected = [
            ("uploads_per_second", 3.0),
            ("refused_per_second", 0.4),
            ("captures_per_second", 10.0),
            ("tasks_waiting", 0.0),
            ("disk_free_bytes", 1000.0),
            ("hint_interval_seconds", 2.378),
        ];
        for (name, value) in expected {
            assert_eq!(sample[name], value, "{name} of {sample}");
        }
        let refused: Vec<_> = figures.refused().into_iter().map(|refused| (refused.code, refused.count)).collect();
        assert_eq!(refused, [("not_found".to_owned(), 7.0), ("overloaded".to_owned(), 2.0)]);
    }

    #[test]
    fn gauges_are_as_they_stand_and_silence_is_no_number() {
        let figures = Figures::default();
        let then = Instant::now();
        figures.take(BEFORE, Timestamp::UNIX_EPOCH, then);
        figures.take(BEFORE, Timestamp::UNIX_EPOCH, then + Duration::from_secs(5));
        let sample = figures.samples(None)[0];
        assert_eq!((sample.tasks_waiting, sample.tasks_failed), (5.0, 2.0));
        assert_eq!((sample.uploads_per_second, sample.answer_p99_ms, sample.disk_free_bytes), (0.0, None, None));
    }

    #[test]
    fn quantiles_are_those_of_the_time_between() {
        let before = [(0.001, 10.0), (0.002, 10.0), (f64::INFINITY, 10.0)];
        let now = [(0.001, 15.0), (0.002, 20.0), (f64::INFINITY, 25.0)];
        // Fifteen came: five below 1 ms, five below 2 ms, five above.
        let found = [0.2, 0.99].map(|share| quantile(&now, &before, share));
        assert_eq!(found, [Some(0.000_6), Some(0.002)]);
        assert_eq!(quantile(&before, &before, 0.5), None);
    }

    #[test]
    fn an_hour_is_kept_and_no_more() {
        let figures = Figures::default();
        let then = Instant::now();
        for step in 0..SAMPLES_MAX + 10 {
            let at = Timestamp::from_second(i64::try_from(step).unwrap()).unwrap();
            figures.take(AFTER, at, then + SAMPLE_EVERY * u32::try_from(step).unwrap());
        }
        assert_eq!(figures.samples(None).len(), SAMPLES_MAX);
        let since = Timestamp::from_second(i64::try_from(SAMPLES_MAX + 7).unwrap()).unwrap();
        assert_eq!(figures.samples(Some(since)).len(), 2);
        assert_eq!(figures.began(), Some(Timestamp::UNIX_EPOCH));
    }
}
