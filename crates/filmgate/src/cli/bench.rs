//! `filmgate bench`: a load on a server that speaks the contract, and a report.
//!
//! The load and its figures are `bench`'s; here is what is asked, where secrets and photos come from, and where the
//! report goes.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use ::bench::{Arrivals, Contract, Load, Made, Means, Moment, Phase, Photo, Report, Slow, Target, prepare};
use anyhow::{Context, bail, ensure};
use clap::{Args, ValueEnum};
use planner::quantity::{NotAQuantity, bytes, count, rate, seconds};

use super::progress::Progress;
use super::{Common, output};

/// The largest photo that is read from a file: far above what any server takes.
const PHOTO_BYTES_MAX: u64 = 256 * 1024 * 1024;
/// Tokens made for a run outlive it by this, so that the last upload is not refused for them.
const TOKENS_LONGER: Duration = Duration::from_secs(3600);

#[derive(Debug, Args)]
#[command(after_help = "\
Who uploads (one of these; secrets are read from files, never from the command line):
  --user NAME --password-file FILE    Filmgate's own sign-in
  --token-file FILE                   bearer tokens, one a line
  --cookie-file FILE                  values of the Cookie header, one a line, as in session=eyJ...
  --admin-token-file FILE             an administrator's token: a user with a session is made for
                                      each, and put away after the run; what they uploaded stays
With one who signs in, all users share their sessions; with a line for each --session, in order.

Exit status: 0 where everything was answered as it should, 1 where not, 2 where nothing was measured.

Examples:
  filmgate bench http://127.0.0.1:8080 --user participant --password-file password.txt
  filmgate bench https://photos.example.org --admin-token-file token.txt --users 500 --html report.html
  filmgate bench http://127.0.0.1:8080 --token-file token.txt --users 0 --slow 10000 --duration 1min
  filmgate bench http://127.0.0.1:8080 --token-file token.txt --users 64 --interval 0s    (closed loop)

docs/bench.md explains the figures.")]
pub(super) struct BenchArgs {
    /// The server, as in http://127.0.0.1:8080
    url: String,
    /// Users that upload; 0 for slow uploads and the quick route alone
    #[arg(long, value_name = "COUNT", value_parser = whole, default_value = "10")]
    users: usize,
    /// Time between two uploads of a user; 0s: each sends the next as soon as the last was answered
    #[arg(long, value_name = "TIME", value_parser = time, default_value = "1s")]
    interval: Duration,
    /// How the users' uploads lie in time
    #[arg(long, value_enum, default_value_t = ArrivalsChoice::Even)]
    arrivals: ArrivalsChoice,
    /// How long is measured
    #[arg(long, value_name = "TIME", value_parser = time, default_value = "30s")]
    duration: Duration,
    /// How long the load runs before that, uncounted
    #[arg(long, value_name = "TIME", value_parser = time, default_value = "2s")]
    warm_up: Duration,
    /// A photo's file, or 'synthetic': a JPEG of 1280x720 that is other bytes each time
    #[arg(long, value_name = "FILE", default_value = "synthetic")]
    photo: String,
    /// Size of a synthetic photo
    #[arg(long, value_name = "SIZE", value_parser = bytes, default_value = "100KB")]
    photo_bytes: f64,
    /// The trigger that photos claim; the session's settings say which are wanted
    #[arg(long, value_name = "TRIGGER", default_value = "INTERVAL")]
    trigger: String,
    /// Ask for 202 and tasks (Prefer: respond-async)
    #[arg(long)]
    queued: bool,
    /// Send an Idempotency-Key with each upload
    #[arg(long)]
    idempotency_keys: bool,
    #[command(flatten)]
    beside: BesideArgs,
    #[command(flatten)]
    who: WhoArgs,
    /// Give a request up after this, and count it as failed; nothing is sent twice
    #[arg(long, value_name = "TIME", value_parser = time, default_value = "30s")]
    give_up_after: Duration,
    /// Most uploads under way at once; what is due beyond them is late, and the report says so
    #[arg(long, value_name = "COUNT", value_parser = whole, default_value = "4096")]
    in_flight_max: usize,
    /// Threads of this client [default: one for each processor, at most 4]
    #[arg(long, value_name = "COUNT", value_parser = whole)]
    threads: Option<usize>,
    /// What chance begins with
    #[arg(long, value_name = "NUMBER", default_value_t = 1)]
    seed: u64,
    /// Write the report as one HTML file, with its plots
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// Write the report as JSON into a file, too; --json prints it
    #[arg(long, value_name = "FILE")]
    json_file: Option<PathBuf>,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Beside the load")]
struct BesideArgs {
    /// Uploads held open beside it, at a trickle
    #[arg(long, value_name = "COUNT", value_parser = whole, default_value = "0")]
    slow: usize,
    /// What each of them sends
    #[arg(long, value_name = "RATE", value_parser = rate, default_value = "1KB/s")]
    slow_rate: f64,
    /// At the end let them go, instead of sending their rest and seeing them stored
    #[arg(long)]
    slow_let_go: bool,
    /// The quick route whose latency is measured beside; {session_id} stands for the session
    #[arg(long, value_name = "PATH", default_value = Contract::QUICK_PATH)]
    quick: String,
    /// Time between two requests of the quick route; 0s: it is not asked
    #[arg(long, value_name = "TIME", value_parser = time, default_value = "20ms")]
    quick_interval: Duration,
    /// How long the quick route is asked alone first, to compare with
    #[arg(long, value_name = "TIME", value_parser = time, default_value = "5s")]
    alone: Duration,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Who uploads")]
struct WhoArgs {
    /// Sign in as this user, by Filmgate's own sign-in
    #[arg(long, value_name = "NAME", requires = "password_file")]
    user: Option<String>,
    /// Their password
    #[arg(long, value_name = "FILE", requires = "user")]
    password_file: Option<PathBuf>,
    /// Bearer tokens, one a line
    #[arg(long, value_name = "FILE", conflicts_with = "user")]
    token_file: Option<PathBuf>,
    /// Cookies, one a line
    #[arg(long, value_name = "FILE", conflicts_with_all = ["user", "token_file"])]
    cookie_file: Option<PathBuf>,
    /// An administrator's token, to make users with
    #[arg(long, value_name = "FILE", conflicts_with_all = ["user", "token_file", "cookie_file", "session", "sessions_file"])]
    admin_token_file: Option<PathBuf>,
    /// A session to upload to; may be given several times [default: the newest open one of who signs in]
    #[arg(long, value_name = "ID")]
    session: Vec<String>,
    /// Sessions, one a line
    #[arg(long, value_name = "FILE", conflicts_with = "session")]
    sessions_file: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum ArrivalsChoice {
    /// Each every interval, spread evenly
    Even,
    /// Each every interval, all at the same moment
    Together,
    /// By chance
    Poisson,
}

fn whole(text: &str) -> Result<usize, String> {
    let number = count(text).map_err(|error| error.to_string())?;
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "looked at: whole and below ten million"
    )]
    let whole = number as usize;
    if number.fract() == 0.0 && number <= 1e7 { Ok(whole) } else { Err(format!("'{text}' is no count of things")) }
}

fn time(text: &str) -> Result<Duration, NotAQuantity> {
    // A bare 0 is a time in any unit.
    if text == "0" { Ok(Duration::ZERO) } else { Ok(Duration::from_secs_f64(seconds(text)?.min(1e7))) }
}

pub(super) fn run(args: &BenchArgs, common: &Common) -> anyhow::Result<ExitCode> {
    ensure!(!args.duration.is_zero(), "nothing is measured in no time: give --duration, as in 30s");
    ensure!(
        args.users > 0 || args.beside.slow > 0 || !args.beside.quick_interval.is_zero(),
        "there is nothing to do: no users, no slow uploads, no quick route"
    );
    ensure!(args.beside.quick.starts_with('/'), "--quick takes a path, as in /livez");
    ensure!(
        args.interval.is_zero() || args.interval >= Duration::from_millis(1),
        "--interval is at least 1ms, or 0s for a closed loop"
    );
    let photo = photo(args)?;
    let means = args.who.means()?;
    let sessions = args.who.sessions()?;
    // Where a report cannot be written is known before the run, and not after it.
    for file in [&args.html, &args.json_file].into_iter().flatten() {
        std::fs::write(file, "").with_context(|| format!("cannot write {}", file.display()))?;
    }
    let threads =
        args.threads.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, |cores| cores.get().min(4)));
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(threads.max(1)).enable_all().build()?;
    let report = runtime.block_on(measure(args, common, photo, &means, &sessions))?;
    write(&report, args, common)?;
    Ok(if report.is_clean() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn measure(
    args: &BenchArgs,
    common: &Common,
    photo: Photo,
    means: &Means,
    sessions: &[String],
) -> anyhow::Result<Report> {
    let target = Target::at(&args.url).await?;
    let load = args.load();
    let valid_for = load.alone + load.warm_up + load.duration + load.give_up_after + TOKENS_LONGER;
    let mut made = Made::default();
    let users = {
        let total = args.users.max(1) as u64;
        let progress = Progress::new(total, "users made", common.json || !matches!(means, Means::Admin(_)));
        let tell = |number: usize| progress.tell(number as u64, total, "");
        prepare(&target, means, sessions, args.users, valid_for, &mut made, tell).await
    };
    let outcome = match users {
        Ok(users) => drive(args, common, &load, &target, users, photo).await,
        Err(error) => Err(error),
    };
    // Also after a run that failed; what failed first is what is told.
    let put_away = made.put_away(&target).await.context("the users made for this run could not be put away");
    let report = outcome?;
    put_away?;
    Ok(report)
}

async fn drive(
    args: &BenchArgs,
    common: &Common,
    load: &Load,
    target: &Target,
    users: Vec<::bench::User>,
    photo: Photo,
) -> anyhow::Result<Report> {
    let dialect = Contract {
        quick_path: args.beside.quick.clone(),
        trigger: args.trigger.clone(),
        is_queued: args.queued,
        has_keys: args.idempotency_keys,
    };
    let stop = Arc::new(AtomicBool::new(false));
    let asked = stop.clone();
    let listener = tokio::spawn(async move {
        if tokio::signal::ctrl_c().await.is_ok() {
            asked.store(true, Ordering::Relaxed);
        }
    });
    let progress = Progress::new(1, "", common.json);
    let watch = |moment: &Moment| {
        let (done, total) = (moment.done.as_millis(), moment.total.as_millis());
        let number = |value: u128| u64::try_from(value).unwrap_or(u64::MAX);
        progress.tell(number(done), number(total), &words(moment));
    };
    let report = ::bench::run(load, target, Arc::new(dialect), users, args.users, photo, stop, watch).await;
    listener.abort();
    report
}

/// How far it is, in one line.
fn words(moment: &Moment) -> String {
    let what = match moment.phase {
        Phase::Alone => "the quick route alone",
        Phase::Opening => "opening slow uploads",
        Phase::WarmUp => "warming up",
        Phase::Measuring => "measuring",
        Phase::Draining => "waiting for the last answers",
        Phase::Finishing => "finishing the slow uploads",
    };
    let Moment { taken, refused, failed, in_flight, slow_held, .. } = moment;
    format!("ms, {what}: {taken} taken, {refused} refused, {failed} failed, {in_flight} under way, {slow_held} held")
}

fn write(report: &Report, args: &BenchArgs, common: &Common) -> anyhow::Result<()> {
    let json = || serde_json::to_string(report);
    if let Some(file) = &args.html {
        std::fs::write(file, report.html()?).with_context(|| format!("cannot write {}", file.display()))?;
    }
    if let Some(file) = &args.json_file {
        std::fs::write(file, json()? + "\n").with_context(|| format!("cannot write {}", file.display()))?;
    }
    if common.json {
        return output::say(json()?);
    }
    output::say(report.text().trim_end())?;
    args.html.iter().try_for_each(|file| output::say(format_args!("{:<16} {}", "report", file.display())))
}

/// The photo to upload; a file that is none is refused here, with what the server would say of it.
fn photo(args: &BenchArgs) -> anyhow::Result<Photo> {
    if args.photo == "synthetic" {
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a size, which is not negative")]
        return Photo::synthetic(args.photo_bytes.min(1e9) as usize);
    }
    let path = Path::new(&args.photo);
    let wrong = || format!("cannot read the photo {}", path.display());
    let length = std::fs::metadata(path).with_context(wrong)?.len();
    ensure!(length <= PHOTO_BYTES_MAX, "{} is too large for a photo: {length} bytes", path.display());
    let read = std::fs::read(path).with_context(wrong)?;
    let structure = imaging::inspect(std::io::Cursor::new(&read), &imaging::Limits::default())
        .map_err(|defect| anyhow::anyhow!("{} is no photo to upload: {defect}", path.display()))?;
    Ok(Photo::of_file(read, structure.image_type.content_type()))
}

impl WhoArgs {
    fn means(&self) -> anyhow::Result<Means> {
        if let (Some(username), Some(file)) = (&self.user, &self.password_file) {
            let mut lines = lines(file)?;
            ensure!(lines.len() == 1, "{} holds no single line with a password", file.display());
            return Ok(Means::SignIn { username: username.clone(), password: lines.remove(0) });
        }
        if let Some(file) = &self.token_file {
            return Ok(Means::Bearer(lines(file)?));
        }
        if let Some(file) = &self.cookie_file {
            return Ok(Means::Cookie(lines(file)?));
        }
        if let Some(file) = &self.admin_token_file {
            return Ok(Means::Admin(lines(file)?.remove(0)));
        }
        bail!(
            "say who uploads: --user NAME --password-file FILE, --token-file FILE, --cookie-file FILE, or \
             --admin-token-file FILE"
        )
    }

    fn sessions(&self) -> anyhow::Result<Vec<String>> {
        self.sessions_file.as_deref().map_or_else(|| Ok(self.session.clone()), lines)
    }
}

/// The lines of a file, at least one.
fn lines(file: &Path) -> anyhow::Result<Vec<String>> {
    let text = std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
    let lines: Vec<String> = text.lines().map(str::trim).filter(|line| !line.is_empty()).map(str::to_owned).collect();
    ensure!(!lines.is_empty(), "{} is empty", file.display());
    Ok(lines)
}

impl BenchArgs {
    fn load(&self) -> Load {
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a rate, held to these bounds")]
        let bytes_per_second = self.beside.slow_rate.clamp(1.0, 1e9) as u32;
        Load {
            interval: self.interval,
            arrivals: match self.arrivals {
                ArrivalsChoice::Even => Arrivals::Even,
                ArrivalsChoice::Together => Arrivals::Together,
                ArrivalsChoice::Poisson => Arrivals::Poisson,
            },
            duration: self.duration,
            warm_up: self.warm_up,
            give_up_after: self.give_up_after,
            in_flight_max: self.in_flight_max,
            slow: Slow { uploads: self.beside.slow, bytes_per_second, is_finished: !self.beside.slow_let_go },
            quick_interval: self.beside.quick_interval,
            alone: self.beside.alone,
            seed: self.seed,
        }
    }
}
