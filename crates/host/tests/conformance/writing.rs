//! Captures in the app's own table: each once, linked by whoever was first.

use host::{Error, Put};

use crate::support::{App, Engine, KEYS, Keys};

#[tokio::test]
async fn a_capture_is_written_once_with_all_that_the_app_expects() {
    for keys in KEYS {
        let app = App::new(keys).await;
        app.session(42, 1, None).await;
        let host = app.host();
        let capture = app.capture(42);
        assert_eq!(host.put_capture(&capture).await.unwrap(), Put::Inserted, "{keys:?}");
        for _ in 0..3 {
            assert_eq!(host.put_capture(&capture).await.unwrap(), Put::Unchanged, "{keys:?}");
        }
        let rows = host.captures(None, 10).await.unwrap();
        assert_eq!(rows.len(), 1);
        let row = &rows[0];
        if keys != Keys::Integer {
            assert_eq!(row.id, capture.id.to_string(), "{keys:?}");
        }
        assert_eq!((row.session_id.clone(), row.filename.clone()), (app.name(42), capture.filename.clone()));
        assert_eq!(row.file_size_bytes, Some(123_456));
        assert_eq!(row.capture_trigger.as_deref(), Some("INTERVAL"));
        assert_eq!(row.time(), Some(capture.timestamp), "{:?}", row.timestamp);
        assert_eq!((row.assessment_id.clone(), row.assessment_type.as_deref()), (None, Some("GENERAL")));
        let snapshot: serde_json::Value =
            serde_json::from_str(row.camera_settings_snapshot.as_deref().unwrap()).unwrap();
        assert_eq!(snapshot["setting_name"], "Ünïcode \"x\"");
        // As SQLAlchemy's DateTime reads it back.
        if app.engine == Engine::Sqlite {
            assert_eq!(
                app.texts("SELECT CAST(timestamp AS TEXT) FROM camera_captures").await,
                ["2026-11-24 08:00:00.123456"]
            );
        }
        assert_eq!(app.count(&format!("session_id = {}", app.key(42))).await, 1, "{keys:?}");
        assert!(host.delete_capture(&app.name(42), capture.id, &capture.filename).await.unwrap());
        assert!(!host.delete_capture(&app.name(42), capture.id, &capture.filename).await.unwrap());
        assert_eq!(app.count("1 = 1").await, 0);
    }
}

#[tokio::test]
async fn written_by_many_at_once_it_is_there_once() {
    for keys in [Keys::Integer, Keys::Uuid, Keys::Digits] {
        let app = App::new(keys).await;
        app.session(42, 1, None).await;
        // Several processes: each with connections of its own.
        let hosts = [app.host(), app.host(), app.host()];
        let captures: Vec<_> = (0..10).map(|_| app.capture(42)).collect();
        let mut writing = Vec::new();
        for host in &hosts {
            for capture in &captures {
                let (host, capture) = (host.clone(), capture.clone());
                writing.push(tokio::spawn(async move { host.put_capture(&capture).await }));
            }
        }
        let mut inserted = 0;
        for writing in writing {
            match writing.await.unwrap() {
                Ok(Put::Inserted) => inserted += 1,
                Ok(Put::Unchanged) => {}
                other => panic!("{keys:?}: {other:?}"),
            }
        }
        assert_eq!((inserted, app.count("1 = 1").await), (10, 10), "{keys:?}");
        let filenames = app.texts("SELECT DISTINCT filename FROM camera_captures").await;
        assert_eq!(filenames.len(), 10, "{keys:?}");
    }
}

#[tokio::test]
async fn the_first_link_stays_whoever_made_it() {
    for keys in KEYS {
        let app = App::new(keys).await;
        app.session(42, 1, None).await;
        let host = app.host();
        // An assessment's id comes as JSON: a number, or a text.
        let id_of = |number| if keys == Keys::Integer { app.name(number) } else { format!("\"{}\"", app.name(number)) };
        let mut capture = app.capture(42);
        host.put_capture(&capture).await.unwrap();
        capture.assessment_id = Some(id_of(7));
        "PHQ".clone_into(&mut capture.assessment_type);
        assert_eq!(host.put_capture(&capture).await.unwrap(), Put::Linked, "{keys:?}");
        assert_eq!(host.put_capture(&capture).await.unwrap(), Put::Unchanged, "{keys:?}");
        assert_eq!(app.count("assessment_id IS NOT NULL AND assessment_type = 'PHQ'").await, 1);
        // Linked by the app, unknown to us.
        let capture = app.capture(42);
        host.put_capture(&capture).await.unwrap();
        let seven = app.key(7);
        app.execute(&format!(
            "UPDATE camera_captures SET assessment_id = {seven}, assessment_type = 'LLM' WHERE filename = '{}'",
            capture.filename
        ))
        .await;
        let Put::LinkedByApp(link) = host.put_capture(&capture).await.unwrap() else { panic!("{keys:?}") };
        assert_eq!((link.filename.as_str(), link.assessment_type.as_str()), (capture.filename.as_str(), "LLM"));
        // And then by us to something else: the app's stays.
        let ours =
            host::AppCapture { assessment_id: Some(id_of(8)), assessment_type: "PHQ".to_owned(), ..capture.clone() };
        assert_eq!(host.put_capture(&ours).await.unwrap(), Put::Unchanged);
        let kind = format!("SELECT assessment_type FROM camera_captures WHERE filename = '{}'", capture.filename);
        assert_eq!(app.texts(&kind).await, ["LLM"]);
    }
}

#[tokio::test]
async fn a_session_that_is_gone_has_no_captures() {
    for keys in KEYS {
        let app = App::new(keys).await;
        let host = app.host();
        assert_eq!(host.put_capture(&app.capture(42)).await.unwrap(), Put::SessionGone, "{keys:?}");
        assert_eq!(app.count("1 = 1").await, 0);
    }
}

#[tokio::test]
async fn a_row_that_the_app_does_not_take_is_refused_in_words() {
    let app = App::new(Keys::Integer).await;
    app.session(42, 1, None).await;
    let host = app.host();
    let mut capture = app.capture(42);
    capture.assessment_id = Some("\"no number\"".to_owned());
    assert!(matches!(host.put_capture(&capture).await, Err(Error::Rejected(why)) if why.contains("assessment_id")));
    if app.engine != Engine::Sqlite {
        let mut capture = app.capture(42);
        capture.capture_trigger = "x".repeat(51);
        assert!(matches!(host.put_capture(&capture).await, Err(Error::Rejected(_))));
    }
    // A column that must be given and that nobody knows of.
    app.execute("ALTER TABLE camera_captures ADD COLUMN shoe_size INTEGER").await;
    match app.engine {
        Engine::Postgres => app.execute("ALTER TABLE camera_captures ALTER COLUMN shoe_size SET NOT NULL").await,
        Engine::MariaDb => app.execute("ALTER TABLE camera_captures MODIFY COLUMN shoe_size INTEGER NOT NULL").await,
        Engine::Sqlite => return,
    }
    let error = host.put_capture(&app.capture(42)).await.unwrap_err();
    assert!(matches!(&error, Error::Rejected(why) | Error::Schema(why) if why.contains("shoe_size")), "{error:?}");
    assert_eq!(app.count("1 = 1").await, 0);
    // A refusal is no absence: the next question is asked.
    assert_eq!(host.away(), None);
    app.execute("ALTER TABLE camera_captures DROP COLUMN shoe_size").await;
    assert_eq!(host.put_capture(&app.capture(42)).await.unwrap(), Put::Inserted);
}

#[tokio::test]
async fn a_table_that_is_missing_is_told_of() {
    let app = App::new(Keys::Integer).await;
    app.session(42, 1, None).await;
    app.execute("DROP TABLE camera_captures").await;
    let error = app.host().put_capture(&app.capture(42)).await.unwrap_err();
    assert!(matches!(&error, Error::Schema(why) if why.contains("camera_captures")), "{error:?}");
}
