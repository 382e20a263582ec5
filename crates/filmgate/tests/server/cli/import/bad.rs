//! Whatever an old app may have left in its folder and its table.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::symlink;

use testkit::old_app::{Keys, OldApp, OldRow};
use testkit::photo;

use super::{FLASK, at, folder, import, named, names, report, rows, words};
use crate::cli::Commands;

/// A row of a name that nothing makes, at the second of its number.
fn row(app: &OldApp, number: u64, filename: &str) {
    let row = OldRow { number, session: 1, filename, bytes: 700, second: number, trigger: "INTERVAL" };
    app.insert(&[app.row(&row)]).unwrap();
}

#[test]
fn each_row_and_file_that_does_not_fit_is_named_and_the_rest_is_taken() {
    let app = OldApp::empty(Keys::Integer).unwrap();
    let (uploads, photo) = (app.uploads(), photo::jpeg(64, 48, 1));
    let outside = uploads.parent().unwrap().join("secret.jpg");
    fs::write(&outside, &photo).unwrap();
    app.add(1, 1, 1, "good.jpg", &photo).unwrap();
    row(&app, 2, "gone.jpg");
    app.add(3, 1, 3, "text.jpg", b"no photo at all").unwrap();
    app.add(4, 1, 4, "half.jpg", &photo[..photo.len() / 2]).unwrap();
    app.add(5, 1, 5, "empty.jpg", b"").unwrap();
    row(&app, 6, "../secret.jpg");
    row(&app, 7, at(&outside));
    symlink(&outside, uploads.join("link.jpg")).unwrap();
    row(&app, 8, "link.jpg");
    fs::create_dir(uploads.join("folder.jpg")).unwrap();
    row(&app, 9, "folder.jpg");
    app.add(10, 77, 10, "of nobody.jpg", &photo).unwrap();
    // The app may write its folder's name in front, or folders within.
    row(&app, 11, at(&uploads.join("folder.jpg/below.png")));
    fs::write(uploads.join("folder.jpg/below.png"), photo::png(64, 48, 2)).unwrap();
    app.add(12, 1, 12, "ünïcode \"x\".jpg", &photo).unwrap();
    row(&app, 13, "");
    fs::write(uploads.join("without row.jpg"), &photo).unwrap();
    fs::write(uploads.join(".DS_Store"), b"").unwrap();
    let status = std::process::Command::new("mkfifo").arg(uploads.join("pipe.jpg")).status().unwrap();
    assert!(status.success());
    row(&app, 14, "pipe.jpg");

    let server = folder();
    let mut commands = Commands::of(&server);
    let told = report(&mut commands, &app, &[], 1);
    let here = rows(&mut commands);
    assert_eq!((told["imported"].as_u64(), here.len()), (Some(3), 3), "{told}");
    assert_eq!(named(&told, "rows_without_file", "filename"), BTreeMap::from([("2", "gone.jpg"), ("13", "")]));
    assert_eq!(named(&told, "rows_of_unknown_sessions", "session_id"), BTreeMap::from([("10", "77")]));
    let unusable = named(&told, "unusable_files", "reason");
    assert_eq!(unusable.keys().copied().collect::<Vec<_>>(), ["14", "3", "4", "5", "6", "7", "8", "9"]);
    for (id, words) in [
        ("6", "leads out of the uploads folder"),
        ("7", "leads out of the uploads folder"),
        ("8", "a link"),
        ("9", "a folder or a device"),
        ("14", "a folder or a device"),
    ] {
        assert!(unusable[id].contains(words), "{id}: {}", unusable[id]);
    }
    assert_eq!(names(&told["files_without_row"]), [".DS_Store", "without row.jpg"].into());
    // Under a name that a URL can have, where its own is none.
    let renamed = named(&told, "renamed", "new_filename");
    assert_eq!(renamed.keys().copied().collect::<Vec<_>>(), ["11", "12"]);
    for name in renamed.values() {
        assert!(here.values().any(|row| row["filename"] == *name), "{name}");
    }
    assert_eq!(fs::read(&outside).unwrap(), photo);
}

#[test]
fn photos_that_a_user_may_not_read_are_named() {
    let app = OldApp::empty(Keys::Integer).unwrap();
    app.add(1, 1, 1, "closed.jpg", &photo::jpeg(64, 48, 1)).unwrap();
    let path = app.uploads().join("closed.jpg");
    fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o000)).unwrap();
    if fs::read(&path).is_ok() {
        println!("NOT RUN: to root every file is open");
        return;
    }
    let told = report(&mut Commands::of(&folder()), &app, &[], 1);
    assert_eq!(named(&told, "unusable_files", "reason"), BTreeMap::from([("1", "this user may not read it")]));
}

#[test]
fn other_columns_are_read_or_named() {
    // Times as numbers, a size as text, no assessment at all: the app's own choice.
    let app = OldApp::empty(Keys::Integer).unwrap();
    app.execute("DROP TABLE camera_captures").unwrap();
    app.execute(
        "CREATE TABLE camera_captures (id INTEGER PRIMARY KEY, session_id TEXT, filename TEXT, file_size_bytes TEXT, \
         capture_trigger TEXT, timestamp DOUBLE PRECISION, assessment_id TEXT, assessment_type TEXT, \
         camera_settings_snapshot TEXT)",
    )
    .unwrap();
    let photo = photo::jpeg(64, 48, 1);
    fs::write(app.uploads().join("a.jpg"), &photo).unwrap();
    let row = format!(
        "INSERT INTO camera_captures VALUES (1, '1', 'a.jpg', '{}', 'interval', 1772352000.5, 'q-7', ",
        photo.len()
    );
    app.execute(&format!("{row} 'AssessmentType.PHQ', 'no JSON')")).unwrap();
    let server = folder();
    let mut commands = Commands::of(&server);
    assert_eq!(report(&mut commands, &app, &[], 0)["imported"], 1);
    let row = rows(&mut commands).into_values().next().unwrap();
    assert_eq!(row["timestamp"], "2026-03-01T08:00:00.500000");
    assert_eq!((&row["assessment_id"], &row["assessment_type"]), (&"q-7".into(), &"PHQ".into()));
    assert_eq!((&row["capture_trigger"], &row["settings_snapshot"]), (&"INTERVAL".into(), &"no JSON".into()));

    app.execute("ALTER TABLE camera_captures RENAME COLUMN filename TO path").unwrap();
    let ran = import(&mut commands, &app, &[]);
    assert!(ran.status == 2 && ran.err.contains("filename") && ran.err.contains("camera_captures"), "{ran:?}");
    app.execute("DROP TABLE camera_captures").unwrap();
    let ran = import(&mut commands, &app, &[]);
    assert!(ran.status == 2 && ran.err.contains("camera_captures"), "{ran:?}");
}

#[test]
fn a_mistake_is_named_and_nothing_is_done() {
    let app = OldApp::with(30, Keys::Integer).unwrap();
    let server = folder();
    let mut commands = Commands::of(&server);
    let (uploads, url) = (app.uploads(), format!("host.database_url={}", app.url()));
    let place = uploads.parent().unwrap();
    let (not_there, file) = (place.join("not there"), place.join("file"));
    fs::write(&file, "").unwrap();
    let inside = server.data().join("blobs");
    fs::create_dir_all(&inside).unwrap();
    let cases: [(&[&str], &str); 7] = [
        (&["--set", &url], "Say --uploads DIR, or set host.uploads_dir"),
        (&["--uploads", at(&uploads)], "Set host.database_url"),
        (&["--uploads", at(&not_there), "--set", &url], "cannot read the uploads folder"),
        (&["--uploads", at(&file), "--set", &url], "is no folder"),
        (&["--uploads", at(&inside), "--set", &url], "lies in Filmgate's own folder"),
        (&["--uploads", at(&uploads), "--set", &url, "--report", "/nowhere/x.json"], "--report: cannot write"),
        (&["--uploads", at(&uploads), "--set", "host.database_url=postgres://u:secret@127.0.0.1:1/x"], "app"),
    ];
    for (args, says) in cases {
        let args: Vec<&str> = args.iter().chain(&FLASK).copied().collect();
        let ran = commands.run("import", &args);
        assert_eq!((ran.status, ran.out.as_str()), (2, ""), "{args:?}: {ran:?}");
        assert!(ran.err.contains(says) && !ran.err.contains("secret@"), "{args:?}: {}", ran.err);
    }
    assert!(rows(&mut commands).is_empty());
    // The folder in the configuration is as good as on the line.
    let mut words = words(&app, &[]);
    words.drain(..2);
    let set = format!("host.uploads_dir={}", uploads.display());
    let ran = commands.run("import", &words.iter().map(String::as_str).chain(["--set", &set]).collect::<Vec<_>>());
    assert_eq!(ran.status, 0, "{ran:?}");
    assert_eq!(rows(&mut commands).len(), 30);
}
