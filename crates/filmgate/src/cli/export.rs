//! `filmgate export`: photos and tables as one ZIP archive, beside the running server or without one.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, ensure};
use clap::Args;
use tokio::io::AsyncWriteExt;
use tokio::sync::mpsc;
use uuid::Uuid;

use super::progress::Progress;
use super::{Common, output, user};
use crate::app::App;
use crate::export::{self, KEY_BYTES_MIN, Key, Names, Report, Scope};

/// Pieces made ahead of the disk, of 128 KiB at most.
const PIECES_AHEAD: usize = 16;

#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("what").required(true).args(["session", "user", "all"]))]
pub(super) struct ExportArgs {
    /// The archive to make; it must not be there yet
    #[arg(value_name = "FILE.zip")]
    file: PathBuf,
    /// This session; may be said several times
    #[arg(long, value_name = "ID", conflicts_with_all = ["user", "all"])]
    session: Vec<Uuid>,
    /// Every session of this user
    #[arg(long, value_name = "USERNAME", conflicts_with = "all")]
    user: Option<String>,
    /// Everything
    #[arg(long)]
    all: bool,
    /// Pseudonyms instead of ids, under a key that nobody keeps; no metadata in photos
    #[arg(long)]
    pseudonyms: bool,
    /// Pseudonyms under the key in this file: the same key gives the same pseudonyms
    #[arg(long, value_name = "FILE", conflicts_with = "pseudonyms")]
    pseudonym_key_file: Option<PathBuf>,
}

/// Pseudonyms or not, before anything is opened.
fn names(args: &ExportArgs) -> anyhow::Result<Names> {
    let Some(path) = &args.pseudonym_key_file else {
        return Ok(if args.pseudonyms { Names::Pseudonyms(Key::fresh()?) } else { Names::Stored });
    };
    let secret = fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    let key =
        Key::of(&secret).with_context(|| format!("{}: a key has at least {KEY_BYTES_MIN} bytes", path.display()))?;
    Ok(Names::Pseudonyms(key))
}

/// What is exported, and how many captures it has.
async fn scope(app: &App, args: &ExportArgs) -> anyhow::Result<(Scope, u64)> {
    if args.all {
        return Ok((Scope::All, app.records.count_captures().await?));
    }
    if let Some(username) = &args.user {
        let id = user::find(app, username).await?.id;
        let mut ids = Vec::new();
        let mut after = Uuid::nil();
        loop {
            let sessions = app.records.sessions_by_id(Some(id), after, 500).await?;
            let Some(last) = sessions.last() else { break };
            after = last.id;
            ids.extend(sessions.iter().map(|session| session.id));
        }
        return Ok((Scope::User(id), app.records.capture_counts(ids).await?.iter().sum()));
    }
    for id in &args.session {
        ensure!(app.records.session(*id).await?.is_some(), "there is no session {id}");
    }
    let counts = app.records.capture_counts(args.session.clone()).await?;
    Ok((Scope::Sessions(args.session.clone()), counts.iter().sum()))
}

pub(super) async fn run(args: ExportArgs, common: &Common) -> anyhow::Result<ExitCode> {
    let names = names(&args)?;
    let file = &args.file;
    ensure!(!file.exists(), "{} is there already: name another file", file.display());
    let app = common.open().await?;
    let (scope, total) = scope(&app, &args).await?;
    // Under another name until it is whole: half an archive must not look like one.
    let half = PathBuf::from(format!("{}.part", file.display()));
    let made = write(&app, &scope, &names, &half, total, common.json).await;
    let report = match made {
        Ok(report) => report,
        Err(error) => {
            // What could not be made may not be there.
            if let Err(left) = fs::remove_file(&half).or_else(absent) {
                tracing::warn!(error = %left, "half an archive is left");
            }
            return Err(error);
        }
    };
    fs::rename(&half, file).with_context(|| format!("cannot make {}", file.display()))?;
    tell(&report, file, common.json)?;
    Ok(ExitCode::from(u8::from(report.problems > 0)))
}

fn absent(error: std::io::Error) -> std::io::Result<()> {
    if error.kind() == std::io::ErrorKind::NotFound { Ok(()) } else { Err(error) }
}

async fn write(
    app: &App,
    scope: &Scope,
    names: &Names,
    path: &Path,
    total: u64,
    is_quiet: bool,
) -> anyhow::Result<Report> {
    let mut file = tokio::fs::File::create(path).await.with_context(|| format!("cannot make {}", path.display()))?;
    let (sender, mut pieces) = mpsc::channel(PIECES_AHEAD);
    let progress = Progress::new(total, "captures exported", is_quiet);
    let making = export::export(app, scope, names, sender, |report| {
        let more = format!("{} MB, {} problems", report.bytes / 1_000_000, report.problems);
        progress.tell(report.captures, total.max(report.captures), &more);
    });
    let writing = async move {
        while let Some(piece) = pieces.recv().await {
            file.write_all(&piece).await?;
        }
        file.flush().await?;
        file.sync_all().await
    };
    let (made, written) = tokio::join!(making, writing);
    // A full disk ends the making too; its own words come first.
    written.with_context(|| format!("cannot write {}", path.display()))?;
    Ok(made?)
}

fn tell(report: &Report, file: &Path, json: bool) -> anyhow::Result<()> {
    if json {
        return output::one(true, report);
    }
    let Report { sessions, captures, photos, bytes, problems, named, .. } = report;
    output::say(format_args!(
        "{captures} captures of {sessions} sessions in {}: {photos} photos of {bytes} bytes",
        file.display()
    ))?;
    if *problems > 0 {
        let mut lines = vec![format!("{problems} with a problem; manifest.json names them all:")];
        lines.extend(named.iter().map(|(name, problem)| format!("  {name}  {problem}")));
        output::say(lines.join("\n"))?;
    }
    Ok(())
}
