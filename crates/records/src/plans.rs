//! How the engine goes about the queries that run with every task: by an index, and never through a whole table.

use rusqlite::Connection;
use rusqlite::config::DbConfig;

use crate::claims::{FORGET_HAND_OVERS, IN_LINE, LEASED, WAITING};
use crate::processing::neighbour_sql;
use crate::tasks::{COUNT, FORGET, Owner, REVOKE_OF_CAPTURE, next_turn_sql};
use crate::{CatalogOptions, Records, TaskKind};

/// The steps of a query's plan, each by a line.
fn plan(db: &Connection, sql: &str) -> String {
    let mut statement = db.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
    // What is bound is no matter: the plan is made without.
    let mut rows = statement.raw_query();
    let mut lines = Vec::new();
    while let Some(row) = rows.next().unwrap() {
        lines.push(row.get::<_, String>(3).unwrap());
    }
    lines.join("\n")
}

/// Everything goes by an index, this one among them; nothing is read twice to be sorted.
fn check(db: &Connection, sql: &str, index: &str) {
    let plan = plan(db, sql);
    assert!(plan.contains(index), "{sql}\n{plan}");
    for step in plan.lines() {
        assert!(!step.contains("TEMP B-TREE"), "{sql}\n{plan}");
        // A scan of a partial index reads what is to be counted, and no more.
        let is_scan = step.starts_with("SCAN") && step != "SCAN CONSTANT ROW" && !step.starts_with("SCAN tasks USING");
        assert!(!is_scan, "{sql}\n{plan}");
    }
}

fn catalog() -> (tempfile::TempDir, Connection) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("c");
    drop(Records::open(&path, &CatalogOptions::default()).unwrap());
    let db = Connection::open(path).unwrap();
    db.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true).unwrap();
    (folder, db)
}

#[test]
fn hot_queries_go_by_their_index() {
    let (_folder, db) = catalog();
    check(&db, IN_LINE, "INDEX tasks_in_line (kind=?");
    check(&db, &format!("SELECT min(available_at) {WAITING} IS NOT NULL"), "INDEX tasks_waiting (kind=?");
    check(&db, &format!("SELECT max(lease_expires_at) {LEASED} IS NOT NULL"), "INDEX tasks_leased (kind=?");
    for side in ["<=", ">"] {
        let waiting = format!("SELECT id, priority {WAITING} {side} ?2 ORDER BY available_at LIMIT ?3");
        check(&db, &waiting, "INDEX tasks_waiting (kind=? AND available_at");
        check(&db, &format!("SELECT id {LEASED} {side} ?2"), "INDEX tasks_leased (kind=? AND lease_expires_at");
    }
    for (user_id, sink) in [(Some(1), None), (None, Some("webhook")), (None, None)] {
        let next_turn = next_turn_sql(&Owner { kind: TaskKind::Process, priority: 0, user_id, sink });
        check(&db, &next_turn, "INDEX tasks_in_line (kind=? AND priority=?");
        check(&db, &next_turn, "INDEX tasks_in_line_by_owner (kind=? AND priority=? AND user_id=? AND sink=?");
    }
    check(&db, FORGET_HAND_OVERS, "INDEX tasks_handed_over (kind=?");
    check(&db, FORGET, "INDEX tasks_ended (finished_at<?");
    check(&db, REVOKE_OF_CAPTURE, "INDEX tasks_by_capture (capture_id=?");
    check(&db, COUNT, "COVERING INDEX tasks_open");
    let dead = "SELECT id FROM tasks WHERE (created_at, id) < (?, ?) AND state = 'FAILURE'
                ORDER BY created_at DESC, id DESC LIMIT ?";
    check(&db, dead, "INDEX tasks_dead ((created_at,id)<");
    for (side, order) in [("<", "DESC"), (">", "ASC")] {
        let index = format!("INDEX captures_by_session (session_id=? AND (received_at,id){side}");
        check(&db, &neighbour_sql(side, order), &index);
    }
    let by_id = "UPDATE tasks SET state = 'STARTED' WHERE id = ?1 AND is_ready = 1 AND kind = ?5";
    check(&db, by_id, "INDEX sqlite_autoindex_tasks_1 (id=?");
}

#[test]
#[should_panic = "SCAN tasks"]
fn a_scan_would_be_found() {
    let (_folder, db) = catalog();
    check(&db, "SELECT id FROM tasks WHERE worker = ?", "tasks");
}
