//! `filmgate host check`, on real tables that fit and on such as do not.

use std::process::Command;

use serde_json::Value;

use super::app::{App, Keys};
use crate::support::{Ran, ran};

fn check(app: &App, settings: &[(&str, &str)]) -> Ran {
    let mut command = Command::new(env!("CARGO_BIN_EXE_filmgate"));
    command.args(["host", "check", "--json"]).env("FILMGATE__HOST__DATABASE_URL", app.url());
    command.env("FILMGATE__IDENTITY__PROVIDER", "flask").env("FILMGATE__IDENTITY__FLASK__SECRET_KEYS", "a key");
    for (name, value) in settings {
        command.env(format!("FILMGATE__HOST__{name}"), value);
    }
    ran(&mut command)
}

/// What does not work: what to set, and what was found.
fn bad(ran: &Ran) -> Vec<(String, String)> {
    let findings = ran.out.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let text = |finding: &Value, name: &str| finding[name].as_str().unwrap_or_default().to_owned();
    findings.filter(|it| it["level"] == "bad").map(|it| (text(&it, "setting"), text(&it, "what"))).collect()
}

#[test]
fn what_fits_is_said_to_fit_and_what_is_missing_with_the_setting_to_change() {
    for app in App::on_each() {
        let ran = check(
            &app,
            &[("WRITE_CAPTURES", "true"), ("USER_ACTIVE_COLUMN", "is_active"), ("USER_ADMIN_COLUMN", "role")],
        );
        assert_eq!((ran.status, bad(&ran)), (0, Vec::new()), "{ran:?}");
        assert!(ran.out.contains("3 users") && ran.out.contains("2 sessions") && ran.out.contains("DELETE"), "{ran:?}");
        app.execute("ALTER TABLE camera_captures RENAME COLUMN filename TO file");
        app.execute("ALTER TABLE camera_settings DROP COLUMN is_default");
        app.execute("UPDATE camera_settings SET recording_mode = 'SOMETIMES'");
        let ran = check(&app, &[("USERS_TABLE", "people"), ("SESSION_USER_COLUMN", "owner")]);
        let bad: Vec<_> = bad(&ran);
        let settings: Vec<&str> = bad.iter().map(|(setting, _)| setting.as_str()).collect();
        let expected = [
            "host.users_table",
            "host.session_user_column",
            "host.settings_columns",
            "host.settings_query",
            "host.captures_columns",
        ];
        assert_eq!((ran.status, settings), (1, expected.to_vec()), "{ran:?}");
        assert!(bad[1].1.contains("owner") && bad[1].1.contains("user_id"), "{bad:?}");
        assert!(bad[3].1.contains("SOMETIMES"), "{bad:?}");
        app.execute("UPDATE camera_settings SET recording_mode = 'interval'");
        let ran = check(&app, &[("SETTINGS_COLUMNS", "is_default="), ("CAPTURES_COLUMNS", "filename=file")]);
        assert_eq!(ran.status, 0, "{ran:?}");
    }
}

#[test]
fn what_cannot_be_written_and_what_is_not_there_are_told_apart() {
    let app = App::on_sqlite(Keys::Integer);
    app.execute("ALTER TABLE camera_captures ADD COLUMN shoe_size INTEGER NOT NULL DEFAULT 40");
    assert_eq!(check(&app, &[("WRITE_CAPTURES", "true")]).status, 0);
    app.execute(
        "DROP TABLE camera_captures; CREATE TABLE camera_captures (id INTEGER PRIMARY KEY, session_id INTEGER,
        filename TEXT, file_size_bytes INTEGER, capture_trigger TEXT, timestamp DATETIME, assessment_id INTEGER,
        assessment_type TEXT, camera_settings_snapshot JSON, shoe_size INTEGER NOT NULL)",
    );
    let ran = check(&app, &[("WRITE_CAPTURES", "true")]);
    assert_eq!(ran.status, 1, "{ran:?}");
    assert!(bad(&ran)[0].1.contains("shoe_size"), "{ran:?}");
    assert_eq!(check(&app, &[]).status, 0, "only read, it does not matter");
    let ran = check(&app, &[("DATABASE_URL", "postgresql://nobody:hunter2@127.0.0.1:1/none")]);
    assert_eq!(ran.status, 2, "{ran:?}");
    assert!(ran.err.contains("away") && !ran.err.contains("hunter2"), "{ran:?}");
    let ran = check(&app, &[("DATABASE_URL", "")]);
    assert_eq!(ran.status, 2, "{ran:?}");
    assert!(ran.err.contains("host.database_url is empty"), "{ran:?}");
}
