//! Users.

use serde_json::json;
use testkit::Request;

use super::{SERVER, assert_problem, assert_problems, pages};
use crate::support::{as_admin, assert_members, made, new_user, sign_in, unique};

#[test]
fn are_made_shown_changed_and_listed() {
    let server = SERVER.get();
    let username = unique("Zo\u{eb} \u{5c0f}\u{660e}");
    let response = as_admin(
        &server,
        "POST",
        "/api/v1/users",
        Some(&json!({"username": format!("  {username} "), "password": "ten bytes."})),
    );
    assert_eq!(response.status, 201, "{response:?}");
    let user = response.json();
    assert_members(&user, ["id", "username", "role", "is_active", "created_at"]);
    assert_eq!(
        (&user["username"], &user["role"], &user["is_active"]),
        (&json!(username), &json!("participant"), &json!(true))
    );
    let target = format!("/api/v1/users/{}", user["id"]);
    assert_eq!(response.header("location"), Some(&*target));
    assert!(!response.text().contains("ten bytes"), "the password is not told again");
    assert_eq!(as_admin(&server, "GET", &target, None).json(), user);
    sign_in(&server, &username, "ten bytes.");

    let steps = [
        (json!({}), "participant", true),
        (json!({"role": "admin"}), "admin", true),
        (json!({"is_active": false}), "admin", false),
        (json!({"is_active": true, "role": "participant", "password": "ten bytes!"}), "participant", true),
    ];
    for (change, role, is_active) in &steps {
        let changed = made(&server, "PATCH", &target, change);
        assert_eq!((&changed["role"], &changed["is_active"]), (&json!(role), &json!(is_active)), "{change}");
        assert_eq!(as_admin(&server, "GET", &target, None).json(), changed);
    }
    sign_in(&server, &username, "ten bytes!");

    (0..3).for_each(|_| drop(new_user(&server)));
    let (all, page_count) = pages(&server, "/api/v1/users", 2);
    assert!(page_count >= 3, "{page_count}");
    let ids: Vec<i64> = all.iter().map(|user| user["id"].as_i64().unwrap()).collect();
    assert!(ids.is_sorted() && ids.contains(&user["id"].as_i64().unwrap()), "by number, each once: {ids:?}");
    println!("{} changes, {page_count} pages", steps.len());
}

#[test]
fn who_cannot_be_made_or_changed() {
    let server = SERVER.get();
    let taken = new_user(&server).username;
    let user = |username: &str, password: &str| json!({"username": username, "password": password});
    let cases = [
        (user(&taken, "a good password"), 409, "conflict"),
        (user(&taken.to_uppercase(), "a good password"), 409, "conflict"),
        (user("", "a good password"), 422, "invalid"),
        (user("   ", "a good password"), 422, "invalid"),
        (user(&"x".repeat(101), "a good password"), 422, "invalid"),
        (user("line\nbreak", "a good password"), 422, "invalid"),
        (user("nul\0", "a good password"), 422, "invalid"),
        (user(&unique("new"), "too short"), 422, "invalid"),
        (user(&unique("new"), &"x".repeat(1025)), 422, "invalid"),
        (json!({"username": unique("new")}), 422, "invalid"),
        (json!({"password": "a good password"}), 422, "invalid"),
        (json!({"username": unique("new"), "password": "a good password", "role": "root"}), 422, "invalid"),
        (json!({"username": unique("new"), "password": "a good password", "id": 1}), 422, "invalid"),
        (json!({"username": 7, "password": "a good password"}), 422, "invalid"),
    ];
    assert_problems(&server, "POST", "/api/v1/users", &cases);
    let target = format!("/api/v1/users/{}", new_user(&server).user_id);
    let changes = [
        (json!({"password": "too short"}), 422, "invalid"),
        (json!({"username": "another"}), 422, "invalid"),
        (json!({"role": "root"}), 422, "invalid"),
        (json!({"is_active": "yes"}), 422, "invalid"),
    ];
    assert_problems(&server, "PATCH", &target, &changes);
    let nobody = [
        ("GET", "/api/v1/users/999999"),
        ("GET", "/api/v1/users/x"),
        ("PATCH", "/api/v1/users/999999"),
        ("DELETE", "/api/v1/users/x/sign-ins"),
    ];
    for (method, target) in nobody {
        assert_problem(&as_admin(&server, method, target, Some(&json!({}))), 404, "not_found");
    }
    println!("{} users that are none", cases.len() + changes.len() + nobody.len());
}

#[test]
fn sign_ins_are_ended_and_counted() {
    let server = SERVER.get();
    let user = new_user(&server);
    sign_in(&server, &user.username, &user.password);
    let target = format!("/api/v1/users/{}/sign-ins", user.user_id);
    for ended in [2, 0] {
        assert_eq!(as_admin(&server, "DELETE", &target, None).json(), json!({"ended": ended}));
    }
    let who = Request::get("/api/v1/sign-in").cookie(&user.cookie).send(server.address()).unwrap();
    assert_problem(&who, 401, "unauthenticated");
}
