//! What each command does, told once beside a running server, which must notice at once, and once without one.

use std::fs;
use std::io::Write;
use std::process::Stdio;
use std::time::Duration;

use serde_json::{Value, json};
use testkit::server::Server;
use testkit::{Api, Request, photo};
use uuid::Uuid;

use super::{Commands, every_command};
use crate::support::{program_on, server, sign_in, sign_in_request, unique};

fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name].as_str().unwrap_or_else(|| panic!("no {name} in {value}"))
}

/// A file with a password in it, as an editor leaves it.
fn password_file(commands: &Commands, password: &str) -> String {
    let path = commands.data.parent().unwrap().join(unique("password"));
    fs::write(&path, format!("{password}\n")).unwrap();
    path.to_str().unwrap().to_owned()
}

/// Adds, changes and signs out a user; `server` runs beside, if there is one.
fn users(commands: &mut Commands, server: Option<&Server>) -> String {
    let name = unique("cli-user");
    let file = password_file(commands, "the first password");
    let added = commands.one("user add", &[&name, "--password-file", &file]);
    assert_eq!((text(&added, "username"), text(&added, "role")), (name.as_str(), "participant"));
    commands.fails("user add", &[&name, "--password-file", &file], "is taken");
    commands.fails("user add", &[&unique("x")], "--password-file FILE, or - for standard input");
    commands.fails("user add", &[&unique("x"), "--password-file", "/nothing/there"], "cannot read /nothing/there");
    commands.fails("user add", &[&unique("x"), "--password-file", &password_file(commands, "short")], "10 to 1024");
    let users = commands.lines("user list", &[]);
    assert!(users.contains(&added), "{users:?}");

    let cookie = server.map(|server| sign_in(server, &name, "the first password"));
    let who = |server: &Server| {
        let request = Request::get("/api/v1/sign-in").cookie(cookie.as_ref().unwrap());
        request.send(server.address()).unwrap().status
    };
    assert_eq!(commands.one("user sign-out", &[&name]), json!({"ended": i32::from(server.is_some())}));
    if let Some(server) = server {
        assert_eq!(who(server), 401, "signed out from the next request on");
    }
    let file = password_file(commands, "the second password");
    let changed = commands.one("user change", &[&name, "--role", "admin", "--password-file", &file]);
    assert_eq!(text(&changed, "role"), "admin");
    if let Some(server) = server {
        sign_in(server, &name, "the second password");
    }
    assert_eq!(commands.one("user change", &[&name, "--active", "false"])["is_active"], false);
    if let Some(server) = server {
        let refused = sign_in_request(&name, "the second password").send(server.address()).unwrap();
        assert_eq!(refused.status, 401);
    }
    commands.one("user change", &[&name, "--active", "true", "--role", "participant"]);
    commands.fails("user sign-out", &["nobody of this name"], "there is no user 'nobody of this name'");
    name
}

fn tokens(commands: &mut Commands, server: Option<&Server>, user: &str) {
    let kinds: [&[&str]; 3] =
        [&["a backend"], &["a program", "--user", user], &["t", "--expires-at", "2999-01-01T00:00:00Z"]];
    for args in kinds {
        let token = commands.one("token create", args);
        let (id, secret) = (text(&token, "id").to_owned(), text(&token, "secret").to_owned());
        let listed = commands.lines("token list", &[]);
        assert!(listed.iter().any(|token| token["id"] == id.as_str() && token.get("secret").is_none()));
        let status = |server: &Server| {
            let target = if args.contains(&"--user") { "/api/v1/sign-in" } else { "/api/v1/sessions" };
            let request = Request::get(target).header("Authorization", &format!("Bearer {secret}"));
            request.send(server.address()).unwrap().status
        };
        assert_eq!(server.map_or(200, &status), 200);
        assert!(commands.one("token revoke", &[&id])["revoked_at"].is_string());
        assert_eq!(server.map_or(401, &status), 401, "revoked from the next request on");
    }
    commands.fails("token create", &["t", "--user", "nobody of this name"], "there is no user");
    commands.fails("token revoke", &[&Uuid::now_v7().to_string()], "not found");
}

fn settings(commands: &mut Commands) -> String {
    let name = unique("cli-settings");
    let made = commands.one("settings create", &[&name]);
    assert_eq!((text(&made, "recording_mode"), &made["interval_seconds"]), ("INTERVAL", &json!(1)));
    let id = text(&made, "id").to_owned();
    commands.fails("settings create", &[&name], "");
    commands.fails("settings create", &[&unique("x"), "--interval", "0"], "interval_seconds is at least 1");
    let events = ["--mode", "event-driven", "--on-button-click", "true", "--resolution", "640x480"];
    let changed = commands.one("settings change", &[[id.as_str()].as_slice(), &events].concat());
    assert_eq!((&changed["capture_on_button_click"], text(&changed, "resolution")), (&json!(true), "640x480"));
    commands.fails("settings change", &[&id, "--resolution", "x"], "resolution is width and height");
    commands.fails("settings change", &[&Uuid::now_v7().to_string()], "there are no camera settings");
    assert_eq!(commands.one("settings default", &[&id])["is_default"], true);
    let defaults =
        commands.lines("settings list", &[]).iter().filter(|settings| settings["is_default"] == true).count();
    assert_eq!(defaults, 1);
    let off = commands.one("settings deactivate", &[&id]);
    assert_eq!((&off["is_active"], &off["is_default"]), (&json!(false), &json!(false)));
    id
}

fn sessions(commands: &mut Commands, user: &str, settings_id: &str) {
    let id = Uuid::new_v4().to_string();
    let made = commands.one("session create", &["--user", user, "--id", &id, "--settings", settings_id]);
    assert_eq!((text(&made, "id"), text(&made, "camera_settings_id")), (id.as_str(), settings_id));
    assert_eq!(commands.one("session create", &["--user", user, "--id", &id]), made, "again, it changes nothing");
    assert!(commands.one("session create", &["--user", user, "--no-settings"])["camera_settings_id"].is_null());
    commands.fails("session create", &["--user", "nobody of this name"], "there is no user");
    commands.fails("session create", &["--user", user, "--id", &id, "--no-settings"], "other settings");
    assert_eq!(commands.one("session show", &[&id]), made);
    commands.fails("session show", &[&Uuid::new_v4().to_string()], "there is no session");
    assert_eq!(commands.lines("session list", &["--user", user]).len(), 2);
    assert_eq!(commands.lines("session list", &["--limit", "1"]).len(), 1);
    assert!(commands.one("session change", &[&id])["camera_settings_id"].is_null());
    let ended = commands.one("session end", &[&id]);
    assert!(ended["ended_at"].is_string());
    assert_eq!(commands.one("session end", &[&id]), ended);
}

fn captures(commands: &mut Commands, session_id: &str, running: Option<&mut Api>) {
    let listed = commands.lines("capture list", &["--session", session_id]);
    assert!(!listed.is_empty());
    assert_eq!(commands.lines("capture list", &["--limit", "1"]).len(), 1);
    let id = text(&listed[0], "id");
    assert_eq!(commands.one("capture show", &[id]), listed[0]);
    assert_eq!(commands.one("capture delete", &[id]), json!({"deleted": id}));
    commands.fails("capture show", &[id], "there is no capture");
    commands.fails("capture delete", &[id], "not found");
    assert_eq!(commands.lines("capture list", &["--session", session_id]), listed[1..]);
    if let Some(api) = running {
        assert_eq!(api.file(text(&listed[0], "filename")).unwrap().status, 404, "gone from the next request on");
    }
}

/// No server here runs them: what dead letters look like is told in `tasks/command.rs`.
fn tasks(commands: &mut Commands, session_id: &str) {
    let listed = commands.lines("task list", &["--session", session_id]);
    let task = listed.iter().find(|task| task["state"] == "PENDING").expect("a task that waits");
    let id = text(task, "id");
    assert_eq!(&commands.one("task show", &[id]), task);
    commands.fails("task retry", &[id], "only FAILURE and REVOKED");
    assert_eq!(text(&commands.one("task revoke", &[id]), "state"), "REVOKED");
    assert_eq!(text(&commands.one("task retry", &[id]), "state"), "PENDING");
    commands.fails("task show", &[&Uuid::now_v7().to_string()], "there is no task");
}

/// Everything that a table for people must show: a head and a line for each item.
fn tables(commands: &mut Commands) {
    let lists = ["user list", "token list", "settings list", "session list", "capture list", "task list"];
    for list in lists {
        let items = commands.lines(list, &[]).len();
        let table = commands.run(list, &[]);
        assert_eq!((table.status, table.out.lines().count()), (0, items + 1), "{list}: {}", table.out);
        assert!(table.out.starts_with("id "), "{}", table.out);
    }
}

fn story(commands: &mut Commands, server: Option<&Server>, session_id: &str, mut running: Option<Api>) {
    let user = users(commands, server);
    tokens(commands, server, &user);
    let settings_id = settings(commands);
    sessions(commands, &user, &settings_id);
    tasks(commands, session_id);
    captures(commands, session_id, running.as_mut());
    tables(commands);
    let clean = commands.one("fsck", &["--deep"]);
    assert_eq!(clean["captures_without_file"], json!([]));
    assert!(!commands.run("doctor", &[]).out.is_empty());
    let elsewhere = format!("file:{}", commands.data.with_file_name(unique("copy")).display());
    assert_eq!(commands.one("blobs copy", &["--to", &elsewhere])["failed"], json!([]));
    assert_eq!(commands.one("migrate", &[])["schema_version"].as_i64().map(|version| version > 0), Some(true));
    let backup = commands.data.with_file_name(unique("backup"));
    commands.one("backup", &[backup.to_str().unwrap()]);
    let archive = commands.data.with_file_name(unique("export"));
    assert!(commands.one("export", &[archive.to_str().unwrap(), "--all"])["photos"].as_u64() > Some(0));
    for command in ["config check", "config show", "config example"] {
        assert_eq!(commands.run(command, &[]).status, 0);
    }
    assert_eq!(commands.run("plan", &["--captures-per-day", "10k"]).status, 0);
    commands.fails("bench", &["http://127.0.0.1:8080"], "say who uploads");
    // There is no app's database here; what they say of one is tested in `host`, `import` and `shadow`.
    for command in ["host check", "import", "shadow report"] {
        assert_eq!(commands.run(command, &[]).status, 2);
    }
    assert_eq!(commands.run("tune", &["--users", "1", "--disk-time", "10ms"]).status, 0);
    // They run until they are told to stop, or ask one that does, and are tested as such.
    commands.run.extend(["demo", "serve", "worker", "health", "restore"].map(str::to_owned));
    assert_eq!(commands.run, every_command(), "left: what was run; right: what there is");
}

#[test]
fn all_of_them_beside_a_server_and_without_one() {
    let mut server = server();
    let mut api = server.participant();
    for seed in 0..4 {
        assert_eq!(api.upload_photo(&photo::jpeg_bytes(3_000, seed)).unwrap().status, 200);
    }
    let session_id = api.session_id.clone();
    let mut commands = Commands::of(&server);
    story(&mut commands, Some(&server), &session_id, Some(api));
    server.terminate(Duration::from_secs(20)).unwrap();
    let mut commands = Commands::of(&server);
    story(&mut commands, None, &session_id, None);
    println!("{} commands, twice", commands.run.len());
}

#[test]
fn a_password_from_standard_input() {
    let server = server();
    let mut child = program_on(server.data())
        .args(["user", "add", "piped", "--password-file", "-", "--data"])
        .arg(server.data())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(b"from a pipe, with spaces \r\n").unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    assert!(!String::from_utf8(output.stdout).unwrap().contains("from a pipe"), "no password is printed");
    sign_in(&server, "piped", "from a pipe, with spaces ");
}
