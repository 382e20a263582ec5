//! Bearer tokens.

use serde_json::json;
use testkit::Request;
use testkit::server::Server;

use super::{SERVER, assert_problem, assert_problems, pages};
use crate::support::{as_admin, assert_members, made, members, new_user};

fn status_with(server: &Server, secret: &str, target: &str) -> u16 {
    let request = Request::get(target).header("Authorization", &format!("Bearer {secret}"));
    request.send(server.address()).unwrap().status
}

#[test]
fn show_their_secret_once_and_end_at_once() {
    let server = SERVER.get();
    let user = new_user(&server);
    let user_id: i64 = user.user_id.parse().unwrap();
    let kinds = [
        (json!({"name": "backend"}), "service", "/api/v1/sessions"),
        (json!({"name": "a program", "user_id": user_id}), "user", "/api/v1/sign-in"),
        (json!({"name": "for a while", "expires_at": "2999-01-01T00:00:00Z"}), "service", "/api/v1/sessions"),
    ];
    for (new, scope, may_use) in &kinds {
        let token = made(&server, "POST", "/api/v1/tokens", new);
        let shown = ["id", "name", "scope", "user_id", "created_at", "expires_at", "revoked_at"];
        assert_eq!(members(&token), shown.into_iter().chain(["secret"]).collect());
        assert_eq!((&token["scope"], &token["user_id"]), (&json!(scope), &new["user_id"]));
        assert_eq!(token["expires_at"], new["expires_at"]);
        let secret = token["secret"].as_str().unwrap();
        assert!(secret.starts_with("fgt_") && secret.len() == 68, "{secret}");
        assert_eq!(status_with(&server, secret, may_use), 200);

        let (all, _) = pages(&server, "/api/v1/tokens", 2);
        let listed = all.iter().find(|listed| listed["id"] == token["id"]).unwrap();
        assert_members(listed, shown);
        assert!(all.iter().all(|token| !token.to_string().contains("fgt_")), "no list shows a secret");

        let target = format!("/api/v1/tokens/{}", token["id"].as_str().unwrap());
        let revoked = as_admin(&server, "DELETE", &target, None).json();
        assert!(revoked["revoked_at"].is_string(), "{revoked}");
        assert_eq!(status_with(&server, secret, may_use), 401, "from the next request on");
        assert_eq!(as_admin(&server, "DELETE", &target, None).json(), revoked, "again, it stays revoked as it was");
    }
    println!("{} kinds of tokens", kinds.len());
}

#[test]
fn that_cannot_be_made() {
    let server = SERVER.get();
    let cases = [
        (json!({}), 422, "invalid"),
        (json!({"name": ""}), 422, "invalid"),
        (json!({"name": "x".repeat(101)}), 422, "invalid"),
        (json!({"name": "a\u{7f}"}), 422, "invalid"),
        (json!({"name": "t", "scope": "admin"}), 422, "invalid"),
        (json!({"name": "t", "expires_at": "tomorrow"}), 422, "invalid"),
        (json!({"name": "t", "expires_at": 5}), 422, "invalid"),
        (json!({"name": "t", "user_id": "x"}), 422, "invalid"),
    ];
    assert_problems(&server, "POST", "/api/v1/tokens", &cases);
    let nobodys = as_admin(&server, "POST", "/api/v1/tokens", Some(&json!({"name": "t", "user_id": 999_999})));
    assert!((400..500).contains(&nobodys.status), "{nobodys:?}");
    let absent = "/api/v1/tokens/018f0000-0000-7000-8000-000000000000";
    assert_problem(&as_admin(&server, "DELETE", absent, None), 404, "not_found");
    println!("{} tokens that are none", cases.len() + 2);
}
