//! The report as one page: figures first, then when, how long, and who said no. Nothing is fetched, no script runs.

use crate::plot::{Axis, Plot, escaped, put};
use crate::report::{Bin, Quantile, Report, Times};
use crate::words::{bytes, count, rate, round_time, share, time};

const STYLE: &str = include_str!("report.css");

impl Report {
    /// The page, with the report as JSON inside it for programs.
    pub fn html(&self) -> serde_json::Result<String> {
        let mut page = String::new();
        let mut add = |text: &str| page.push_str(text);
        add("<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\">");
        add("<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">");
        add("<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">");
        add(&format!("<title>Filmgate bench: {}</title><style>{STYLE}</style></head><body><main>", escaped(&self.url)));
        add(&format!(
            "<header><div class=\"film\">{}</div><h1>{}</h1><p>{}</p></header>",
            "<i></i>".repeat(9),
            escaped(&self.url),
            escaped(&format!(
                "{}. {}",
                self.load_words(),
                &self.began_at.get(..19).unwrap_or_default().replace('T', " ")
            )),
        ));
        if !self.warnings.is_empty() {
            let notes = each(&self.warnings, |warning| format!("<li>{}</li>", escaped(&capital(warning))));
            add(&format!("<ul class=\"notes\">{notes}</ul>"));
        }
        add(&self.figures());
        add("<section class=\"plots\">");
        if self.load.users > 0 {
            add(&self.throughput());
            add(&self.latency_by_time());
            add(&self.latency_by_share());
            add(&self.latency_by_count());
        }
        add(&self.quick_route());
        add(&self.asked_for());
        add(&self.said_no());
        add(&self.table());
        add("</section>");
        add(&format!(
            "<footer><p>{}</p><p>Made by <code>{}</code>. The figures as JSON stand in this page's \
             <code>#report</code>.</p></footer>",
            "Latency counts from the moment an upload was due, not from when it was sent: a server that stalls shows it \
             in every upload that was due meanwhile. Nothing is sent twice.",
            escaped(&self.program),
        ));
        let json = serde_json::to_string(self)?.replace('<', "\\u003c");
        add(&format!("<script type=\"application/json\" id=\"report\">{json}</script></main></body></html>\n"));
        Ok(page)
    }

    fn figures(&self) -> String {
        let uploads = &self.uploads;
        let mut cards = String::new();
        let mut card = |name: &str, value: &str, unit: &str, aside: &str, is_bad: bool| {
            let bad = if is_bad { " bad" } else { "" };
            put(
                &mut cards,
                format_args!(
                    "<dl class=\"card figure{bad}\"><dt>{name}</dt><dd>{} <small>{unit}</small></dd>\
                 <dd class=\"aside\">{}</dd></dl>",
                    escaped(value),
                    escaped(aside)
                ),
            );
        };
        if self.load.users > 0 {
            let due = format!("of {} due; {}/s", rate(uploads.due_per_second), bytes(uploads.bytes_per_second));
            card("Uploads", &rate(uploads.taken_per_second), "/ s", &due, false);
            let latency = &uploads.latency_seconds;
            for (name, value, other, words) in [
                ("Latency, median", latency.p50, latency.mean, "mean"),
                ("Latency, p99", latency.p99, latency.max, "longest"),
            ] {
                let (value, unit) = split(&time(value));
                card(name, &value, &unit, &format!("{words} {}", time(other)), false);
            }
            let bad = uploads.refused + uploads.failed;
            let aside = format!("{} refused, {} failed", count(uploads.refused), count(uploads.failed));
            card("Taken", &count(uploads.taken), &format!("of {}", count(uploads.due)), &aside, bad > 0);
        }
        if let Some(slow) = &self.slow {
            let aside = format!(
                "at {}/s; {} stored",
                bytes(f64::from(self.load.slow_bytes_per_second)),
                count(slow.captures_stored + slow.tasks_queued)
            );
            let is_bad = !slow.refusals.is_empty() || !slow.failures.is_empty();
            card(
                "Held slow",
                &count(slow.held_at_end as u64),
                &format!("of {}", count(slow.asked_for as u64)),
                &aside,
                is_bad,
            );
        }
        if let Some(quick) = &self.quick {
            let (value, unit) = split(&time(quick.beside.latency_seconds.p99));
            let bad = quick.beside.refused + quick.beside.failed;
            let ratio = quick
                .p99_ratio
                .map_or_else(|| "p99 beside the load".to_owned(), |ratio| format!("{ratio:.2} times of alone"));
            let aside = if bad > 0 { format!("{} not answered well", count(bad)) } else { ratio };
            card("Quick route, p99", &value, &unit, &aside, bad > 0);
        }
        format!("<section class=\"figures\">{cards}</section>")
    }

    fn throughput(&self) -> String {
        let width = self.timeline.bin_seconds;
        let bins = whole(&self.timeline.bins, width, self.load.duration_seconds);
        let per_second = |number: u64| precise(number) / width;
        let most = bins.iter().map(|bin| per_second(bin.due)).fold(1.0, f64::max);
        let x = self.time_axis();
        let mut plot = Plot::new(x, Axis::linear(most, "uploads a second", rate), "Uploads over time");
        for bin in bins {
            let (from, to) = (bin.at_seconds, bin.at_seconds + width);
            let mut low = 0.0;
            for (number, class) in [(bin.taken, "one"), (bin.refused, "amber"), (bin.failed, "red")] {
                let high = low + per_second(number);
                if number > 0 {
                    plot.bar(from, to, low, high, class, "");
                }
                low = high;
            }
            plot.hover(
                from,
                to,
                &format!(
                    "{}: {} due, {} taken, {} refused, {} failed",
                    time(bin.at_seconds),
                    bin.due,
                    bin.taken,
                    bin.refused,
                    bin.failed
                ),
            );
        }
        let due: Vec<_> = bins.iter().map(|bin| (bin.at_seconds, per_second(bin.due))).collect();
        plot.steps(&due, width, "plain thin dashed");
        figure(
            "What came, and what became of it",
            "Each upload stands where it was due.",
            &[("one", "taken"), ("amber", "refused"), ("red", "failed"), ("plain", "due")],
            &plot,
        )
    }

    fn latency_by_time(&self) -> String {
        let width = self.timeline.bin_seconds;
        let bins: Vec<&Bin> = self.timeline.bins.iter().filter(|bin| bin.taken > 0).collect();
        let low = bins.iter().map(|bin| bin.p50).fold(f64::INFINITY, f64::min);
        let high = bins.iter().map(|bin| bin.max).fold(0.0, f64::max);
        let y = Axis::log(if low.is_finite() { low * 0.8 } else { 0.001 }, high * 1.1, "latency", round_time);
        let mut plot = Plot::new(self.time_axis(), y, "Latency over time");
        let of = |pick: fn(&Bin) -> f64| {
            bins.iter().map(|bin| (bin.at_seconds + width / 2.0, pick(bin))).collect::<Vec<_>>()
        };
        plot.band(&bins.iter().map(|bin| (bin.at_seconds + width / 2.0, bin.p50, bin.p99)).collect::<Vec<_>>(), "one");
        plot.line(&of(|bin| bin.max), "red thin dashed");
        plot.line(&of(|bin| bin.p99), "two");
        plot.line(&of(|bin| bin.p50), "one");
        for bin in &bins {
            let words = format!(
                "{}: median {}, p99 {}, longest {}",
                time(bin.at_seconds),
                time(bin.p50),
                time(bin.p99),
                time(bin.max)
            );
            plot.hover(bin.at_seconds, bin.at_seconds + width, &words);
        }
        figure(
            "Latency over time",
            "Of uploads that were taken, by when they were due.",
            &[("one", "median"), ("two", "p99"), ("red", "longest")],
            &plot,
        )
    }

    fn latency_by_share(&self) -> String {
        let curves = [&self.percentiles.latency, &self.percentiles.from_sending];
        let mut plot = by_share(&curves, self.uploads.latency_seconds.samples, "Latency by percentile");
        draw(&mut plot, curves[1], "three dashed");
        draw(&mut plot, curves[0], "one");
        figure(
            "How many waited how long",
            "Where the two lines part, uploads waited before they could be sent.",
            &[("one", "since it was due"), ("three", "since it was sent")],
            &plot,
        )
    }

    fn latency_by_count(&self) -> String {
        let steps = &self.histogram;
        let most = steps.iter().map(|step| precise(step.count)).fold(1.0, f64::max);
        let low = steps.first().map_or(0.001, |step| step.from_seconds);
        let high = steps.last().map_or(0.01, |step| step.to_seconds);
        let x = Axis::log(low, high, "latency", round_time);
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "counts")]
        let y = Axis::linear(most, "uploads", |value| count(value.round() as u64));
        let mut plot = Plot::new(x, y, "Histogram of latency");
        for step in steps.iter().filter(|step| step.count > 0) {
            let words = format!("{} to {}: {}", time(step.from_seconds), time(step.to_seconds), count(step.count));
            plot.bar(step.from_seconds, step.to_seconds, 0.0, precise(step.count), "one", &words);
        }
        let latency = &self.uploads.latency_seconds;
        if latency.samples > 0 {
            plot.marker(latency.p50, &format!("median {}", time(latency.p50)));
            if latency.p99 > latency.p50 * 1.6 {
                plot.marker(latency.p99, &format!("p99 {}", time(latency.p99)));
            }
        }
        figure("Where the latencies lie", "Uploads by latency, ten steps to each power of ten.", &[], &plot)
    }

    fn quick_route(&self) -> String {
        let Some(quick) = &self.quick else { return String::new() };
        let curves = [&self.percentiles.quick_alone, &self.percentiles.quick_beside];
        let samples = quick.beside.latency_seconds.samples;
        let mut plot = by_share(&curves, samples, "Latency of the quick route by percentile");
        draw(&mut plot, curves[0], "plain dashed");
        draw(&mut plot, curves[1], "two");
        let mut legend = vec![("two", "beside the load")];
        if quick.alone.is_some() {
            legend.insert(0, ("plain", "alone"));
        }
        figure("The quick route beside it", &quick.route, &legend, &plot)
    }

    fn said_no(&self) -> String {
        let slow = self.slow.iter().flat_map(|slow| slow.refusals.iter().chain(&slow.failures));
        let all: Vec<_> = self.uploads.refusals.iter().chain(&self.uploads.failures).chain(slow).collect();
        if all.is_empty() {
            return String::new();
        }
        let rows = each(&all, |one| {
            format!(
                "<tr><td>{}</td><td>{}</td><td class=\"words\">{}</td></tr>",
                escaped(&one.code),
                count(one.count),
                escaped(&one.words)
            )
        });
        format!(
            "<figure class=\"card wide\"><h2>Refused and failed</h2><div class=\"scroll\"><table><thead><tr><th>code</th>\
             <th>times</th><th></th></tr></thead><tbody>{rows}</tbody></table></div></figure>"
        )
    }

    fn table(&self) -> String {
        let mut rows = String::new();
        let mut row = |name: &str, times: &Times| {
            if times.samples == 0 {
                return;
            }
            let columns = [times.mean, times.p50, times.p90, times.p99, times.p999, times.max];
            let cells = each(&columns, |value| format!("<td>{}</td>", time(*value)));
            put(&mut rows, format_args!("<tr><td>{name}</td><td>{}</td>{cells}</tr>", count(times.samples)));
        };
        row("uploads, since due", &self.uploads.latency_seconds);
        row("uploads, since sent", &self.uploads.from_sending_seconds);
        row("refusals, since sent", &self.uploads.refused_after_seconds);
        if let Some(quick) = &self.quick {
            if let Some(alone) = &quick.alone {
                row("quick route, alone", &alone.latency_seconds);
            }
            row("quick route, beside", &quick.beside.latency_seconds);
        }
        row("this client, late by", &self.client.lag_seconds);
        format!(
            "<figure class=\"card wide\"><h2>All times</h2><div class=\"scroll\"><table><thead><tr><th></th><th>samples</th>\
             <th>mean</th><th>median</th><th>p90</th><th>p99</th><th>p99.9</th><th>longest</th></tr></thead>\
             <tbody>{rows}</tbody></table></div></figure>"
        )
    }

    /// What was asked for, and how this client kept to it.
    fn asked_for(&self) -> String {
        let (load, client) = (&self.load, &self.client);
        let mut rows = vec![
            ("loop", load.kind.to_owned()),
            ("arrivals", load.arrivals.to_owned()),
            ("sessions", count(load.sessions as u64)),
            ("given up after", time(load.give_up_after_seconds)),
            ("connections opened", count(client.connections_opened)),
            ("client's threads, busy", format!("{}, {}", client.threads, share(client.cpu_share))),
            ("client waited for a processor", time(client.waited_for_cpu_seconds)),
        ];
        if client.lag_seconds.samples > 0 {
            rows.push(("client late by, p99", time(client.lag_seconds.p99)));
        }
        rows.push(("stored in all, with warm-up", count(self.captures_stored_in_all + self.tasks_queued_in_all)));
        let rows = each(&rows, |(name, value)| format!("<tr><td>{name}</td><td>{}</td></tr>", escaped(value)));
        format!(
            "<figure class=\"card\"><h2>What was asked for, and this client</h2><table class=\"pairs\"><tbody>{rows}</tbody></table></figure>"
        )
    }

    fn time_axis(&self) -> Axis {
        let end = self.load.duration_seconds.max(self.timeline.bin_seconds);
        let (step, unit, name) = if end > 600.0 { (60.0, 60.0, "minutes") } else { (1.0, 1.0, "seconds") };
        let rough = end / 8.0 / step;
        let factor = [1.0, 2.0, 5.0, 10.0, 15.0, 30.0, 60.0, 120.0].into_iter().find(|factor| *factor >= rough);
        let step = step * factor.unwrap_or_else(|| rough.ceil());
        let mut ticks = Vec::new();
        let mut at = 0.0;
        while at <= end + 1e-9 {
            ticks.push((at, rate(at / unit)));
            at += step;
        }
        Axis::with_ticks(end, ticks, name)
    }
}

/// The bins that lie wholly within the measuring; a last one of some microseconds would look like a drop.
fn whole(bins: &[Bin], width: f64, duration: f64) -> &[Bin] {
    let end = bins.iter().take_while(|bin| bin.at_seconds + width <= duration + width * 0.1).count();
    if end == 0 { bins } else { &bins[..end] }
}

/// A plot whose way to the right is by nines: 90 %, 99 %, 99.9 %.
fn by_share(curves: &[&Vec<Quantile>], samples: u64, title: &str) -> Plot {
    let points = || curves.iter().flat_map(|curve| curve.iter());
    let low = points().map(|point| point.seconds).fold(f64::INFINITY, f64::min);
    let high = points().map(|point| point.seconds).fold(0.0, f64::max);
    let y = Axis::log(if low.is_finite() { low * 0.8 } else { 0.001 }, high * 1.15, "latency", round_time);
    let end = nines(1.0, samples);
    let ticks = [
        (0.0, "0"),
        (0.5, "50 %"),
        (0.9, "90 %"),
        (0.99, "99 %"),
        (0.999, "99.9 %"),
        (0.9999, "99.99 %"),
        (0.99999, "99.999 %"),
    ];
    let ticks = ticks.map(|(share, words)| (nines(share, u64::MAX), words.to_owned()));
    let ticks = ticks.into_iter().filter(|(at, _)| *at <= end).collect();
    Plot::new(Axis::with_ticks(end, ticks, "share of all"), y, title)
}

fn draw(plot: &mut Plot, curve: &[Quantile], class: &str) {
    let samples = curve.len() as u64;
    if samples == 0 {
        return;
    }
    // The last point is the longest of all, which stands at the end of the axis whatever that is.
    let points: Vec<_> = curve.iter().map(|point| (nines(point.quantile, u64::MAX), point.seconds)).collect();
    plot.line(&points, class);
}

/// How many nines; the last of so many samples is its own share.
fn nines(share: f64, samples: u64) -> f64 {
    -(1.0 - share).max(1.0 / precise(samples.max(10))).log10()
}

fn figure(title: &str, why: &str, legend: &[(&str, &str)], plot: &Plot) -> String {
    let mut out = format!("<figure class=\"card\"><h2>{}</h2>", escaped(title));
    if !why.is_empty() {
        put(&mut out, format_args!("<p class=\"why\">{}</p>", escaped(why)));
    }
    if !legend.is_empty() {
        let entries = each(legend, |(class, words)| format!("<span class=\"{class}\">{words}</span>"));
        put(&mut out, format_args!("<div class=\"legend\">{entries}</div>"));
    }
    out + &plot.svg() + "</figure>"
}

/// The pieces that each item makes, one after the other.
fn each<T>(items: &[T], piece: impl FnMut(&T) -> String) -> String {
    items.iter().map(piece).collect::<Vec<_>>().concat()
}

/// A value and its unit apart.
fn split(words: &str) -> (String, String) {
    let (value, unit) = words.split_once(' ').unwrap_or((words, ""));
    (value.to_owned(), unit.to_owned())
}

fn capital(words: &str) -> String {
    let mut letters = words.chars();
    letters.next().map(|first| first.to_uppercase().chain(letters).chain(['.']).collect()).unwrap_or_default()
}

#[allow(clippy::cast_precision_loss, reason = "counts of a run are far below 2^53")]
fn precise(number: u64) -> f64 {
    number as f64
}
