//! The data folder: one server owns it, and a command makes none by a mistyped path.

use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{Child, Stdio};
use std::time::Duration;

use testkit::{Request, process};

use super::Commands;
use crate::support::{filmgate, sign_in_request};

/// `filmgate serve`, ended with its handle.
struct Serve(Child);

impl Drop for Serve {
    fn drop(&mut self) {
        process::kill_tree(self.0.id());
        process::wait(&mut self.0, Duration::from_secs(10));
    }
}

#[test]
fn a_wrong_folder_is_named_and_not_made() {
    if !crate::support::is_of_files("a folder without a catalog") {
        return;
    }
    let place = tempfile::tempdir().unwrap();
    let data = place.path().join("mistyped");
    let mut commands = Commands::on(&data);
    let id = "018f0000-0000-7000-8000-000000000000";
    let cases: [(&str, &[&str]); 8] = [
        ("user list", &[]),
        ("user sign-out", &["x"]),
        ("token list", &[]),
        ("session list", &[]),
        ("settings list", &[]),
        ("capture show", &[id]),
        ("capture delete", &[id]),
        ("fsck", &["--repair"]),
    ];
    for (command, args) in cases {
        let words = format!("there is no Filmgate data in {}: name the folder with --data", data.display());
        commands.fails(command, args, &words);
        assert!(!data.exists(), "{command}");
    }
    println!("{} commands on a folder that is not there", cases.len());
}

#[test]
fn a_second_server_is_refused_with_the_first_ones_number() {
    let first = crate::support::server();
    let data = first.data().to_str().unwrap();
    let words = format!("the data folder {data} is in use by another filmgate (process {})", first.pid());
    for command in ["demo", "serve"] {
        let second = filmgate(&[command, "--listen", "127.0.0.1:0", "--data", data]);
        assert_eq!((second.status, second.out.as_str()), (2, ""), "{command}");
        assert!(second.err.contains(&words), "{command}: {}", second.err);
        assert!(second.err.contains("stop it first, or choose another folder with --data"), "{}", second.err);
    }
    assert!(first.participant().is_up("/readyz"), "the first goes on");
}

#[test]
fn serve_begins_with_nobody_and_the_first_user_comes_by_command() {
    let place = tempfile::tempdir().unwrap();
    let data = place.path().join("data");
    let mut serve = Serve(
        crate::support::program_on(&data)
            .args(["serve", "--listen", "127.0.0.1:0", "--data"])
            .arg(&data)
            .env("FILMGATE__LOG__FORMAT", "json")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap(),
    );
    let lines = BufReader::new(serve.0.stderr.take().unwrap()).lines().map_while(Result::ok);
    let mut logged = lines.filter_map(|line| serde_json::from_str::<serde_json::Value>(&line).ok());
    let url = logged.find_map(|line| line["url"].as_str().map(str::to_owned)).unwrap();
    let address = url.strip_prefix("http://").unwrap().parse().unwrap();
    // Its log is to be read on, or the server would stand still once the pipe is full.
    std::thread::spawn(move || logged.count());

    assert_eq!(Request::get("/readyz").send(address).unwrap().status, 200);
    let mut commands = Commands::on(&data);
    assert!(commands.lines("user list", &[]).is_empty());
    assert_eq!(sign_in_request("admin", "admin").send(address).unwrap().status, 401, "there is no first password");
    let file = place.path().join("password");
    fs::write(&file, "the operator's own").unwrap();
    commands.one("user add", &["operator", "--role", "admin", "--password-file", file.to_str().unwrap()]);
    let signed_in = sign_in_request("operator", "the operator's own").send(address).unwrap();
    assert_eq!((signed_in.status, &signed_in.json()["user"]["role"]), (200, &"admin".into()));
}

#[test]
fn a_catalog_that_is_none_is_left_alone() {
    if !crate::support::is_of_files("a damaged file") {
        return;
    }
    let place = tempfile::tempdir().unwrap();
    let catalog = place.path().join("catalog.sqlite");
    let texts = ["no database at all, but long enough to look like a page of one".repeat(100), "\0".repeat(4096)];
    for content in texts {
        fs::write(&catalog, &content).unwrap();
        Commands::on(place.path()).fails("user list", &[], "cannot open the catalog");
        assert_eq!(fs::read_to_string(&catalog).unwrap(), content);
    }
}
