//! The answer for people, and the settings as a file.

use std::fmt::Write;

use planner::quantity::{in_bytes, in_seconds, in_words};
use planner::{Advice, Catalog, Limit, Plan, Store};

use super::super::output::say;
use super::super::plan::line;
use super::{Answer, House};
use crate::config::group_digits;

/// What of a house breaks is told down to this many; the rest is in `--json`.
const LIMITS_TOLD: usize = 3;
const WIDTH: usize = 100;

/// The settings that differ from the defaults, as a file that loads.
pub(super) fn fragment(advice: &[Advice], plan: &Plan, beside: &[String]) -> String {
    let mut text = String::new();
    let load = &plan.load;
    // Writing into a String cannot fail.
    let mut put = |line: std::fmt::Arguments<'_>| writeln!(text, "{line}").unwrap_or_default();
    put(format_args!(
        "# filmgate tune: {} uploads a second of {}, on {}",
        in_words(plan.arrivals.per_second_peak),
        in_bytes(load.photo_bytes),
        machines(plan)
    ));
    for beside in beside {
        put(format_args!("# Beside this file: {beside}"));
    }
    let mut sections: Vec<&str> = advice.iter().filter_map(|advice| Some(advice.key.split_once('.')?.0)).collect();
    sections.dedup();
    let shared: &[(&str, bool, &str)] = &[
        (
            "records",
            load.catalog == Catalog::Postgres,
            "#url = \"postgres://USER:PASSWORD@HOST/DATABASE\"  # the same on every node; or url_file",
        ),
        (
            "blobs",
            load.store == Store::S3,
            "#url = \"s3://BUCKET\"  # the same on every node, with s3_endpoint, s3_access_key_id, s3_secret_access_key",
        ),
    ];
    for (section, _, _) in shared.iter().filter(|(_, is_wanted, _)| *is_wanted) {
        if !sections.contains(section) {
            sections.push(section);
        }
    }
    if sections.is_empty() {
        put(format_args!("# The defaults will do."));
    }
    for section in sections {
        put(format_args!("\n[{section}]"));
        for (_, _, url) in shared.iter().filter(|(of, is_wanted, _)| *is_wanted && *of == section) {
            put(format_args!("{url}"));
        }
        for advice in advice {
            if let Some((of, name)) = advice.key.split_once('.')
                && of == section
            {
                let value = group_digits(&advice.value.to_string());
                let default = group_digits(&advice.default.to_string());
                put(format_args!("# {} (default {default})\n{name} = {value}", advice.why));
            }
        }
    }
    text
}

fn machines(plan: &Plan) -> String {
    let each = format!("{} cores and {}", plan.load.node_cores, in_bytes(plan.load.node_memory_bytes));
    match plan.nodes.planned {
        1 => format!("a machine of {each}"),
        nodes => format!("{nodes} machines of {each}"),
    }
}

pub(super) fn answer(answer: &Answer, place: &str) -> anyhow::Result<()> {
    let machine = &answer.machine;
    say("This machine, as measured")?;
    line("cores", machine.cores)?;
    line("memory", in_bytes(machine.memory_bytes))?;
    line("open files", machine.descriptors)?;
    line("disk", format_args!("{place}, {} free", in_bytes(machine.disk_free_bytes)))?;
    for rate in &machine.syncs {
        line(
            &format!("syncs, {} at once", rate.writers),
            format_args!(
                "{:.0} a second, so {:.0} photos a second; p50 {}, p99 {}",
                rate.per_second,
                rate.per_second / 2.0,
                in_seconds(rate.median_ms / 1e3),
                in_seconds(rate.p99_ms / 1e3)
            ),
        )?;
    }
    let plan = &answer.one.tuned.plan;
    say("\nThe load, as stated")?;
    line(
        "busiest hour",
        format_args!(
            "{} phones, a photo of {} each {}: {} uploads a second",
            in_words(plan.arrivals.users_at_peak),
            in_bytes(plan.load.photo_bytes),
            in_seconds(plan.load.interval_seconds),
            in_words(plan.arrivals.per_second_peak)
        ),
    )?;
    line(
        "on their way",
        format_args!(
            "{} uploads at once, {} each on average{}",
            in_words(plan.held.at_once),
            in_seconds(plan.held.seconds),
            match plan.load.slow_share {
                none if none <= 0.0 => String::new(),
                share => format!("; {:.0} % of the phones are slow", share * 100.0),
            }
        ),
    )?;
    line(
        "a day",
        format_args!(
            "{} photos, if its busiest hour has {:.0} % of them",
            in_words(plan.load.captures_per_day),
            plan.load.peak_share * 100.0
        ),
    )?;
    house(&answer.one)?;
    if let Some(several) = &answer.several {
        house(several)?;
    }
    gthread(answer)?;
    for warning in answer.warnings.iter().chain(&answer.one.tuned.warnings) {
        wrapped("\nNote: ", warning)?;
    }
    say("\nWhere the figures come from")?;
    for line in &answer.provenance {
        wrapped(&format!("  {:<24}{}: ", line.what, line.source), &line.how)?;
    }
    Ok(())
}

fn house(house: &House) -> anyhow::Result<()> {
    let (plan, holds) = (&house.tuned.plan, &house.tuned.holds);
    let rows = match plan.load.catalog {
        Catalog::Sqlite => "SQLite",
        Catalog::Postgres => "PostgreSQL",
    };
    let photos = match plan.load.store {
        Store::Folder => "a folder",
        Store::S3 => "S3",
    };
    say(format_args!("\nOn {}, with {rows} and {photos}", machines(plan)))?;
    verdict(plan)?;
    line(
        "holds",
        format_args!(
            "{} uploads a second ({} phones like these)",
            in_words(holds.uploads_per_second),
            in_words(holds.users)
        ),
    )?;
    if let Some(in_time) = holds.processed_in_time_per_second {
        line("with processing", format_args!("{} a second, to be done in time", in_words(in_time)))?;
    }
    line(
        "uploads in flight",
        format_args!(
            "{} at once are let in; the load has {}",
            in_words(holds.uploads_in_flight),
            in_words(plan.held.at_once)
        ),
    )?;
    line(
        "memory of a node",
        format_args!(
            "{} under the load, {} when everything that is let in is there",
            in_bytes(plan.held.memory_bytes_per_node),
            in_bytes(holds.memory_bytes_when_full)
        ),
    )?;
    let full = match holds.days_until_disk_is_full {
        Some(days) if days < 3_650.0 => format!("; what is free here lasts {}", in_seconds(days * 86_400.0)),
        _ => String::new(),
    };
    line(
        "grows a day",
        format_args!(
            "{} of photos, {} of rows{full}",
            in_bytes(plan.store.bytes_per_day),
            in_bytes(plan.catalog.bytes_per_day)
        ),
    )?;
    say("  breaks first")?;
    for limit in plan.limits.iter().take(LIMITS_TOLD) {
        breaks(limit, plan)?;
    }
    say("\n  filmgate.toml")?;
    for text in house.toml.lines() {
        say(format_args!("    {text}").to_string().trim_end())?;
    }
    for change in house.settings.iter().filter(|change| change.now != change.value && change.now != change.default) {
        say(format_args!("  {} is {} now", change.key, change.now))?;
    }
    Ok(())
}

/// Whether it carries the load; pictures that come late are no photo lost, and are told apart.
fn verdict(plan: &Plan) -> anyhow::Result<()> {
    let is_late = |why: &&String| why.contains("processing in time");
    let (late, not): (Vec<&String>, Vec<&String>) = plan.nodes.why_not.iter().partition(is_late);
    line("takes the photos in", if not.is_empty() { "yes" } else { "NO" })?;
    not.iter().try_for_each(|why| line("", why))?;
    if plan.load.processing {
        line("and processes in time", if late.is_empty() { "yes" } else { "NO" })?;
    }
    late.iter().try_for_each(|why| line("", why))
}

fn breaks(limit: &Limit, plan: &Plan) -> anyhow::Result<()> {
    let users = limit.at_captures_per_second * plan.load.interval_seconds;
    wrapped(
        &format!("    {:>14} phones  ", in_words(users)),
        &format!("{} ({:.0} % used): {}; do: {}", limit.what, limit.used_share * 100.0, limit.breaks, limit.then),
    )
}

fn gthread(answer: &Answer) -> anyhow::Result<()> {
    let gthread = &answer.gthread;
    let original = &gthread.original;
    say("\nThe same load on Gunicorn's gthread workers, a thread held for each whole upload")?;
    line(
        "threads",
        format_args!(
            "{} are held on average; {} so that one upload in a hundred waits",
            in_words(gthread.threads_held),
            gthread.threads_needed
        ),
    )?;
    line(
        "cores",
        format_args!(
            "{:.2} at {} ms an upload; Filmgate's uploads: {:.2}, made durable",
            gthread.cores, gthread.cpu_ms_per_upload, answer.one.tuned.plan.cores.uploads_peak
        ),
    )?;
    line("workers x threads", format_args!("{} x {}", gthread.workers_needed, original.threads))?;
    let verdict = if original.answers {
        format!("{:.0} % of its threads or cores are held", original.held_share * 100.0)
    } else {
        format!("{:.1} times what it has is asked for: no page is answered any more", original.held_share)
    };
    line(
        &format!("the original's {} x {}", original.workers, original.threads),
        format_args!(
            "{verdict}; all held at {} uploads a second ({} phones)",
            in_words(original.all_held_at_per_second),
            in_words(original.all_held_at_users)
        ),
    )
}

/// A text behind a heading, broken at words and indented.
fn wrapped(heading: &str, text: &str) -> anyhow::Result<()> {
    let indent = " ".repeat(heading.trim_start_matches('\n').chars().count().min(26));
    let mut out = heading.to_owned();
    let mut length = heading.trim_start_matches('\n').chars().count();
    for (index, word) in text.split(' ').enumerate() {
        let more = word.chars().count() + usize::from(index > 0);
        if length + more > WIDTH && index > 0 {
            out.push('\n');
            out.push_str(&indent);
            length = indent.len();
        } else if index > 0 {
            out.push(' ');
        }
        out.push_str(word);
        length += more;
    }
    say(out)
}
