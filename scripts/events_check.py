"""The looking of scripts/events-check: makes deliveries, and compares what arrived with them."""

import base64
import json
import os
import re
import secrets
import socket
import sys
import time
import uuid
from collections import Counter


def lines(name):
    with open(name) as file:
        return [json.loads(line) for line in file]


def uuid7():
    """Milliseconds since 1970, the version, the variant, and random bits (RFC 9562)."""
    value = int(time.time() * 1000) << 80 | 7 << 76 | secrets.randbits(12) << 64 | 2 << 62 | secrets.randbits(62)
    return str(uuid.UUID(int=value))


def secret():
    print("whsec_" + base64.b64encode(secrets.token_bytes(32)).decode())


def port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        print(free.getsockname()[1])


def broker():
    import redis

    return redis.Redis.from_url(os.environ["BROKER_URL"])


def ping():
    broker().ping()


def make(count, *sinks):
    kinds = ["capture.stored", "capture.processed", "capture.failed", "capture.deleted"]
    for number in range(int(count)):
        data = {"capture_id": uuid7(), "session_id": str(uuid.uuid4()), "size_bytes": number, "sharpness": 0.5}
        data |= {"filename": "ü \"quoted\" \\ \n 😀 </script>.jpg"}
        event = {"type": kinds[number % 4], "timestamp": "2026-11-24T08:00:00.000001Z", "data": data}
        for sink in sinks:
            # The two writings of JSON that a recorder may use: the receiver verifies bytes, not values.
            payload = json.dumps(event, ensure_ascii=number % 2 == 0, separators=(",", ":"))
            print(json.dumps({"id": uuid7(), "sink": sink, "attempt": 1, "payload": payload}))


def all_(word, count):
    outcomes = [json.loads(line) for line in sys.stdin]
    wrong = [outcome for outcome in outcomes if outcome["outcome"] != word]
    assert not wrong and len(outcomes) == int(count), f"{len(outcomes)} outcomes, not {word}: {wrong}"
    print(f"{len(outcomes)} deliveries: {word}")


def count(name, wanted):
    sys.exit(len(lines(name)) < int(wanted))


def received(deliveries, sink, name, times):
    """Each delivery arrived so many times under its id, as it was sent, and nothing else did."""
    sent = {line["id"]: json.loads(line["payload"]) for line in lines(deliveries) if line["sink"] == sink}
    member = {"celery": "task_id", "webhook": "webhook_id"}[sink]
    got = lines(name)
    assert Counter(line[member] for line in got) == {id: int(times) for id in sent}, f"{sink}: other ids"
    wrong = [line for line in got if line["event"] != sent[line[member]]]
    assert not wrong, f"{sink}: changed on the way: {wrong}"
    print(f"{sink}: {len(got)} arrived, each of {len(sent)} ids {times} time(s), as sent")


def unlogged(deliveries, log):
    """The worker's log names tasks by id, and holds nothing of their events."""
    with open(log) as file:
        text = file.read()
    for line in lines(deliveries):
        data = json.loads(line["payload"])["data"]
        assert line["sink"] != "celery" or line["id"] in text, "the worker's log does not know a task"
        assert data["capture_id"] not in text and data["session_id"] not in text, "an event stands in the worker's log"


def compare(delivery):
    """Our message against one by Celery's own producer, and its way back into the queue."""
    from celery import Celery

    [sent] = lines(delivery)
    event = json.loads(sent["payload"])
    app = Celery(broker=os.environ["BROKER_URL"])
    app.send_task("filmgate.capture_event", kwargs={"event": event}, task_id=sent["id"], queue="theirs")
    connection = broker()
    ours, theirs = (json.loads(connection.lindex(queue, 0)) for queue in ("ours", "theirs"))
    for message, queue in (ours, "ours"), (theirs, "theirs"):
        message["body"] = json.loads(base64.b64decode(message["body"]))
        assert message["properties"]["delivery_info"].pop("routing_key") == queue
        assert re.fullmatch("[0-9a-f-]{36}", message["properties"].pop("delivery_tag"))
        assert isinstance(message["properties"].pop("reply_to"), str)
        # Who sent it, and what monitors show of the arguments: ours show no event.
        for member in "origin", "argsrepr", "kwargsrepr":
            assert isinstance(message["headers"].pop(member), str)
    assert ours == theirs, f"ours: {ours}\ntheirs: {theirs}"

    # A worker that cannot keep a message puts it back: kombu finds the queue by the message alone.
    before = connection.keys("_kombu.binding.ours")
    with app.connection_for_read() as kombu:
        message = kombu.default_channel.basic_get("ours")
        assert message and connection.llen("ours") == 0
        message.requeue()
    assert connection.llen("ours") == 1 and before == connection.keys("_kombu.binding.ours") == []
    again = json.loads(connection.lindex("ours", 0))
    assert again["headers"]["id"] == sent["id"] and again["headers"]["redelivered"]
    print("the same but for ids and what monitors show; put back without a binding")


if __name__ == "__main__":
    name, *arguments = sys.argv[1:]
    {"all": all_}.get(name, globals().get(name))(*arguments)
