//! `filmgate bench`, against the real server: what it counts is what the catalog has, and a stall is not hidden.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use serde_json::Value;
use testkit::{Server, process};

use crate::cli::Commands;
use crate::support::{Ran, builder, filmgate, holds_within, rows_of_catalog, server, unprocessed};

/// A folder with the secrets of a server's people in files, as the command wants them.
struct Secrets(tempfile::TempDir);

impl Secrets {
    fn of(server: &Server) -> Self {
        let secrets = Self(tempfile::tempdir().unwrap());
        secrets.keep("password", &server.demo().participant.password);
        secrets.keep("cookie", &server.demo().participant.cookie);
        secrets
    }

    fn keep(&self, name: &str, secret: &str) -> String {
        fs::write(self.file(name), format!("{secret}\n")).unwrap();
        self.path(name)
    }

    fn file(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn path(&self, name: &str) -> String {
        self.file(name).to_str().unwrap().to_owned()
    }
}

fn url(server: &Server) -> String {
    format!("http://{}", server.address())
}

/// As few seconds as a test wants: nothing alone, nothing to warm up.
const SHORT: [&str; 6] = ["--alone", "0", "--warm-up", "0", "--duration", "2s"];

fn bench(server: &Server, secrets: &Secrets, args: &[&str]) -> Ran {
    let (url, password) = (url(server), secrets.path("password"));
    let who = ["bench", &url, "--user", "participant", "--password-file", &password];
    filmgate(&[&who, &SHORT[..], args].concat())
}

#[track_caller]
fn report(ran: &Ran, status: i32) -> Value {
    assert_eq!(ran.status, status, "{ran:?}");
    serde_json::from_str(&ran.out).unwrap_or_else(|error| panic!("{error}: {ran:?}"))
}

#[test]
fn it_counts_what_the_catalog_has() {
    let server = server();
    let secrets = Secrets::of(&server);
    let args = ["--users", "4", "--interval", "200ms", "--slow", "3", "--slow-rate", "20KB/s"];
    let report = report(&bench(&server, &secrets, &[&args[..], &["--json"]].concat()), 0);
    let uploads = &report["uploads"];
    assert_eq!((&uploads["due"], &uploads["taken"]), (&Value::from(40), &Value::from(40)), "{report}");
    assert_eq!((&uploads["refused"], &uploads["failed"]), (&Value::from(0), &Value::from(0)));
    assert_eq!(report["load"]["loop"], "open");
    assert_eq!(report["slow"]["held_at_begin"], 3);
    assert!(report["slow"]["captures_stored"].as_u64().unwrap() >= 3, "{}", report["slow"]);
    // The look before, forty measured, and the slow ones.
    let listed = server.participant().list().unwrap();
    assert_eq!(listed.len() as u64, report["captures_stored_in_all"].as_u64().unwrap());
    assert!(listed.iter().all(|capture| capture["file_size_bytes"] == 100_000), "a photo of another size");
    let quick = &report["quick"]["beside"];
    assert_eq!((&quick["refused"], &quick["failed"]), (&Value::from(0), &Value::from(0)));
    assert_eq!(quick["asked"], 100, "every 20 ms of two seconds");
}

#[test]
fn a_files_photo_arrives_to_the_byte_and_asked_for_tasks_are_counted() {
    let server = server();
    let secrets = Secrets::of(&server);
    let photo = testkit::photo::jpeg(320, 200, 5);
    let file = secrets.file("photo.jpg");
    fs::write(&file, &photo).unwrap();
    let args = ["--photo", file.to_str().unwrap(), "--users", "2", "--queued", "--idempotency-keys", "--json"];
    let report = report(&bench(&server, &secrets, &args), 0);
    assert_eq!((&report["uploads"]["tasks_queued"], &report["tasks_queued_in_all"]), (&4.into(), &5.into()));
    let mut api = server.participant();
    let names = api.listed_filenames().unwrap();
    assert_eq!(names.len(), 5);
    assert_eq!(api.file(&names[0]).unwrap().body, photo);
}

/// A run beside which the server is stopped for a second, soon after it began.
fn beside_a_stall(args: &[&str]) -> Value {
    let server = server();
    let secrets = Secrets::of(&server);
    let out = secrets.file("report.json");
    let mut child: Child = Command::new(env!("CARGO_BIN_EXE_filmgate"))
        .args(["bench", &url(&server), "--user", "participant", "--password-file", &secrets.path("password")])
        .args(["--alone", "0", "--warm-up", "0", "--duration", "4s", "--photo-bytes", "30KB", "--quick-interval", "0"])
        .args(["--json-file", out.to_str().unwrap()])
        .args(args)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut api = server.participant();
    assert!(holds_within(Duration::from_secs(20), || api.list().is_ok_and(|list| list.len() > 5)));
    process::signal(server.pid(), rustix::process::Signal::STOP);
    thread::sleep(Duration::from_secs(1));
    process::signal(server.pid(), rustix::process::Signal::CONT);
    assert!(child.wait().unwrap().success());
    serde_json::from_str(&fs::read_to_string(out).unwrap()).unwrap()
}

/// Uploads whose latency was at least so long.
fn slower_than(report: &Value, seconds: f64) -> u64 {
    let steps = report["histogram"].as_array().unwrap();
    let slow = steps.iter().filter(|step| step["from_seconds"].as_f64().unwrap() >= seconds);
    slow.map(|step| step["count"].as_u64().unwrap()).sum()
}

#[test]
fn a_stall_shows_in_every_upload_that_was_due_in_it() {
    let open = beside_a_stall(&["--users", "5", "--interval", "100ms"]);
    assert_eq!(open["uploads"]["due"], 200);
    // Fifty were due in the second, and thirty in its first 0.6.
    assert!(slower_than(&open, 0.39) >= 25, "{open}");
    assert!(open["uploads"]["latency_seconds"]["max"].as_f64().unwrap() >= 0.9, "{open}");
    // The control: who waits for answers asks two in that second, and two slow ones of hundreds are nothing to see.
    let closed = beside_a_stall(&["--users", "2", "--interval", "0"]);
    assert!(slower_than(&closed, 0.39) <= 6, "{closed}");
    assert!(slower_than(&closed, 0.39) < closed["uploads"]["taken"].as_u64().unwrap() / 20, "{closed}");
    assert!(closed["warnings"].to_string().contains("closed loop"), "{closed}");
}

#[test]
fn refusals_are_counted_by_their_code_and_end_with_one() {
    let server = unprocessed(builder()).env("FILMGATE__INGEST__UPLOADS_IN_FLIGHT_PER_USER_MAX", "2").start().unwrap();
    let secrets = Secrets::of(&server);
    let args = ["--users", "4", "--interval", "500ms", "--slow", "5", "--slow-let-go", "--quick", "/livez"];
    let report = report(&bench(&server, &secrets, &[&args[..], &["--json"]].concat()), 1);
    assert_eq!(report["slow"]["refusals"][0]["count"], 3, "{report}");
    assert_eq!((&report["slow"]["held_at_end"], &report["slow"]["let_go"]), (&2.into(), &2.into()), "{report}");
    let refusals = &report["uploads"]["refusals"];
    assert_eq!((&refusals[0]["code"], &refusals[0]["count"]), (&"429 too_many_uploads".into(), &16.into()), "{report}");
    assert_eq!(report["uploads"]["taken"], 0);
    assert_eq!(rows_of_catalog(&server).len(), 1, "the look before");
}

#[test]
fn an_administrators_token_makes_the_users_and_puts_them_away() {
    let server = server();
    let secrets = Secrets::of(&server);
    let mut commands = Commands::of(&server);
    let token = commands.one("token create", &["bench", "--user", "admin"])["secret"].as_str().unwrap().to_owned();
    let file = secrets.keep("token", &token);
    let url = url(&server);
    let who = ["bench", &url, "--admin-token-file", &file, "--users", "3", "--json"];
    let report = report(&filmgate(&[&who, &SHORT[..]].concat()), 0);
    assert_eq!((&report["load"]["sessions"], &report["uploads"]["taken"]), (&3.into(), &6.into()), "{report}");
    assert_eq!(rows_of_catalog(&server).len(), 7);
    let users = commands.lines("user list", &[]);
    let made: Vec<_> = users.iter().filter(|user| user["username"].as_str().unwrap().starts_with("bench-")).collect();
    assert!(made.len() == 3 && made.iter().all(|user| user["is_active"] == false), "{users:?}");
    let tokens = commands.lines("token list", &[]);
    let left: Vec<_> = tokens.iter().filter(|token| token["revoked_at"].is_null()).collect();
    assert_eq!(left.len(), 1, "the administrator's own: {left:?}");
}

#[test]
fn the_page_holds_its_figures_and_fetches_nothing() {
    let server = server();
    let secrets = Secrets::of(&server);
    let (page, json) = (secrets.path("report.html"), secrets.path("report.json"));
    let ran = bench(&server, &secrets, &["--users", "3", "--html", &page, "--json-file", &json]);
    assert_eq!(ran.status, 0, "{ran:?}");
    assert!(ran.out.contains("6 due, 6 taken, 0 refused, 0 failed") && ran.out.contains(&page), "{}", ran.out);
    let (page, json) = (fs::read_to_string(page).unwrap(), fs::read_to_string(json).unwrap());
    let within = page.split_once("id=\"report\">").unwrap().1.split_once("</script>").unwrap().0;
    let within: Value = serde_json::from_str(within).unwrap();
    assert_eq!(within, serde_json::from_str::<Value>(&json).unwrap());
    assert_eq!(page.matches("<svg").count(), 5, "plots");
    for words in ["6 <small>of 6</small>", "0 refused, 0 failed", &url(&server), "prefers-color-scheme: dark"] {
        assert!(page.contains(words), "{words} is not in the page");
    }
    for fetched in ["src=", "href=", "@import", "url("] {
        assert!(!page.contains(fetched), "{fetched} is in the page");
    }
}

/// A server of something else: answers everything with this.
fn stranger(answer: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let _read = stream.read(&mut [0; 4096]);
            let _written = stream.write_all(answer.as_bytes());
        }
    });
    url
}

#[test]
fn what_cannot_be_measured_is_said_in_words_and_ends_with_two() {
    let server = server();
    let secrets = Secrets::of(&server);
    let (url, password, cookie) = (url(&server), secrets.path("password"), secrets.path("cookie"));
    let wrong = secrets.keep("wrong", "not the password");
    let no_photo = secrets.keep("no-photo.jpg", "hello");
    let two = secrets.keep("two", "session=a\nsession=b");
    let page = stranger("HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 6\r\n\r\n<html>");
    let login = stranger("HTTP/1.1 302 Found\r\nLocation: /login\r\nContent-Length: 0\r\n\r\n");
    let session = server.demo().participant.session_id.clone();
    let other = server.demo().other.session_id.clone();
    let absent = secrets.path("absent");
    let cases: [(&[&str], &str); 15] = [
        (&[&url], "say who uploads: --user NAME"),
        (&["nonsense", "--cookie-file", &cookie], "'nonsense' is no address of a server"),
        (&["ftp://localhost", "--cookie-file", &cookie], "begins with http:// or https://"),
        (&["http://127.0.0.1:9", "--cookie-file", &cookie], "does not answer"),
        (&[&url, "--user", "participant", "--password-file", &wrong], "the sign-in of 'participant' was refused"),
        (&[&url, "--cookie-file", &wrong], "the sign-in was refused"),
        (&[&url, "--token-file", &absent], "cannot read"),
        (&[&page, "--cookie-file", &cookie, "--session", &session], "no server of the upload contract"),
        (&[&page, "--cookie-file", &cookie], "name one with --session"),
        (&[&login, "--cookie-file", &cookie, "--session", &session], "as an app does with who is not signed in"),
        (&[&url, "--cookie-file", &cookie, "--session", &other], "cannot be used: Session not found"),
        (&[&url, "--cookie-file", &two, "--session", "a", "--session", "b", "--session", "c"], "2 who sign in, but 3"),
        (&[&url, "--cookie-file", &cookie, "--photo", &no_photo], "is no photo to upload"),
        (&[&url, "--cookie-file", &cookie, "--trigger", "BUTTON_CLICK"], "do not want this trigger"),
        (&[&url, "--cookie-file", &cookie, "--photo-bytes", "900"], "does not fit into 900 bytes"),
    ];
    for (args, words) in cases {
        let ran = filmgate(&[&["bench"], args, &SHORT[..]].concat());
        assert_eq!((ran.status, ran.out.as_str()), (2, ""), "{args:?}: {ran:?}");
        assert!(ran.err.contains(words) && !ran.err.contains("panicked"), "{args:?}: {}", ran.err);
    }
    let secret = fs::read_to_string(password).unwrap();
    let ran = filmgate(&["bench", &url, "--user", "participant", "--password-file", &wrong]);
    assert!(!ran.err.contains(secret.trim()) && !ran.err.contains("not the password"));
    assert_eq!(rows_of_catalog(&server).len(), 0);
    println!("{} mistakes", cases.len());
}

#[test]
fn a_server_that_hangs_up_is_a_failure_and_nothing_is_sent_twice() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let place = tempfile::tempdir().unwrap();
    let uploads = place.path().join("uploads");
    fs::write(&uploads, "").unwrap();
    let counted = uploads.clone();
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut head = vec![0; 65_536];
            let read = stream.read(&mut head).unwrap_or(0);
            let body = r#"{"status":"OLKORECT","captures":[{}]}"#;
            let answer =
                format!("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}", body.len());
            if head[..read].starts_with(b"POST") {
                let before = fs::read_to_string(&counted).unwrap();
                fs::write(&counted, before.clone() + "x").unwrap();
                // The first is the look before; every other is hung up on.
                if before.len() % 2 == 1 {
                    continue;
                }
                drain(&mut stream, &head[..read]);
            }
            let _written = stream.write_all(answer.as_bytes());
        }
    });
    let cookie = place.path().join("cookie");
    fs::write(&cookie, "session=x").unwrap();
    let cookie = cookie.to_str().unwrap();
    let args = ["bench", &url, "--cookie-file", cookie, "--session", "a", "--users", "1", "--interval", "100ms"];
    let ran = filmgate(&[&args, &SHORT[..], &["--quick-interval", "0", "--json"]].concat());
    let report = report(&ran, 1);
    let uploads = |name: &str| report["uploads"][name].as_u64().unwrap();
    assert_eq!((uploads("due"), uploads("taken") + uploads("failed")), (20, 20), "{report}");
    assert!(uploads("failed") >= 8, "{report}");
    assert_eq!(sent(&place.path().join("uploads")), 21, "the look before, and one for each that was due");
    assert!(report["uploads"]["failures"].to_string().contains("closed before the answer"), "{report}");
}

fn sent(file: &Path) -> usize {
    fs::read_to_string(file).unwrap().len()
}

/// Reads the rest of a body whose length its head tells.
fn drain(stream: &mut std::net::TcpStream, begin: &[u8]) {
    let text = String::from_utf8_lossy(begin).to_lowercase();
    let length: usize = text.split_once("content-length: ").unwrap().1.lines().next().unwrap().trim().parse().unwrap();
    let head = begin.windows(4).position(|window| window == b"\r\n\r\n").unwrap() + 4;
    let mut left = (head + length).saturating_sub(begin.len());
    let mut piece = vec![0; 65_536];
    while left > 0 {
        match stream.read(&mut piece) {
            Ok(read) if read > 0 => left = left.saturating_sub(read),
            _ => return,
        }
    }
}

#[test]
fn the_server_signs_in_nobody_by_the_command_line() {
    let help = filmgate(&["bench", "--help"]).out;
    for words in ["--password-file", "--token-file", "--cookie-file", "--admin-token-file", "docs/bench.md", "open"] {
        assert!(help.contains(words), "{words} is not in {help}");
    }
    assert!(!help.contains("--password "), "a password on the command line is in everybody's list of processes");
}
