//! Backups of a server at work, and what comes back.

use std::collections::BTreeMap;
use std::fs;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::Value;
use testkit::{Request, photo};

use super::Commands;
use crate::support::builder;

/// Captures of a data folder, by id.
fn captures(commands: &mut Commands) -> BTreeMap<String, String> {
    let lines = commands.lines("capture list", &["--limit", "100000"]);
    let text = |line: &Value, name: &str| line[name].as_str().unwrap().to_owned();
    lines.iter().map(|line| (text(line, "id"), text(line, "sha256"))).collect()
}

#[test]
fn a_backup_taken_under_load_holds_all_that_was_acknowledged_before_it() {
    let server = builder().start().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let (dir, restored) = (folder.path().join("backup"), folder.path().join("restored"));
    let dir_text = dir.to_str().unwrap().to_owned();
    let (acked, deleted) = (Mutex::new(Vec::new()), Mutex::new(Vec::<String>::new()));
    let stop = AtomicBool::new(false);
    let mut commands = Commands::of(&server);
    let (before, deleted_by_then) = std::thread::scope(|threads| {
        for uploader in 0..3_u64 {
            let (acked, stop, server) = (&acked, &stop, &server);
            threads.spawn(move || {
                let mut api = server.participant();
                for number in 0_u64.. {
                    if stop.load(Ordering::Relaxed) {
                        return;
                    }
                    let answer = api.upload_photo(&photo::jpeg(160, 120, uploader * 100_000 + number)).unwrap();
                    assert_eq!(answer.status, 200, "{answer:?}");
                    let capture = &answer.json()["captures"][0];
                    let text = |name: &str| capture[name].as_str().unwrap().to_owned();
                    acked.lock().unwrap().push((text("id"), text("sha256")));
                    // Other tests run beside this one, and their decoders get what is left of the processors.
                    std::thread::sleep(Duration::from_millis(15));
                }
            });
        }
        // And some are deleted, the newest and the oldest.
        threads.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                let id = {
                    let acked = acked.lock().unwrap();
                    let at = deleted.lock().unwrap().len();
                    let at = if at % 2 == 0 { at } else { acked.len().saturating_sub(1) };
                    acked.get(at).map(|(id, _)| id.clone())
                };
                if let Some(id) = id {
                    let request = Request::new("DELETE", &format!("/api/v1/captures/{id}"));
                    let request = request.cookie(&server.demo().admin.cookie).header("Origin", &server_origin(&server));
                    let status = request.send(server.address()).unwrap().status;
                    assert!(status == 204 || status == 404, "{status}");
                    deleted.lock().unwrap().push(id);
                }
                std::thread::sleep(Duration::from_millis(20));
            }
        });
        while acked.lock().unwrap().len() < 60 {
            std::thread::sleep(Duration::from_millis(10));
        }
        let before = acked.lock().unwrap().clone();
        let deleted_before = deleted.lock().unwrap().clone();
        let ran = commands.run("backup", &[&dir_text]);
        stop.store(true, Ordering::Relaxed);
        assert_eq!(ran.status, 0, "{ran:?}");
        (before, deleted_before)
    });
    assert!(acked.lock().unwrap().len() > before.len(), "nothing was uploaded meanwhile");

    // Neither a second backup over it, nor a restore over what is there.
    commands.fails("backup", &[&dir_text], "holds a backup already");
    let mut elsewhere = Commands::on(&restored);
    let manifest = elsewhere.one("restore", &[&dir_text]);
    assert!(manifest["captures"].as_u64().unwrap() > 0, "{manifest}");
    elsewhere.fails("restore", &[&dir_text], "is not empty");
    for mut there in [Commands::embedded(&dir), Commands::on(&restored)] {
        let report = there.one("fsck", &["--deep"]);
        assert_eq!(report["files_without_capture"].as_array().map(Vec::len), Some(0), "{report}");
        let found = captures(&mut there);
        assert_eq!(found.len() as u64, manifest["captures"].as_u64().unwrap());
        let deleted = deleted.lock().unwrap();
        // Nor does a restore bring back what had been deleted.
        let back: Vec<_> = deleted_by_then.iter().filter(|id| found.contains_key(*id)).collect();
        assert!(back.is_empty(), "{back:?} were deleted before it");
        for (id, sha256) in before.iter().filter(|(id, _)| !deleted.contains(id)) {
            assert_eq!(found.get(id), Some(sha256), "{id} was acknowledged before the backup began");
        }
    }
}

fn server_origin(server: &testkit::Server) -> String {
    format!("http://{}", server.address())
}

#[test]
fn a_backup_that_broke_off_is_none_and_goes_on() {
    let server = builder().start().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let (dir, restored) = (folder.path().join("backup"), folder.path().join("restored"));
    let dir_text = dir.to_str().unwrap().to_owned();
    let mut api = server.participant();
    for number in 0..5 {
        assert_eq!(api.upload_photo(&photo::jpeg(160, 120, number)).unwrap().status, 200);
    }
    let mut commands = Commands::of(&server);
    assert_eq!(commands.run("backup", &[&dir_text]).status, 0);
    // As if it had been cut off: no manifest, half a catalog, a photo missing.
    fs::rename(dir.join("backup.json"), dir.join("backup.incomplete")).unwrap();
    fs::write(dir.join("catalog.sqlite"), b"half").unwrap();
    Commands::on(&restored).fails("restore", &[&dir_text], "holds no whole backup");
    assert_eq!(commands.run("backup", &[&dir_text]).status, 0);
    let mut elsewhere = Commands::on(&restored);
    elsewhere.one("restore", &[&dir_text]);
    assert_eq!(captures(&mut elsewhere), captures(&mut commands));
    assert!(!dir.join("backup.incomplete").exists());
    // A data folder is no half backup: its catalog would be begun anew under the server's feet.
    commands.fails("backup", &[server.data().to_str().unwrap()], "neither empty nor half a backup");
    assert!(!captures(&mut commands).is_empty());
    // A folder with other things in it is not touched.
    let other = folder.path().join("other");
    fs::create_dir(&other).unwrap();
    fs::write(other.join("letter.txt"), b"dear").unwrap();
    commands.fails("backup", &[other.to_str().unwrap()], "neither empty nor half a backup");
}

#[test]
fn a_damaged_backup_is_not_restored() {
    let server = builder().start().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("backup");
    let dir_text = dir.to_str().unwrap().to_owned();
    assert_eq!(server.participant().upload_photo(&photo::jpeg(160, 120, 1)).unwrap().status, 200);
    let mut commands = Commands::of(&server);
    assert_eq!(commands.run("backup", &[&dir_text]).status, 0);
    let found = captures(&mut Commands::embedded(&dir));
    let id = found.keys().next().unwrap();
    let mut folders = vec![dir.join("blobs")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap().flatten() {
            if entry.file_type().unwrap().is_dir() {
                folders.push(entry.path());
            } else if entry.file_name().to_str().unwrap() == format!("{id}.jpg") {
                fs::write(entry.path(), b"rotten").unwrap();
            }
        }
    }
    let mut elsewhere = Commands::on(&folder.path().join("restored"));
    let ran = elsewhere.run("restore", &[&dir_text]);
    assert_eq!(ran.status, 1, "{ran:?}");
    assert!(ran.out.contains("nothing of the catalog was restored") && ran.out.contains(id), "{ran:?}");
    assert!(captures(&mut elsewhere).is_empty());
}
