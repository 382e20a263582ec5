//! `filmgate shadow report`: says what the one side has and the other has not.

use std::fs;

use serde_json::{Value, json};
use testkit::old_app::{Keys, OldApp};
use testkit::photo;
use testkit::server::Server;

use super::{Commands, json_lines};
use crate::support::{Ran, server};

fn shadow(server: &Server, app: &OldApp, more: &[&str]) -> Ran {
    let url = format!("host.database_url={}", app.url());
    let beside =
        ["--set", &url, "--set", "identity.provider=flask", "--set", "identity.flask.secret_keys=the app's key"];
    let args: Vec<&str> = more.iter().copied().chain(beside).collect();
    Commands::of(server).run("shadow report", &args)
}

/// A period that has all that this test does.
const PERIOD: [&str; 4] = ["--last", "1d", "--until", "2100-01-01"];

fn period(more: &[&'static str]) -> Vec<&'static str> {
    let whole = ["--from", "2026-01-01", "--until", "2100-01-01 00:00"];
    whole.iter().chain(more).copied().collect()
}

/// The app's row of what Filmgate took in too: saved a little later, as its own code does.
fn row(app: &OldApp, number: u64, session: &str, capture: &Value, bytes: usize) {
    let text = |name: &str| capture[name].as_str().unwrap().to_owned();
    let time = text("timestamp").replace('T', " ");
    app.insert(&[format!(
        "({}, '{session}', 'old-{number}.jpg', {bytes}, '{}', '{time}', NULL, 'GENERAL', NULL)",
        app.key(number),
        text("trigger")
    )])
    .unwrap();
}

/// A server and an app that have the same twelve photos.
fn both() -> (Server, OldApp, Vec<Value>) {
    let (server, app) = (server(), OldApp::empty(Keys::Uuid).unwrap());
    let session = server.demo().participant.session_id.clone();
    app.execute(&format!("INSERT INTO assessment_sessions VALUES ('{session}', 1, NULL)")).unwrap();
    let mut api = server.participant();
    let mut captures = Vec::new();
    for number in 0..12_u64 {
        let photo = photo::jpeg_bytes(2_000 + usize::try_from(number).unwrap() * 10, number);
        let answer = api.upload_photo(&photo).unwrap();
        assert_eq!(answer.status, 200, "{answer:?}");
        let capture = answer.json()["captures"][0].clone();
        row(&app, number, &session, &capture, photo.len());
        captures.push(capture);
    }
    (server, app, captures)
}

#[test]
fn what_one_side_lacks_is_named_and_the_same_is_said_to_be_the_same() {
    let (server, app, captures) = both();
    let session = &server.demo().participant.session_id;
    let ran = shadow(&server, &app, &period(&[]));
    assert_eq!((ran.status, ran.err.as_str()), (0, ""), "{ran:?}");
    assert!(
        ran.out.contains("12 captures in the app, 12 in Filmgate") && ran.out.contains("both have the same"),
        "{ran:?}"
    );
    assert!(!ran.out.contains(session), "minutes that do not differ are not told: {ran:?}");
    assert!(shadow(&server, &app, &period(&["--all"])).out.contains(session));

    Commands::of(&server).one("capture delete", &[captures[5]["id"].as_str().unwrap()]);
    app.execute(&format!("DELETE FROM camera_captures WHERE id = {}", app.key(8))).unwrap();
    let file = server.data().parent().unwrap().join("shadow.json");
    let more: Vec<&str> = period(&["--json"]).into_iter().chain(["--report", file.to_str().unwrap()]).collect();
    let ran = shadow(&server, &app, &more);
    assert_eq!((ran.status, ran.err.as_str()), (1, ""), "{ran:?}");
    let told = json_lines(&ran.out).remove(0);
    assert_eq!(serde_json::from_slice::<Value>(&fs::read(file).unwrap()).unwrap(), told);
    assert_eq!((&told["app"], &told["filmgate"], &told["paired_by_time"]), (&json!(11), &json!(11), &json!(0)));
    let missing = |list: &str| {
        let missing = &told[list].as_array().unwrap()[..];
        assert_eq!(missing.len(), 1, "{told}");
        (missing[0]["id"].clone(), missing[0]["trigger"].clone(), missing[0]["session_id"].clone())
    };
    assert_eq!(missing("missing_in_filmgate"), (app.key_name(5).into(), "INTERVAL".into(), session.as_str().into()));
    assert_eq!(missing("missing_in_app"), (captures[8]["id"].clone(), "INTERVAL".into(), session.as_str().into()));
    let sum = |name: &str| told["minutes"].as_array().unwrap().iter().map(|it| it[name].as_u64().unwrap()).sum::<u64>();
    assert_eq!((sum("missing_in_filmgate"), sum("missing_in_app")), (1, 1));
    let ran = shadow(&server, &app, &period(&[]));
    assert_eq!(ran.status, 1);
    for words in [
        "1 that Filmgate has not",
        "old-5.jpg",
        "1 that the app has not",
        captures[8]["filename"].as_str().unwrap(),
        "they differ",
    ] {
        assert!(ran.out.contains(words), "{words}: {}", ran.out);
    }
}

#[test]
fn where_nothing_can_be_compared_it_says_so() {
    let (server, app, _) = both();
    let ran = shadow(&server, &app, &["--from", "2020-01-01", "--until", "2020-01-02"]);
    assert!(ran.status == 0 && ran.out.contains("nothing was compared"), "{ran:?}");
    let cases: [(&[&str], &str); 5] = [
        (&["--from", "2020-01-02", "--until", "2020-01-01"], "is not before"),
        (&["--from", "yesterday"], "a time is as"),
        (&["--last", "soon"], "--last"),
        (&["--set", "host.write_captures=true"], "host.write_captures is on"),
        (&["--set", "host.captures_table="], "host.captures_table is empty"),
    ];
    for (args, says) in cases {
        let ran = shadow(&server, &app, args);
        assert_eq!((ran.status, ran.out.as_str()), (2, ""), "{args:?}: {ran:?}");
        assert!(ran.err.contains(says), "{args:?}: {}", ran.err);
    }
    let ran = Commands::of(&server).run("shadow report", &[]);
    assert!(ran.status == 2 && ran.err.contains("Set host.database_url"), "{ran:?}");
    app.execute("DROP TABLE camera_captures").unwrap();
    let ran = shadow(&server, &app, &PERIOD);
    assert!(ran.status == 2 && ran.err.contains("camera_captures"), "{ran:?}");
}
