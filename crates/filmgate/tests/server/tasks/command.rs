//! `filmgate task`, beside a running server.

use serde_json::Value;
use testkit::photo;
use testkit::server::Server;

use super::{ended, hasty, queue};
use crate::support::{Ran, filmgate, participant, with_comment};

fn run(server: &Server, words: &[&str]) -> Ran {
    let data = server.data().to_str().unwrap();
    filmgate(&[["task"].as_slice(), words, &["--data", data]].concat())
}

#[track_caller]
fn json(server: &Server, words: &[&str]) -> Vec<Value> {
    let ran = run(server, &[words, &["--json"]].concat());
    assert_eq!((ran.status, ran.err.as_str()), (0, ""), "{words:?}: {ran:?}");
    ran.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn dead_letters_are_read_by_a_person_and_run_again() {
    let server = hasty().start().unwrap();
    let mut api = participant(&server);
    assert_eq!(run(&server, &["list", "--state", "failure"]).out, "no dead letters\n");
    let poison = |seed| with_comment(&photo::jpeg(64, 48, seed), b"FILMGATE-FAULT-ABORT");
    let ids = queue(&mut api, &[poison(1), poison(2), photo::jpeg(64, 48, 3)]);
    let failed: Vec<Value> = ids.iter().map(|id| ended(&server, id)).collect();

    let words = run(&server, &["list", "--state", "failure"]).out;
    for task in &failed[..2] {
        let text = |name: &str| task[name].as_str().unwrap();
        let lines = [
            format!("task {}: process capture {}", text("id"), text("capture_id")),
            format!("  recorded  {}", text("created_at")),
            format!("  given up  {} after 2 attempts", text("finished_at")),
            format!("  because   {}", text("error")),
            format!("  again     filmgate task retry {}", text("id")),
        ];
        assert!(words.contains(&lines.join("\n")), "{words}");
        assert_eq!(run(&server, &["show", text("id")]).out, format!("{}\n", lines.join("\n")));
    }
    assert_eq!(words.matches("again ").count(), 2);
    assert_eq!(json(&server, &["list", "--state", "failure"]).len(), 2);
    assert_eq!(json(&server, &["list", "--kind", "process"]).len(), 3);
    assert_eq!(json(&server, &["list", "--session", &api.session_id, "--limit", "1"]).len(), 1);
    assert_eq!(
        json(&server, &["list", "--capture", failed[2]["capture_id"].as_str().unwrap()])[0]["id"],
        failed[2]["id"]
    );
    assert!(json(&server, &["list", "--sink", "webhook"]).is_empty());
    let table = run(&server, &["list", "--kind", "process"]).out;
    assert_eq!(table.lines().count(), 4, "{table}");

    assert_eq!(json(&server, &["retry", &ids[0]])[0]["state"], "PENDING");
    assert_eq!(ended(&server, &ids[0])["state"], "FAILURE", "the server ran it again, and it failed again");
    let all = json(&server, &["retry", "--all-failed", "--kind", "process"]).remove(0);
    assert_eq!((&all["retried"], &all["more"]), (&2.into(), &false.into()));
    for id in &ids[..2] {
        assert_eq!(ended(&server, id)["state"], "FAILURE");
    }
    assert_eq!(json(&server, &["retry", "--all-failed", "--kind", "deliver"])[0]["retried"], 0);
    assert_eq!(json(&server, &["retry", &ids[0], &ids[1]]).len(), 2, "several at once");
    for id in &ids[..2] {
        ended(&server, id);
    }
    assert_eq!(json(&server, &["revoke", &ids[1]])[0]["state"], "REVOKED");
    assert_eq!(json(&server, &["show", &ids[1]])[0]["state"], "REVOKED");

    let never = uuid::Uuid::now_v7().to_string();
    let wrong: [(&[&str], &str); 8] = [
        (&["show", &never], "there is no task"),
        (&["retry", &never], "not found"),
        (&["retry", &ids[2]], "only FAILURE and REVOKED"),
        (&["revoke", &ids[2]], "nothing to call off"),
        (&["retry"], "required"),
        (&["retry", &ids[0], "--all-failed"], "cannot be used with"),
        (&["retry", &ids[0], "--kind", "process"], "give them with --all-failed"),
        (&["list", "--state", "dead"], "pending, started, retry"),
    ];
    for (words, expected) in wrong {
        let ran = run(&server, words);
        assert_eq!((ran.status, ran.out.as_str()), (2, ""), "{words:?}: {ran:?}");
        assert!(ran.err.contains(expected), "{words:?}: {}", ran.err);
    }
}
