//! The message of one Celery task: Celery's message protocol, version 2, in the envelope of kombu's Redis transport.
//!
//! Every member and its default is what Celery 5.7's own producer writes; `scripts/events-check` compares the two.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Value, json};
use uuid::Uuid;

/// The envelope, ready to be pushed. The error says that the payload is no JSON.
///
/// `delivery_tag` is new for each push: workers keep unacknowledged messages under it, and of two with one tag the
/// second would take the first's place.
pub(crate) fn message(
    id: Uuid,
    payload: &str,
    task_name: &str,
    queue: &str,
    delivery_tag: Uuid,
) -> Result<String, serde_json::Error> {
    let event: Value = serde_json::from_str(payload)?;
    let body = json!([
        [],
        { "event": event },
        { "callbacks": null, "errbacks": null, "chain": null, "chord": null },
    ]);
    let envelope = json!({
        "body": BASE64.encode(body.to_string()),
        "content-encoding": "utf-8",
        "content-type": "application/json",
        "headers": {
            "lang": "py",
            "task": task_name,
            "id": id,
            "shadow": null,
            "eta": null,
            "expires": null,
            "group": null,
            "group_index": null,
            // Celery's own count of the app's retries; Filmgate's attempts are no business of the task.
            "retries": 0,
            "timelimit": [null, null],
            "root_id": id,
            "parent_id": null,
            // Celery writes these two to its log and shows them in its monitors: no event stands in them.
            "argsrepr": "()",
            "kwargsrepr": "{'event': ...}",
            "origin": "filmgate",
            // Null: the task's own setting decides.
            "ignore_result": null,
            "replaced_task_nesting": 0,
            "stamped_headers": null,
            "stamps": {},
        },
        "properties": {
            "correlation_id": id,
            // Nobody waits for a result.
            "reply_to": "",
            "delivery_mode": 2,
            // The default exchange, whose routing key is the queue's name: a worker that puts a message back finds its
            // queue without any binding in Redis.
            "delivery_info": { "exchange": "", "routing_key": queue },
            "priority": 0,
            "body_encoding": "base64",
            "delivery_tag": delivery_tag,
        },
    });
    Ok(envelope.to_string())
}
