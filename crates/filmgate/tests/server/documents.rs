//! Documents that are made by the program, and committed: a stale one fails here.
//!
//! `UPDATE_DOCUMENTS=1 cargo test -p filmgate --test server documents::` writes them anew.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use serde_json::Value;
use testkit::Request;

use crate::support::{Shared, builder, filmgate};

static SERVER: Shared = Shared::new();

const METHODS: [&str; 8] = ["get", "put", "post", "delete", "options", "head", "patch", "trace"];

/// The routes of CONTRACT.md.
const CONTRACT: [&str; 8] = [
    "POST /assessment/camera/upload",
    "POST /assessment/camera/upload-single/{session_id}",
    "GET /assessment/camera/settings/{session_id}",
    "GET /assessment/camera/session/{session_id}",
    "GET /assessment/camera/file/{filename}",
    "POST /assessment/camera/link/{session_id}",
    "POST /assessment/camera/cleanup/{session_id}",
    "GET /assessment/camera/tasks/{task_id}",
];

/// Compares a committed document with what the program makes, or writes it anew where that is asked for.
fn check_committed(name: &str, made: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(name);
    if std::env::var_os("UPDATE_DOCUMENTS").is_some_and(|value| value == "1") {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, made).unwrap();
        return;
    }
    let committed = fs::read_to_string(&path).unwrap_or_default();
    if committed == made {
        return;
    }
    let differs = committed.lines().zip(made.lines()).position(|(old, new)| old != new);
    let line = differs.unwrap_or_else(|| committed.lines().count().min(made.lines().count())) + 1;
    panic!(
        "{name} is stale from line {line} on. Write it anew, look at the difference, and commit it:\n    \
         UPDATE_DOCUMENTS=1 cargo test -p filmgate --test server documents::"
    );
}

fn document() -> Value {
    Request::get("/api/v1/openapi.json").send(SERVER.get().address()).unwrap().json()
}

/// Every operation by `METHOD path`.
fn operations(document: &Value) -> BTreeMap<String, &Value> {
    let paths = document["paths"].as_object().unwrap();
    let all = paths.iter().flat_map(|(path, item)| {
        let methods = METHODS.iter().filter_map(move |method| Some((method, item.get(method)?)));
        methods.map(move |(method, operation)| (format!("{} {path}", method.to_uppercase()), operation))
    });
    all.collect()
}

#[test]
fn openapi_json_is_fresh() {
    let made = serde_json::to_string_pretty(&document()).unwrap();
    check_committed("docs/openapi.json", &format!("{made}\n"));
}

#[test]
fn the_list_of_routes_is_fresh() {
    let document = document();
    let operations = operations(&document);
    let width = operations.keys().map(String::len).max().unwrap();
    let lines = operations
        .iter()
        .map(|(route, operation)| format!("{route:width$}  {}\n", operation["summary"].as_str().unwrap()));
    check_committed("docs/routes.txt", &lines.collect::<String>());
}

#[test]
fn the_example_of_a_configuration_is_fresh() {
    check_committed("filmgate.example.toml", &filmgate(&["config", "example"]).out);
}

/// Every member's path, in order: what programs that read the answer rely on.
fn shape(value: &Value, path: &str, found: &mut Vec<String>) {
    match value {
        Value::Object(members) => {
            members.iter().for_each(|(name, member)| shape(member, &format!("{path}.{name}"), found));
        }
        Value::Array(items) => items.iter().take(1).for_each(|item| shape(item, &format!("{path}[]"), found)),
        Value::Null => found.push(format!("{path}: null")),
        Value::Bool(_) => found.push(format!("{path}: boolean")),
        Value::Number(_) => found.push(format!("{path}: number")),
        Value::String(_) => found.push(format!("{path}: text")),
    }
}

#[test]
fn the_shape_of_a_report_of_bench_is_fresh() {
    let server = SERVER.get();
    let place = tempfile::tempdir().unwrap();
    let cookie = place.path().join("cookie");
    fs::write(&cookie, &server.demo().participant.cookie).unwrap();
    let url = format!("http://{}", server.address());
    // A closed loop has a warning in every run, so that no list is empty by chance.
    let ran = filmgate(&[
        "bench",
        &url,
        "--cookie-file",
        cookie.to_str().unwrap(),
        "--users",
        "1",
        "--interval",
        "0",
        "--slow",
        "1",
        "--alone",
        "200ms",
        "--warm-up",
        "0",
        "--duration",
        "1s",
        "--slow-let-go",
        "--json",
    ]);
    assert_eq!(ran.status, 0, "{ran:?}");
    let mut lines = Vec::new();
    shape(&serde_json::from_str(&ran.out).unwrap(), "", &mut lines);
    check_committed("docs/bench-json.txt", &format!("{}\n", lines.join("\n")));
}

#[test]
fn the_shape_of_a_plan_is_fresh() {
    let ran = filmgate(&[
        "plan",
        "--json",
        "--captures-per-day",
        "1M",
        "--nodes",
        "3",
        "--simulate",
        "10s",
        "--burst",
        "10@2s",
        "--kill-node-at",
        "5s",
        "--node-back-after",
        "2s",
        "--prices",
        concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/prices.example.toml"),
    ]);
    assert_eq!(ran.status, 0, "{ran:?}");
    let answer: Value = serde_json::from_str(&ran.out).unwrap();
    let mut lines = Vec::new();
    shape(&answer, "", &mut lines);
    check_committed("docs/plan-json.txt", &format!("{}\n", lines.join("\n")));
}

#[test]
fn every_route_of_the_contract_is_documented() {
    let document = document();
    let known: BTreeSet<String> = operations(&document).into_keys().collect();
    let missing: Vec<&str> = CONTRACT.into_iter().filter(|route| !known.contains(*route)).collect();
    assert!(missing.is_empty(), "{missing:?}");
}

#[test]
fn every_operation_says_what_a_reader_needs() {
    let document = document();
    assert!(document["openapi"].as_str().unwrap().starts_with("3.1."), "{}", document["openapi"]);
    assert_eq!(document["info"]["version"], env!("CARGO_PKG_VERSION"));
    let tags: BTreeSet<&str> =
        document["tags"].as_array().unwrap().iter().map(|tag| tag["name"].as_str().unwrap()).collect();
    let operations = operations(&document);
    let mut ids = BTreeSet::new();
    let mut used = BTreeSet::new();
    for (route, operation) in &operations {
        let text = |name: &str| operation[name].as_str().unwrap_or_else(|| panic!("{route} has no {name}"));
        assert!(ids.insert(text("operationId")), "{route}: {} is another's id", text("operationId"));
        assert!(!text("summary").is_empty() && !text("summary").ends_with('.'), "{route}");
        let own: Vec<&str> = operation["tags"].as_array().unwrap().iter().map(|tag| tag.as_str().unwrap()).collect();
        assert_eq!(own.len(), 1, "{route}");
        assert!(tags.contains(own[0]), "{route}: {own:?}");
        used.insert(own[0]);
        let responses = operation["responses"].as_object().unwrap();
        assert!(responses.keys().any(|status| status.starts_with('2')), "{route}");
        assert!(responses.contains_key("default"), "{route}: how does it fail?");
        let in_path: BTreeSet<&str> = route.split('{').skip(1).map(|rest| rest.split('}').next().unwrap()).collect();
        let parameters = operation["parameters"].as_array().cloned().unwrap_or_default();
        let documented: BTreeSet<&str> =
            parameters.iter().filter(|p| p["in"] == "path").map(|p| p["name"].as_str().unwrap()).collect();
        assert_eq!(in_path, documented, "{route}");
        assert!(parameters.iter().all(|p| p["description"].is_string()), "{route}");
    }
    assert_eq!(used, tags, "a tag that no operation has");
    println!("{} operations", operations.len());
}

/// Every `$ref` of a document.
fn references<'a>(value: &'a Value, found: &mut BTreeSet<&'a str>) {
    match value {
        Value::Object(members) => {
            found.extend(members.get("$ref").and_then(Value::as_str));
            members.values().for_each(|member| references(member, found));
        }
        Value::Array(items) => items.iter().for_each(|item| references(item, found)),
        _ => {}
    }
}

#[test]
fn every_reference_leads_somewhere() {
    let document = document();
    let mut found = BTreeSet::new();
    references(&document, &mut found);
    for reference in &found {
        let pointer = reference.strip_prefix('#').unwrap_or_else(|| panic!("{reference} leads outside"));
        assert!(document.pointer(pointer).is_some(), "{reference}");
    }
    let schemes = document["components"]["securitySchemes"].as_object().unwrap();
    let mut securities = vec![&document["security"]];
    let operations = operations(&document);
    securities.extend(operations.values().filter_map(|operation| operation.get("security")));
    for requirement in securities.into_iter().flat_map(|security| security.as_array().unwrap()) {
        for name in requirement.as_object().unwrap().keys() {
            assert!(schemes.contains_key(name), "{name}");
        }
    }
    println!("{} references", found.len());
}

#[test]
fn operations_that_nobody_signs_in_for_say_so() {
    let document = document();
    let open: BTreeSet<String> = operations(&document)
        .into_iter()
        .filter(|(_, operation)| {
            let security = operation.get("security").unwrap_or(&document["security"]);
            security.as_array().unwrap().iter().all(|requirement| requirement.as_object().unwrap().is_empty())
        })
        .map(|(route, _)| route)
        .collect();
    let expected = ["GET /api/v1/openapi.json", "GET /livez", "GET /metrics", "GET /readyz", "POST /api/v1/sign-in"];
    assert_eq!(open, BTreeSet::from(expected.map(str::to_owned)));
}

#[test]
fn the_browsable_documentation_can_be_switched_off() {
    for (docs, status) in [("true", 200), ("false", 404)] {
        let server = builder().env("FILMGATE__API__DOCS", docs).start().unwrap();
        assert_eq!(Request::get("/api/v1/docs").send(server.address()).unwrap().status, status);
        assert_eq!(Request::get("/api/v1/openapi.json").send(server.address()).unwrap().status, 200);
    }
}
