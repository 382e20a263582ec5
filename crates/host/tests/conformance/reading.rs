//! Users, sessions and settings, whatever their keys are.

use host::{AppUser, Error, RecordingMode, SESSIONS, SETTINGS, uuid_of};

use crate::support::{App, Engine, KEYS, Keys};

#[tokio::test]
async fn a_session_with_its_settings_is_found_by_every_kind_of_key() {
    for keys in KEYS {
        let app = App::new(keys).await;
        app.settings(7, "INTERVAL", "5").await;
        app.session(42, 1, Some(7)).await;
        app.session(43, 2, None).await;
        let host = app.host();
        let session = host.session(&app.name(42)).await.unwrap().unwrap_or_else(|| panic!("{keys:?}"));
        assert_eq!((session.key.as_str(), session.user_id), (app.name(42).as_str(), 1), "{keys:?}");
        assert_eq!(session.id, uuid_of(SESSIONS, &app.name(42)));
        let settings = session.settings.as_ref().unwrap();
        assert_eq!(settings.id, uuid_of(SETTINGS, &app.name(7)));
        assert_eq!(settings.key, app.name(7));
        assert_eq!(settings.setting_name, "study 7");
        assert_eq!((settings.recording_mode, settings.interval_seconds), (RecordingMode::Interval, Some(5)));
        assert_eq!(settings.resolution, "1280x720");
        let flags = [
            settings.capture_on_button_click,
            settings.capture_on_message_send,
            settings.capture_on_question_start,
            settings.is_active,
            settings.is_default,
        ];
        assert_eq!(flags, [true, false, true, true, false], "{keys:?}");
        assert_eq!(host.session(&app.name(43)).await.unwrap().unwrap().settings, None);
        assert_eq!(host.session(&app.name(44)).await.unwrap(), None);
        for strange in ["", "x", "-", "42 OR 1=1", "42abc", "' OR ''='", "\0", &"9".repeat(400), "é"] {
            assert_eq!(host.session(strange).await.unwrap(), None, "{keys:?} {strange:?}");
        }
        if keys != Keys::Integer {
            // However somebody writes it, it is the same session.
            let uuid = app.name(42);
            for form in [uuid.to_uppercase(), uuid.replace('-', ""), format!("{{{uuid}}}")] {
                assert_eq!(host.session(&form).await.unwrap().unwrap().key, uuid, "{keys:?} {form}");
            }
        }
    }
}

#[tokio::test]
async fn what_changed_in_the_app_is_seen_and_what_it_deleted_is_gone() {
    let app = App::new(Keys::Integer).await;
    app.settings(7, "EVENT_DRIVEN", "NULL").await;
    app.session(42, 1, None).await;
    let host = app.host();
    assert_eq!(host.session("42").await.unwrap().unwrap().user_id, 1);
    app.execute("UPDATE assessment_sessions SET user_id = 2, camera_settings_id = 7").await;
    let session = host.session("42").await.unwrap().unwrap();
    assert_eq!(session.user_id, 2);
    let settings = session.settings.as_ref().unwrap();
    assert_eq!((settings.recording_mode, settings.interval_seconds), (RecordingMode::EventDriven, None));
    app.execute("DELETE FROM assessment_sessions").await;
    assert_eq!(host.session("42").await.unwrap(), None);
}

#[tokio::test]
async fn users_are_known_by_number_and_say_what_the_configuration_asks() {
    let app = App::new(Keys::Integer).await;
    let user = |id, name: &str, is_active, is_admin| AppUser { id, username: name.to_owned(), is_active, is_admin };
    assert_eq!(app.host().user(1).await.unwrap(), Some(user(1, "ada", true, false)));
    assert_eq!(app.host().user(3).await.unwrap(), None);
    app.execute("UPDATE users SET is_active = false WHERE id = 2").await;
    // Unless the configuration names the column, everybody may.
    assert_eq!(app.host().user(2).await.unwrap(), Some(user(2, "bob", true, false)));
    app.execute("ALTER TABLE users ADD COLUMN role VARCHAR(20)").await;
    app.execute("UPDATE users SET role = 'Admin' WHERE id = 1").await;
    let mut options = app.options();
    "is_active".clone_into(&mut options.users.active);
    "role".clone_into(&mut options.users.admin);
    options.users.admin_values = vec!["admin".to_owned()];
    let host = host::Host::new(options).unwrap();
    assert_eq!(host.user(1).await.unwrap(), Some(user(1, "ada", true, true)));
    assert_eq!(host.user(2).await.unwrap(), Some(user(2, "bob", false, false)));
}

#[tokio::test]
async fn a_table_without_a_name_for_people_is_read_all_the_same() {
    let app = App::empty(Keys::Integer).await;
    app.execute("CREATE TABLE users (id BIGINT PRIMARY KEY, email VARCHAR(50)); INSERT INTO users VALUES (9, 'x@y')")
        .await;
    assert_eq!(app.host().user(9).await.unwrap().unwrap().username, "user 9");
}

#[tokio::test]
async fn other_columns_than_configured_are_told_of_by_name_and_nothing_is_believed() {
    let app = App::new(Keys::Integer).await;
    app.session(42, 1, None).await;
    let mut options = app.options();
    "owner".clone_into(&mut options.sessions.user);
    let error = host::Host::new(options).unwrap().session("42").await.unwrap_err();
    assert!(
        matches!(&error, Error::Schema(why) if why.contains("assessment_sessions") && why.contains("owner")),
        "{error}"
    );
    let mut options = app.options();
    "people".clone_into(&mut options.users.table);
    let error = host::Host::new(options).unwrap().user(1).await.unwrap_err();
    assert!(matches!(&error, Error::Schema(why) if why.contains("people")), "{error}");
    // A mode of neither kind, and an owner that is no number.
    app.execute("ALTER TABLE camera_settings DROP COLUMN recording_mode").await;
    app.execute("ALTER TABLE camera_settings ADD COLUMN recording_mode VARCHAR(9)").await;
    let key = app.key(7);
    app.execute(&format!(
        "INSERT INTO camera_settings (id, setting_name, recording_mode, resolution, capture_on_button_click,
             capture_on_message_send, capture_on_question_start, is_active, is_default)
         VALUES ({key}, 'x', 'SOMETIMES', '', true, true, true, true, true)"
    ))
    .await;
    app.execute("UPDATE assessment_sessions SET camera_settings_id = 7").await;
    let host = app.host();
    assert!(matches!(host.session("42").await.unwrap_err(), Error::Schema(why) if why.contains("recording_mode")));
    app.execute("UPDATE camera_settings SET recording_mode = 'interval'").await;
    // The next look is a new one: no restart is needed.
    assert!(host.session("42").await.unwrap().unwrap().settings.is_some());
}

#[tokio::test]
async fn a_table_that_was_altered_meanwhile_is_looked_at_again() {
    let app = App::new(Keys::Integer).await;
    app.session(42, 1, None).await;
    let mut options = app.options();
    String::new().clone_into(&mut options.sessions.settings);
    let host = host::Host::new(options).unwrap();
    assert!(host.session("42").await.unwrap().is_some());
    app.execute("ALTER TABLE assessment_sessions RENAME COLUMN user_id TO owner_id").await;
    assert!(matches!(host.session("42").await.unwrap_err(), Error::Schema(_)));
    app.execute("ALTER TABLE assessment_sessions RENAME COLUMN owner_id TO user_id").await;
    assert!(host.session("42").await.unwrap().is_some());
}

#[tokio::test]
async fn captures_come_in_pages_by_their_keys() {
    for keys in KEYS {
        let app = App::new(keys).await;
        app.session(42, 1, None).await;
        for number in 100..110 {
            let (key, session, second) = (app.key(number), app.key(42), number - 100);
            let assessment = if number % 2 == 0 { app.key(7) } else { "NULL".to_owned() };
            app.execute(&format!(
                "INSERT INTO camera_captures (id, session_id, filename, file_size_bytes, capture_trigger, timestamp,
                     assessment_id, assessment_type)
                 VALUES ({key}, {session}, 'f{number}.jpg', {number}, 'interval', '2026-11-24 08:00:{second:02}.5', {assessment},
                         'PHQ')"
            ))
            .await;
        }
        let host = app.host();
        assert_eq!(host.count_captures(None, None).await.unwrap(), 10, "{keys:?}");
        assert_eq!(host.count_captures(Some("2026-11-24 08:00:05"), None).await.unwrap(), 5, "{keys:?}");
        assert_eq!(host.count_captures(None, Some("2026-11-24 08:00:05")).await.unwrap(), 5, "{keys:?}");
        let (mut after, mut all) = (None, Vec::new());
        loop {
            let page = host.captures(after.as_deref(), 3).await.unwrap();
            let Some(last) = page.last() else { break };
            after = Some(last.id.clone());
            all.extend(page);
            assert!(all.len() <= 10, "{keys:?}");
        }
        assert_eq!(all.len(), 10, "{keys:?}");
        for (row, number) in all.iter().zip(100_u64..) {
            assert_eq!((row.id.clone(), row.session_id.clone()), (app.name(number), app.name(42)), "{keys:?}");
            assert_eq!(
                (row.filename.clone(), row.file_size_bytes),
                (format!("f{number}.jpg"), i64::try_from(number).ok())
            );
            let time = format!("2026-11-24T08:00:{:02}.5Z", number - 100);
            assert_eq!(row.time(), time.parse().ok(), "{:?}", row.timestamp);
            assert_eq!(row.assessment_id.is_some(), number % 2 == 0);
        }
        // Links, and the app's own keys resolved.
        let mut links = host.links(&app.name(42)).await.unwrap();
        links.sort_by_key(|link| link.filename.clone());
        assert_eq!(links.len(), 5, "{keys:?}");
        assert_eq!((links[0].filename.as_str(), links[0].assessment_type.as_str()), ("f100.jpg", "PHQ"));
        match keys {
            Keys::Integer => assert_eq!(links[0].assessment_id, "7"),
            Keys::Uuid | Keys::Text => assert_eq!(links[0].assessment_id, format!("\"{}\"", app.name(7))),
            Keys::Digits | Keys::Bytes => {
                assert_eq!(links[0].assessment_id, format!("\"{}\"", app.name(7).replace('-', "")));
            }
        }
        let asked = [app.name(101), app.name(105), app.name(999), "nonsense".to_owned()];
        let mut names = host.filenames(&app.name(42), &asked).await.unwrap();
        names.sort();
        assert_eq!(names.len(), 2, "{keys:?}");
        assert_eq!(names[0], (app.name(101), "f101.jpg".to_owned()));
        assert_eq!(host.filenames(&app.name(43), &asked).await.unwrap(), []);
    }
}

#[tokio::test]
async fn an_app_may_have_put_its_tables_elsewhere() {
    let app = App::empty(Keys::Integer).await;
    if app.engine == Engine::Sqlite {
        return;
    }
    let schema = if app.engine == Engine::Postgres { "app" } else { app.url.rsplit_once('/').unwrap().1 };
    if app.engine == Engine::Postgres {
        app.execute("CREATE SCHEMA app").await;
    }
    app.execute(&format!(
        "CREATE TABLE {schema}.people (id INTEGER PRIMARY KEY); INSERT INTO {schema}.people VALUES (5)"
    ))
    .await;
    let mut options = app.options();
    options.users.table = format!("{schema}.people");
    assert!(host::Host::new(options).unwrap().user(5).await.unwrap().is_some());
}
