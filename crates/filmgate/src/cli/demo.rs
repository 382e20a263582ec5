//! `filmgate demo`: one command to try everything. What it makes once it finds again, also after a crash.

use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::process::ExitCode;

use anyhow::Context;
use clap::Args;
use identity::COOKIE;
use records::{NewCameraSettings, RecordingMode, Role, SettingsChoice, User};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::Common;
use super::serve::start;
use crate::app::App;

/// A frame to upload, 1280x720.
const PHOTO: &[u8] = include_bytes!("demo-photo.jpg");
const PHOTO_NAME: &str = "demo-photo.jpg";
const STATE_NAME: &str = "demo.json";

/// Settings that differ from a server's while the user says nothing else: one participant of the demo stands for a
/// whole class, and a small disk is enough to try things.
const DEFAULTS: &[(&str, &str, &str)] = &[
    ("data_dir", "FILMGATE__DATA_DIR", "filmgate-demo"),
    ("ingest.uploads_in_flight_per_user_max", "FILMGATE__INGEST__UPLOADS_IN_FLIGHT_PER_USER_MAX", "12000"),
    ("ingest.bytes_in_flight_per_user_max", "FILMGATE__INGEST__BYTES_IN_FLIGHT_PER_USER_MAX", "8589934592"),
    ("ingest.free_bytes_min", "FILMGATE__INGEST__FREE_BYTES_MIN", "8388608"),
    ("log.level", "FILMGATE__LOG__LEVEL", "warn"),
];

#[derive(Debug, Args)]
pub(super) struct DemoArgs {
    /// Address to listen on; port 0 takes a free one [default: 127.0.0.1:8080]
    #[arg(long, value_name = "ADDR")]
    listen: Option<String>,
}

/// What the demo made, kept in its folder: passwords for everybody to see, and which session is whose.
#[derive(Debug, Serialize, Deserialize)]
struct State {
    admin: Person,
    participant: Person,
    other_participant: Person,
}

#[derive(Debug, Serialize, Deserialize)]
struct Person {
    username: String,
    password: String,
    session_id: Option<Uuid>,
}

/// The line of `--json`.
#[derive(Serialize)]
struct Announcement {
    url: String,
    admin: SignedIn,
    participant: SignedIn,
    other_participant: SignedIn,
    session_id: Uuid,
}

#[derive(Serialize)]
struct SignedIn {
    username: String,
    password: String,
    user_id: i64,
    cookie: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    session_id: Option<Uuid>,
}

pub(super) fn run(args: DemoArgs, common: &Common) -> anyhow::Result<ExitCode> {
    let mut flags: Vec<(&'static str, String)> = DEFAULTS
        .iter()
        .filter(|(_, variable, _)| std::env::var_os(variable).is_none())
        .map(|(key, _, value)| (*key, (*value).to_owned()))
        .collect();
    if let Some(listen) = args.listen {
        flags.push(("server.listen", listen));
    }
    let config = common.load(flags)?;
    let json = common.json;
    start(config, async |app, url| {
        let announcement = prepare(app, url).await?;
        let text =
            if json { serde_json::to_string(&announcement)? } else { words(&announcement, &app.config.data_dir) };
        let mut out = std::io::stdout().lock();
        writeln!(out, "{text}")?;
        Ok(out.flush()?)
    })
}

async fn prepare(app: &App, url: &str) -> anyhow::Result<Announcement> {
    let state = load_or_make_state(&app.config.data_dir)?;
    let photo = app.config.data_dir.join(PHOTO_NAME);
    if !photo.exists() {
        std::fs::write(&photo, PHOTO).with_context(|| format!("cannot write {}", photo.display()))?;
    }
    ensure_settings(app).await?;
    let admin = ensure_person(app, state.admin, Role::Admin).await?;
    let mut participant = ensure_person(app, state.participant, Role::Participant).await?;
    let other_participant = ensure_person(app, state.other_participant, Role::Participant).await?;
    let session_id = participant.session_id.take().context("the demo's participant has no session")?;
    Ok(Announcement { url: url.to_owned(), admin, participant, other_participant, session_id })
}

/// The demo's people. Written whole before any of them is made, so that a crash in between leaves nobody whose
/// password is lost.
fn load_or_make_state(data_dir: &Path) -> anyhow::Result<State> {
    let path = data_dir.join(STATE_NAME);
    match std::fs::read_to_string(&path) {
        Ok(text) => serde_json::from_str(&text).with_context(|| format!("{} is damaged", path.display())),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let person = |username: &str, has_session: bool| Person {
                username: username.to_owned(),
                password: Uuid::new_v4().simple().to_string(),
                session_id: has_session.then(Uuid::now_v7),
            };
            let state = State {
                admin: person("admin", false),
                participant: person("participant", true),
                other_participant: person("other-participant", true),
            };
            write_whole(&path, &serde_json::to_vec_pretty(&state)?)?;
            Ok(state)
        }
        Err(error) => Err(error).with_context(|| format!("cannot read {}", path.display())),
    }
}

fn write_whole(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    let unfinished = path.with_extension("unfinished");
    let mut file = std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&unfinished)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    std::fs::rename(&unfinished, path)?;
    Ok(())
}

async fn ensure_settings(app: &App) -> anyhow::Result<()> {
    if !app.records.list_camera_settings(None, 1).await?.items.is_empty() {
        return Ok(());
    }
    let settings = NewCameraSettings {
        setting_name: "One frame a second".to_owned(),
        recording_mode: RecordingMode::Interval,
        interval_seconds: Some(1),
        resolution: "1280x720".to_owned(),
        capture_on_button_click: false,
        capture_on_message_send: false,
        capture_on_question_start: false,
        is_active: true,
        is_default: true,
    };
    app.records.create_camera_settings(Uuid::now_v7(), settings, app.now()).await?;
    Ok(())
}

async fn ensure_person(app: &App, person: Person, role: Role) -> anyhow::Result<SignedIn> {
    let user: User = match app.records.user_by_name(person.username.clone()).await? {
        Some((user, _)) => user,
        None => app.identity.create_user(&person.username, person.password.clone(), role).await?,
    };
    if let Some(session_id) = person.session_id
        && app.records.session(session_id).await?.is_none()
    {
        app.records.register_session(session_id, user.id, SettingsChoice::Default, app.now()).await?;
    }
    let sign_in = app.identity.begin_sign_in(user).await?;
    Ok(SignedIn {
        username: person.username,
        password: person.password,
        user_id: sign_in.user.id,
        cookie: format!("{COOKIE}={}", sign_in.secret),
        session_id: person.session_id,
    })
}

fn words(announcement: &Announcement, data_dir: &Path) -> String {
    let Announcement { url, admin, participant, other_participant, session_id } = announcement;
    let photo = data_dir.join(PHOTO_NAME);
    let people = [("admin", admin), ("participant", participant), ("another", other_participant)];
    let sign_ins = people.map(|(what, person)| format!("  {what:12} {:18} {}", person.username, person.password));
    format!(
        "Filmgate is running at {url}\n\n\
         Sign in there as\n{}\n\n\
         Upload a photo and see the answer:\n\n\
         curl -sS -H 'Cookie: {}' -F session_id={session_id} -F 'metadata_0={{\"trigger\":\"INTERVAL\"}}' \
         -F 'capture_0=@{}' {url}/assessment/camera/upload\n\n\
         API documentation: {url}/api/v1/docs\n\
         Data folder:       {} (delete it to begin anew)\n\
         Stop with Ctrl-C.",
        sign_ins.join("\n"),
        participant.cookie,
        photo.display(),
        data_dir.display(),
    )
}
