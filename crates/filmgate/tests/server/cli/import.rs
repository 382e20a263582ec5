//! `filmgate import`: an app's old photos and rows, taken over once, whatever happens on the way.

mod bad;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::Duration;

use serde_json::Value;
use testkit::old_app::{Keys, OldApp};
use testkit::server::Server;
use testkit::{Request, photo};

use super::{Commands, json_lines};
use crate::support::{Ran, builder, files_of_store, holds_within, program_on, server, unprocessed};

/// An import that nothing stops takes less.
const LONGEST: Duration = Duration::from_secs(300);

/// What must stand beside the app's database.
const FLASK: [&str; 4] = ["--set", "identity.provider=flask", "--set", "identity.flask.secret_keys=the app's key"];

/// The words of a command that imports from this app.
fn words(app: &OldApp, more: &[&str]) -> Vec<String> {
    let uploads = app.uploads().display().to_string();
    let given = ["--uploads", &uploads, "--set", &format!("host.database_url={}", app.url())].map(str::to_owned);
    given.into_iter().chain(FLASK.iter().chain(more).map(|word| (*word).to_owned())).collect()
}

fn import(commands: &mut Commands, app: &OldApp, more: &[&str]) -> Ran {
    let words = words(app, more);
    commands.run("import", &words.iter().map(String::as_str).collect::<Vec<_>>())
}

/// The report of an import that ends with this status.
#[track_caller]
fn report(commands: &mut Commands, app: &OldApp, more: &[&str], status: i32) -> Value {
    let more: Vec<&str> = more.iter().copied().chain(["--json"]).collect();
    let ran = import(commands, app, &more);
    assert_eq!((ran.status, ran.err.as_str()), (status, ""), "{ran:?}");
    let mut lines = json_lines(&ran.out);
    assert_eq!(lines.len(), 1, "{ran:?}");
    lines.remove(0)
}

/// The folder of a server that was and is no more.
fn folder() -> Server {
    let mut server = server();
    server.terminate(Duration::from_secs(20)).unwrap();
    server
}

/// Every capture that the catalog knows, but for what processing makes of it.
fn rows(commands: &mut Commands) -> BTreeMap<String, Value> {
    let lines = commands.lines("capture list", &["--limit", "1000000"]);
    let of = |mut line: Value| {
        line.as_object_mut().unwrap().remove("processing");
        (line["id"].as_str().unwrap().to_owned(), line)
    };
    lines.into_iter().map(of).collect()
}

/// What a list of the report says of each row: its id, and this member.
fn named<'a>(report: &'a Value, list: &str, member: &str) -> BTreeMap<&'a str, &'a str> {
    let text = |item: &'a Value, name: &str| item[name].as_str().unwrap_or_else(|| panic!("no {name}: {item}"));
    report[list].as_array().unwrap().iter().map(|item| (text(item, "id"), text(item, member))).collect()
}

/// Starts an import; `None` for its output where nobody reads it.
fn start(server: &Server, app: &OldApp) -> Child {
    let mut command = program_on(server.data());
    command.arg("import").args(words(app, &["--json", "--data", server.data().to_str().unwrap()]));
    command.envs(server.photo_envs());
    command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap()
}

/// How many captures there are.
fn count(commands: &mut Commands) -> usize {
    commands.lines("capture list", &["--limit", "1000000"]).len()
}

/// Lets an import run until it has published this many more, and ends it by `signal`. Whether it was still at work.
fn strike(server: &Server, app: &OldApp, more: usize, signal: &str) -> bool {
    let before = files_of_store(server).len();
    let mut child = start(server, app);
    let is_under_way = || files_of_store(server).len() >= before + more || child.try_wait().unwrap().is_some();
    assert!(holds_within(LONGEST, is_under_way));
    let is_at_work = child.try_wait().unwrap().is_none();
    std::process::Command::new("kill").args([signal, &child.id().to_string()]).status().unwrap();
    let output = child.wait_with_output().unwrap();
    if signal == "-INT" && is_at_work {
        assert_eq!(output.status.code(), Some(130), "{output:?}");
        let told = json_lines(std::str::from_utf8(&output.stdout).unwrap());
        assert_eq!(told[0]["interrupted"], true, "{told:?}");
    }
    is_at_work
}

#[test]
fn broken_off_again_and_again_it_ends_with_the_same_rows() {
    // With engines beside it a part of them says the same.
    let many = if testkit::matrix::in_folder() { 10_000 } else { 600 };
    let app = OldApp::with(many, Keys::Integer).unwrap();
    let overwritten: BTreeMap<&str, &str> =
        app.overwritten.iter().map(|(lost, kept_by)| (lost.as_str(), kept_by.as_str())).collect();
    assert!(overwritten.len() as u64 > many / 45, "{}", overwritten.len());
    let (files, database) = (app.files().unwrap(), app.database_file().map(|path| fs::read(path).unwrap()));

    let whole = folder();
    let mut commands = Commands::of(&whole);
    let report_file = whole.data().parent().unwrap().join("report.json");
    let told = report(&mut commands, &app, &["--report", report_file.to_str().unwrap()], 1);
    assert_eq!((&told["rows"], &told["imported"]), (&many.into(), &app.whole.into()));
    assert_eq!(named(&told, "overwritten", "kept_by"), overwritten, "each is named, and who has its file");
    for list in [
        "rows_without_file",
        "files_without_row",
        "unusable_files",
        "rows_of_unknown_sessions",
        "renamed",
        "of_other_size",
    ] {
        assert_eq!(told[list], Value::Array(Vec::new()), "{list}");
    }
    assert_eq!(serde_json::from_slice::<Value>(&fs::read(&report_file).unwrap()).unwrap(), told);
    let expected = rows(&mut commands);
    assert_eq!(expected.len() as u64, app.whole);

    let broken = folder();
    let mut commands = Commands::of(&broken);
    let part = usize::try_from(many).unwrap() / 6;
    let signals = ["-KILL", "-INT", "-KILL", "-KILL"];
    let struck = signals.iter().filter(|signal| strike(&broken, &app, part, signal)).count();
    assert!(struck >= 2, "{struck} of {} found the import at work", signals.len());
    let after = report(&mut commands, &app, &[], 1);
    assert_eq!(named(&after, "overwritten", "kept_by"), overwritten, "the resumed one names them too");
    let here = after["already_there"].as_u64().unwrap();
    assert!(here >= struck as u64 * part as u64 / 2, "nothing is done twice: {here}");
    assert_eq!(here + after["imported"].as_u64().unwrap(), app.whole);
    let resumed = rows(&mut commands);
    assert!(resumed == expected, "not the same rows: {} and {}", resumed.len(), expected.len());
    let ran = commands.run("fsck", &["--deep"]);
    assert_eq!(ran.status, 0, "{ran:?}");

    // Once more has nothing to do, and the app's own is as it was.
    let again = report(&mut commands, &app, &[], 1);
    assert_eq!((&again["imported"], &again["already_there"]), (&0.into(), &app.whole.into()));
    assert!(app.files().unwrap() == files, "the old folder has changed");
    assert!(app.database_file().map(|path| fs::read(path).unwrap()) == database, "the app's database has changed");
    println!("{many} old captures, {} overwritten, broken off {struck} times", overwritten.len());
}

#[test]
fn a_row_keeps_what_the_app_knew_of_it() {
    for keys in [Keys::Integer, Keys::Uuid] {
        let app = OldApp::with(90, keys).unwrap();
        let server = folder();
        let mut commands = Commands::of(&server);
        report(&mut commands, &app, &[], 1);
        let rows = rows(&mut commands);
        let by_filename: BTreeMap<&str, &Value> =
            rows.values().map(|row| (row["filename"].as_str().unwrap(), row)).collect();
        let name = app.old_name(1, 3);
        let row = by_filename[name.as_str()];
        if keys == Keys::Uuid {
            assert_eq!(
                (row["id"].as_str(), row["session_id"].as_str()),
                (Some(app.key_name(3).as_str()), Some(app.key_name(1).as_str()))
            );
        }
        assert_eq!(row["timestamp"], "2026-03-01T08:00:03.000003");
        assert_eq!((&row["capture_trigger"], &row["assessment_type"]), (&"INTERVAL".into(), &"PHQ".into()));
        let expected = if keys == Keys::Integer { Value::from(2) } else { Value::from(app.key_name(2)) };
        assert_eq!(row["assessment_id"], expected);
        assert_eq!(row["settings_snapshot"]["setting_name"], "every second");
        assert_eq!(row["metadata"]["imported"]["id"], app.key_name(3));
        assert_eq!(row["sha256"], app.files().unwrap()[&name].0.as_str());
    }
}

#[test]
fn a_dry_run_says_the_same_and_does_nothing() {
    let app = OldApp::with(90, Keys::Integer).unwrap();
    fs::write(app.uploads().join("nobody's.jpg"), photo::jpeg(64, 48, 1)).unwrap();
    let server = folder();
    let mut commands = Commands::of(&server);
    let sessions = commands.lines("session list", &[]);
    let tried = report(&mut commands, &app, &["--dry-run"], 1);
    assert_eq!((count(&mut commands), &tried["dry_run"]), (0, &true.into()));
    assert_eq!(commands.lines("session list", &[]), sessions, "the demo's alone");
    let mut done = report(&mut commands, &app, &[], 1);
    done["dry_run"] = true.into();
    assert_eq!(done, tried);
    assert_eq!(done["files_without_row"], serde_json::json!(["nobody's.jpg"]));
}

#[test]
fn people_are_told_how_far_it_is_and_what_did_not_fit() {
    let app = OldApp::with(90, Keys::Integer).unwrap();
    let server = folder();
    let ran = import(&mut Commands::of(&server), &app, &[]);
    assert_eq!(ran.status, 1);
    for words in [
        "90 rows of the app's looked at, 88 photos imported",
        "2 rows whose photo the app overwrote",
        "row 40 of session ",
        "now holds the photo of row 41",
    ] {
        assert!(ran.out.contains(words), "{words}: {}", ran.out);
    }
}

#[test]
fn beside_a_server_its_people_see_the_photos_at_once() {
    let app = OldApp::with(30, Keys::Uuid).unwrap();
    let server = builder().start().unwrap();
    let mut commands = Commands::of(&server);
    assert_eq!(report(&mut commands, &app, &[], 0)["imported"], 30);
    let admin = |target: &str| Request::get(target).cookie(&server.demo().admin.cookie).send(server.address()).unwrap();
    let listed = admin(&format!("/assessment/camera/session/{}", app.key_name(1))).json();
    let captures = listed["captures"].as_array().unwrap();
    assert!(!captures.is_empty(), "{listed}");
    for capture in captures {
        let (name, url) = (capture["filename"].as_str().unwrap(), capture["url"].as_str().unwrap());
        let photo = admin(url);
        assert!(photo.status == 200 && photo.body == fs::read(app.uploads().join(name)).unwrap(), "{name}: {photo:?}");
        // Session 1 is of the app's user 2, which the demo's participant is; here Filmgate knows who asks.
        for (person, status) in [(&server.demo().participant, 200), (&server.demo().other, 404)] {
            let answer = Request::get(url).cookie(&person.cookie).send(server.address()).unwrap();
            assert_eq!(answer.status, status, "{}: {answer:?}", person.user_id);
        }
    }
    // Behind everything else, its pictures are made as those of every photo.
    let is_processed = || rows_processed(&mut Commands::of(&server)) == 30;
    assert!(holds_within(LONGEST, is_processed));
}

fn rows_processed(commands: &mut Commands) -> usize {
    let lines = commands.lines("capture list", &["--limit", "1000"]);
    lines.iter().filter(|line| line["processing"]["state"] == "SUCCESS").count()
}

#[test]
fn what_was_deleted_here_does_not_come_back() {
    let app = OldApp::with(30, Keys::Integer).unwrap();
    let server = folder();
    let mut commands = Commands::of(&server);
    report(&mut commands, &app, &[], 0);
    let id = rows(&mut commands).into_keys().next().unwrap();
    commands.one("capture delete", &[&id]);
    let again = report(&mut commands, &app, &[], 0);
    assert_eq!((&again["deleted_here"], &again["already_there"]), (&1.into(), &29.into()));
    assert_eq!(count(&mut commands), 29);
}

#[test]
fn two_at_once_are_refused_and_a_server_may_start_beside() {
    let app = OldApp::with(400, Keys::Integer).unwrap();
    let first = folder();
    let lock =
        fs::OpenOptions::new().create(true).truncate(false).write(true).open(first.data().join("filmgate.import.lock"));
    let lock = lock.unwrap();
    lock.lock().unwrap();
    let mut commands = Commands::of(&first);
    let ran = import(&mut commands, &app, &[]);
    assert_eq!((ran.status, ran.out.as_str()), (2, ""));
    assert!(ran.err.contains("another import works on"), "{}", ran.err);
    // What an import has on its way must not be taken for what a crash left.
    let litter = first.photo_folder().join("2026-03-01/0800");
    if testkit::matrix::in_folder() {
        fs::create_dir_all(&litter).unwrap();
        fs::write(litter.join("018f0000-0000-7000-8000-000000000000.jpg"), photo::jpeg(64, 48, 1)).unwrap();
    }
    let server = unprocessed(first.builder()).start().unwrap();
    assert!(server.log().contains("filmgate import is at work"), "{}", server.log());
    if testkit::matrix::in_folder() {
        assert!(litter.join("018f0000-0000-7000-8000-000000000000.jpg").exists());
    }
    drop(lock);
    report(&mut commands, &app, &[], 1);
}

fn names(values: &Value) -> BTreeSet<&str> {
    values.as_array().unwrap().iter().map(|value| value.as_str().unwrap()).collect()
}

fn at(path: &Path) -> &str {
    path.to_str().unwrap()
}
