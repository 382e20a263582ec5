//! `filmgate fsck`

use std::io::IsTerminal;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use intake::{FsckOptions, FsckReport};

use super::{Common, output};
use crate::app::FolderLock;

/// Beside a running server a photo may be on its way to its row for this long.
const ORPHAN_AGE_BESIDE_SERVER: Duration = Duration::from_secs(900);

#[derive(Debug, Args)]
pub(super) struct FsckArgs {
    /// Read every photo and compare its checksum
    #[arg(long)]
    deep: bool,
    /// Set aside what does not fit: files into .quarantine, rows into a note beside them
    #[arg(long)]
    repair: bool,
}

pub(super) async fn run(args: FsckArgs, common: &Common) -> anyhow::Result<ExitCode> {
    let app = common.open().await?;
    // On a shared catalog some node may run anywhere.
    let server_runs = app.records.is_shared() || FolderLock::is_held(&app.config.data_dir);
    let options = FsckOptions {
        deep: args.deep,
        repair: args.repair,
        orphan_age_min: if server_runs { ORPHAN_AGE_BESIDE_SERVER } else { Duration::ZERO },
    };
    let total = app.records.count_captures().await?;
    // A disk that is not mounted looks like every photo missing; a repair would set every row aside.
    anyhow::ensure!(
        !args.repair || total == 0 || !app.blobs.time_folders().await?.is_empty(),
        "the photo store {} is empty while the catalog has {total} captures: is its disk mounted? Nothing was repaired",
        app.blobs.place()
    );
    let show_progress = std::io::stderr().is_terminal() && !common.json;
    let progress = |done: u64| {
        if show_progress {
            eprint!("\r{done} of {total} captures checked");
        }
    };
    let report = app.intake.fsck(options, progress).await.map_err(|error| anyhow::anyhow!("{error}"))?;
    if show_progress {
        eprintln!();
    }
    if common.json {
        output::one(true, &report)?;
    } else {
        output::say(words(&report, args.repair, server_runs))?;
    }
    Ok(ExitCode::from(u8::from(!report.is_clean())))
}

fn words(report: &FsckReport, repair: bool, server_runs: bool) -> String {
    let mut lines = vec![format!(
        "{} captures, {} files and {} derivatives checked",
        report.captures_checked, report.files_checked, report.derivatives_checked
    )];
    if server_runs {
        lines.push(
            "a server may be at work: files younger than 15 minutes without a capture were not judged".to_owned(),
        );
    }
    if report.captures_not_shipped > 0 {
        lines.push(format!(
            "{} captures are still on the node that took them, or lost with it, and were not judged",
            report.captures_not_shipped
        ));
    }
    let lists: [(&str, Vec<String>); 8] = [
        ("captures whose file is missing", report.captures_without_file.iter().map(ToString::to_string).collect()),
        (
            "captures whose file has another size",
            report.captures_of_wrong_size.iter().map(ToString::to_string).collect(),
        ),
        ("captures whose photo is damaged", report.captures_damaged.iter().map(ToString::to_string).collect()),
        ("files without a capture", report.files_without_capture.clone()),
        ("files of deleted captures", report.files_of_deleted_captures.clone()),
        (
            "captures whose derivatives are missing or damaged (--repair has them processed again)",
            report.captures_of_lost_derivatives.iter().map(ToString::to_string).collect(),
        ),
        ("derivatives without a capture", report.derivatives_without_capture.clone()),
        ("problems of the catalog itself", report.catalog_problems.clone()),
    ];
    for (what, items) in lists.iter().filter(|(_, items)| !items.is_empty()) {
        lines.push(format!("{} {what}:", items.len()));
        lines.extend(items.iter().map(|item| format!("  {item}")));
    }
    lines.push(if report.is_clean() {
        "clean".to_owned()
    } else if repair {
        format!(
            "{} set aside, removed or to be processed again; what was found before the repair is listed above, run fsck again to see what is left",
            report.repaired
        )
    } else {
        "not clean: --repair sets aside what does not fit".to_owned()
    });
    lines.join("\n")
}
