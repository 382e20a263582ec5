//! The report: put together from what was counted, and told in lines.

use std::collections::BTreeMap;
use std::fmt::Write;

use crate::client::Failure;
use crate::drive::Found;
use crate::photo::PhotoKind;
use crate::report::{
    Bin, ClientFigures, Counted, FORMAT, LoadFigures, Percentiles, Quantile, Quick, QuickFigures, Report, SlowFigures,
    Step, Timeline, Times, Uploads,
};
use crate::tally::{Clockings, QuickTally};
use crate::words::{bytes, count, rate, share, time};

/// Later than this, and by more than a tenth of what is measured, is too late to be overlooked.
const LAG_SECONDS_MAX: f64 = 0.005;
const LAG_SHARE_MAX: f64 = 0.1;
/// Above this share of its threads' time a client has nothing left to be punctual with.
const BUSY_SHARE_MAX: f64 = 0.85;

impl Report {
    /// Puts the figures of a run together.
    #[allow(clippy::cast_precision_loss, reason = "counts of a run are far below 2^53")]
    pub(crate) fn of(found: &Found<'_>) -> Self {
        let Found { load, tally, .. } = found;
        let seconds = found.measured.as_secs_f64().max(1e-9);
        let is_open = !load.interval.is_zero();
        let latency = tally.latency.times();
        let lag = if is_open { tally.lag.times() } else { Times::default() };
        let threads = found.threads;
        let cpu_share = found.processor.used / seconds / threads.max(1) as f64;
        let is_late = lag.p99 > LAG_SECONDS_MAX && lag.p99 > latency.p99 * LAG_SHARE_MAX;
        let is_busy = cpu_share > BUSY_SHARE_MAX;
        let warnings = warnings(found, &lag, is_late, is_busy, cpu_share);
        let uploads = Uploads {
            due: tally.due,
            taken: tally.taken,
            refused: tally.refused(),
            failed: tally.failed(),
            captures_stored: tally.stored,
            tasks_queued: tally.queued,
            captures_skipped: tally.skipped,
            due_per_second: tally.due as f64 / seconds,
            taken_per_second: tally.taken_in_time as f64 / seconds,
            photos_per_second: tally.stored_in_time as f64 / seconds,
            bytes_per_second: tally.taken_in_time as f64 * found.photo.length() as f64 / seconds,
            latency_seconds: latency,
            from_sending_seconds: tally.from_sending.times(),
            refused_after_seconds: tally.refused_after.times(),
            refusals: refusals(&tally.refusals),
            failures: failures(&tally.failures),
        };
        let all = |at: usize, measured: u64, slow: u64| found.before[at] + measured + slow;
        Self {
            format: FORMAT,
            program: format!("filmgate {}", env!("CARGO_PKG_VERSION")),
            url: found.target.url().to_owned(),
            began_at: found.began_at.to_string(),
            is_interrupted: found.is_interrupted,
            load: LoadFigures {
                kind: if is_open { "open" } else { "closed" },
                users: found.cameras,
                sessions: found.sessions,
                interval_seconds: load.interval.as_secs_f64(),
                arrivals: load.arrivals.name(),
                duration_seconds: found.measured.as_secs_f64(),
                warm_up_seconds: load.warm_up.as_secs_f64(),
                photo: match found.photo.kind() {
                    PhotoKind::Synthetic => "synthetic",
                    PhotoKind::File => "file",
                },
                photo_bytes: found.photo.length(),
                slow_uploads: load.slow.uploads,
                slow_bytes_per_second: load.slow.bytes_per_second,
                quick_interval_seconds: load.quick_interval.as_secs_f64(),
                give_up_after_seconds: load.give_up_after.as_secs_f64(),
                in_flight_max: load.in_flight_max,
                seed: load.seed,
            },
            quick: found.beside.as_ref().map(|beside| {
                let alone = found.alone.as_ref().map(quick_figures);
                let beside = quick_figures(beside);
                let ratio = alone.as_ref().filter(|alone| alone.latency_seconds.p99 > 0.0);
                let p99_ratio = ratio.map(|alone| beside.latency_seconds.p99 / alone.latency_seconds.p99);
                Quick { route: format!("GET {}", found.route), alone, beside, p99_ratio }
            }),
            slow: (load.slow.uploads > 0).then(|| SlowFigures {
                asked_for: load.slow.uploads,
                held_at_begin: found.slow_held[0],
                held_at_end: found.slow_held[1],
                opening_seconds: found.slow_opening.as_secs_f64(),
                captures_stored: found.slow.stored,
                tasks_queued: found.slow.queued,
                let_go: found.slow_let_go,
                refusals: refusals(&found.slow.refusals),
                failures: failures(&found.slow.failures),
            }),
            client: ClientFigures {
                is_bottleneck: is_late || is_busy,
                lag_seconds: lag,
                threads,
                cpu_seconds: found.processor.used,
                cpu_share,
                waited_for_cpu_seconds: found.processor.waited,
                connections_opened: found.connections,
            },
            timeline: Timeline {
                bin_seconds: tally.bin_seconds(),
                bins: tally
                    .bins
                    .iter()
                    .enumerate()
                    .map(|(at, bin)| {
                        let times = bin.latency.times();
                        Bin {
                            at_seconds: at as f64 * tally.bin_seconds(),
                            due: bin.due,
                            taken: bin.taken,
                            refused: bin.refused,
                            failed: bin.failed,
                            p50: times.p50,
                            p99: times.p99,
                            max: times.max,
                        }
                    })
                    .collect(),
            },
            histogram: tally
                .latency
                .steps()
                .into_iter()
                .map(|(from_seconds, to_seconds, count)| Step { from_seconds, to_seconds, count })
                .collect(),
            percentiles: Percentiles {
                latency: curve(Some(&tally.latency)),
                from_sending: curve(Some(&tally.from_sending)),
                quick_alone: curve(found.alone.as_ref().map(|quick| &quick.latency)),
                quick_beside: curve(found.beside.as_ref().map(|quick| &quick.latency)),
            },
            captures_stored_in_all: all(0, tally.stored, found.slow.stored),
            tasks_queued_in_all: all(1, tally.queued, found.slow.queued),
            uploads,
            warnings,
        }
    }

    /// The report in lines.
    pub fn text(&self) -> String {
        let mut out = String::new();
        let mut line = |name: &str, words: String| {
            // Writing to a string cannot fail.
            let _written = writeln!(out, "{name:<16} {words}").is_ok();
        };
        for warning in &self.warnings {
            line("NOTE", warning.clone());
        }
        let load = &self.load;
        line("server", self.url.clone());
        line("load", self.load_words());
        let uploads = &self.uploads;
        if load.users > 0 {
            line(
                "uploads",
                format!(
                    "{} due, {} taken, {} refused, {} failed",
                    count(uploads.due),
                    count(uploads.taken),
                    count(uploads.refused),
                    count(uploads.failed)
                ),
            );
            line(
                "throughput",
                format!(
                    "{} uploads/s of {} due, {}/s",
                    rate(uploads.taken_per_second),
                    rate(uploads.due_per_second),
                    bytes(uploads.bytes_per_second)
                ),
            );
            line("latency", times(&uploads.latency_seconds));
            line("  from sending", times(&uploads.from_sending_seconds));
            for (name, counted) in [("refused", &uploads.refusals), ("failed", &uploads.failures)] {
                for one in counted {
                    line(name, counted_words(one));
                }
            }
        }
        if let Some(slow) = &self.slow {
            line(
                "slow uploads",
                format!(
                    "{} held at the beginning and {} at the end of {} asked for, at {}/s each; {} stored, {} let go",
                    count(slow.held_at_begin as u64),
                    count(slow.held_at_end as u64),
                    count(slow.asked_for as u64),
                    bytes(f64::from(load.slow_bytes_per_second)),
                    count(slow.captures_stored + slow.tasks_queued),
                    count(slow.let_go)
                ),
            );
            for one in slow.refusals.iter().chain(&slow.failures) {
                line("  not held", counted_words(one));
            }
        }
        if let Some(quick) = &self.quick {
            line("quick route", quick.route.clone());
            for (name, figures) in [("  alone", quick.alone.as_ref()), ("  beside it", Some(&quick.beside))] {
                if let Some(figures) = figures {
                    let bad = figures.refused + figures.failed;
                    let bad = if bad > 0 { format!("; {} NOT ANSWERED WELL", count(bad)) } else { String::new() };
                    line(name, times(&figures.latency_seconds) + &bad);
                }
            }
            if let Some(ratio) = quick.p99_ratio {
                line("  p99 ratio", format!("{ratio:.2}"));
            }
        }
        let client = &self.client;
        let lag = if load.kind == "open" {
            format!("late by p99 {}, longest {}; ", time(client.lag_seconds.p99), time(client.lag_seconds.max))
        } else {
            String::new()
        };
        line(
            "this client",
            format!(
                "{lag}{} of {} threads, waited {} for a processor, {} connections",
                share(client.cpu_share),
                client.threads,
                time(client.waited_for_cpu_seconds),
                count(client.connections_opened)
            ),
        );
        line("stored in all", count(self.captures_stored_in_all + self.tasks_queued_in_all));
        out
    }

    /// The load in one sentence.
    pub(crate) fn load_words(&self) -> String {
        let load = &self.load;
        let photo = format!("{} photo of {}", load.photo, bytes(load.photo_bytes_f64()));
        let who = match (load.users, load.kind) {
            (0, _) => "no users".to_owned(),
            (users, "open") => format!(
                "{} users, one photo every {} each, {} ({} uploads/s)",
                count(users as u64),
                time(load.interval_seconds),
                load.arrivals,
                rate(self.uploads.due_per_second)
            ),
            (users, _) => format!("{} users, each as soon as it was answered (closed loop)", count(users as u64)),
        };
        format!("{who}; {photo}; {} after {} of warm-up", time(load.duration_seconds), time(load.warm_up_seconds))
    }
}

impl LoadFigures {
    #[allow(clippy::cast_precision_loss, reason = "a photo's size")]
    fn photo_bytes_f64(&self) -> f64 {
        self.photo_bytes as f64
    }
}

fn warnings(found: &Found<'_>, lag: &Times, is_late: bool, is_busy: bool, cpu_share: f64) -> Vec<String> {
    let mut warnings = Vec::new();
    let tally = &found.tally;
    if is_late {
        warnings.push(format!(
            "this client was itself the bottleneck: it sent uploads late (p99 {}), and the latencies hold that too. Use \
             a machine of its own, more --threads, or fewer users",
            time(lag.p99)
        ));
    }
    if is_busy {
        warnings.push(format!(
            "this client was itself the bottleneck: its threads were busy for {} of the time",
            share(cpu_share)
        ));
    }
    if found.held_back > 0 {
        warnings.push(format!(
            "{} requests waited for one of the {} places under way at once (--in-flight-max), and that is in their \
             latency",
            count(found.held_back),
            count(found.load.in_flight_max as u64)
        ));
    }
    if tally.failed() > 0 {
        warnings.push(format!(
            "{} uploads were not answered; how long they waited is not in the latencies",
            count(tally.failed())
        ));
    }
    if tally.skipped > 0 {
        warnings.push(format!("{} captures were skipped: the settings do not want them", count(tally.skipped)));
    }
    if found.load.interval.is_zero() && found.cameras > 0 {
        warnings.push(
            "a closed loop: users wait for their answers, so that a stall delays what would have been measured. These \
             latencies flatter; throughput is what it is for"
                .to_owned(),
        );
    }
    if found.slow_held[0] < found.load.slow.uploads {
        warnings.push(format!(
            "only {} of {} slow uploads were held",
            count(found.slow_held[0] as u64),
            count(found.load.slow.uploads as u64)
        ));
    }
    if found.is_interrupted {
        warnings.push("interrupted: the figures are of the time until then".to_owned());
    }
    warnings
}

fn refusals(counted: &BTreeMap<String, (u64, String)>) -> Vec<Counted> {
    let mut all: Vec<_> = counted
        .iter()
        .map(|(code, (count, words))| Counted { code: code.clone(), count: *count, words: words.clone() })
        .collect();
    all.sort_by_key(|one| std::cmp::Reverse(one.count));
    all
}

fn failures(counted: &BTreeMap<Failure, u64>) -> Vec<Counted> {
    let one = |(failure, count): (&Failure, &u64)| Counted {
        code: failure.words().to_owned(),
        count: *count,
        words: String::new(),
    };
    counted.iter().map(one).collect()
}

fn quick_figures(quick: &QuickTally) -> QuickFigures {
    QuickFigures {
        asked: quick.asked,
        answered: quick.answered,
        refused: quick.refused,
        failed: quick.failed,
        latency_seconds: quick.latency.times(),
    }
}

fn curve(clockings: Option<&Clockings>) -> Vec<Quantile> {
    let points = clockings.map(Clockings::curve).unwrap_or_default();
    points.into_iter().map(|(quantile, seconds)| Quantile { quantile, seconds }).collect()
}

pub(crate) fn counted_words(one: &Counted) -> String {
    let words = if one.words.is_empty() { String::new() } else { format!(": {}", one.words.trim_end()) };
    format!("{} x {}{words}", count(one.count), one.code)
}

pub(crate) fn times(times: &Times) -> String {
    if times.samples == 0 {
        return "nothing was answered".to_owned();
    }
    let [p50, p90, p99, p999, max] = [times.p50, times.p90, times.p99, times.p999, times.max].map(time);
    format!("p50 {p50}, p90 {p90}, p99 {p99}, p99.9 {p999}, longest {max}")
}
