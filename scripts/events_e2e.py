"""The play of scripts/events-e2e: starts everybody, uploads, disturbs, and compares what arrived with what happened."""

import base64
import json
import os
import secrets
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
import zlib
from collections import Counter, defaultdict
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
EVENTS = "capture.stored,capture.processed,capture.failed,capture.deleted"
SINKS = {"celery": "task_id", "webhook": "webhook_id"}
LIMIT_S = 120
PROGRAMS = []


def wait_for(what, question, limit_s=LIMIT_S):
    end = time.monotonic() + limit_s
    while not (answer := question()):
        assert time.monotonic() < end, f"waited {limit_s} s in vain for {what}"
        time.sleep(0.05)
    return answer


def free_port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


class Program:
    """A process with its log; its children die with it."""

    def __init__(self, name, words, work, env=None, cwd=None):
        self.log = open(work / f"{name}.log", "ab")
        self.out = work / f"{name}.out"
        with open(self.out, "wb") as out:
            self.process = subprocess.Popen(
                words, stdin=subprocess.DEVNULL, stdout=out, stderr=self.log, cwd=cwd,
                env=os.environ | (env or {}), start_new_session=True,
            )  # fmt: skip
        PROGRAMS.append(self)

    def first_line(self):
        assert self.process.poll() is None, f"{self.out.name}: ended with {self.process.returncode}"
        text = self.out.read_text()
        return text.splitlines()[0] if "\n" in text else None

    def end(self, how=signal.SIGTERM):
        for group in (False, True):
            try:
                (os.killpg if group else os.kill)(self.process.pid, signal.SIGKILL if group else how)
            except ProcessLookupError:
                pass
            self.process.wait(LIMIT_S)
        self.log.close()
        PROGRAMS.remove(self)


class Door(BaseHTTPRequestHandler):
    """Stands before the receiver: shut, it answers 500."""

    protocol_version = "HTTP/1.1"
    receiver = None
    shut = False
    refused = 0

    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        if Door.shut:
            Door.refused += 1
            return self.answer(500)
        request = urllib.request.Request(Door.receiver, body, dict(self.headers))
        try:
            with urllib.request.urlopen(request, timeout=30) as response:
                self.answer(response.status)
        except urllib.error.HTTPError as error:
            self.answer(error.code)

    def answer(self, status):
        self.send_response(status)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


class House:
    """Everybody at work, and what is known of captures."""

    def __init__(self, binary, work):
        self.binary, self.work = binary, work
        self.secret = "whsec_" + base64.b64encode(secrets.token_bytes(32)).decode()
        self.broker_port = free_port()
        self.broker_url = f"redis://127.0.0.1:{self.broker_port}/0"
        self.programs = {}
        self.start_broker()
        self.start_worker()
        receiver = Program(
            "receiver", ["python3", str(ROOT / "integrations/celery/verify_webhook.py")], work,
            {"PORT": "0", "SECRET": self.secret, "RECEIVED_FILE": str(work / "webhook.jsonl")},
        )  # fmt: skip
        self.programs["receiver"] = receiver
        Door.receiver = wait_for("the receiver", receiver.first_line)
        door = ThreadingHTTPServer(("127.0.0.1", 0), Door)
        threading.Thread(target=door.serve_forever, daemon=True).start()
        self.door_url = f"http://127.0.0.1:{door.server_address[1]}/hook"
        self.start_server()

    def start_broker(self):
        # What it answered for it keeps, or its restart would lose tasks by its own fault.
        words = ["redis-server", "--bind", "127.0.0.1", "--port", str(self.broker_port), "--dir", str(self.work)]
        words += ["--save", "", "--appendonly", "yes", "--appendfsync", "always"]
        self.programs["broker"] = Program("broker", words, self.work)
        import redis

        def answers():
            try:
                return redis.Redis.from_url(self.broker_url).ping()
            except redis.exceptions.RedisError:
                return False

        wait_for("the broker", answers)

    def start_worker(self):
        words = ["celery", "-A", "tasks", "worker", "--queues", "celery", "--concurrency", "2"]
        words += ["--hostname", "e2e@localhost"]
        env = {"BROKER_URL": self.broker_url, "RECEIVED_FILE": str(self.work / "celery.jsonl")}
        self.programs["worker"] = Program("worker", words, self.work, env, ROOT / "integrations/celery")

    def start_server(self):
        env = {
            "FILMGATE__CELERY__BROKER_URL": self.broker_url, "FILMGATE__CELERY__EVENTS": EVENTS,
            "FILMGATE__WEBHOOK__URL": self.door_url, "FILMGATE__WEBHOOK__SECRET": self.secret,
            "FILMGATE__WEBHOOK__EVENTS": EVENTS, "FILMGATE__WEBHOOK__ALLOW_PRIVATE_NETWORKS": "127.0.0.1",
            "FILMGATE__WEBHOOK__RETRY_DELAY_MAX_MS": "1000", "FILMGATE__WEBHOOK__ATTEMPTS_MAX": "200",
            "FILMGATE__JOBS__RETRY_DELAY_MIN_MS": "100", "FILMGATE__JOBS__LEASE_MS": "2000",
        }  # fmt: skip
        words = [self.binary, "demo", "--json", "--listen", "127.0.0.1:0", "--data", str(self.work / "data")]
        self.programs["server"] = server = Program("server", words, self.work, env)
        self.demo = json.loads(wait_for("the server", server.first_line))

    def ask(self, method, path, who="participant", body=None, headers=None):
        request = urllib.request.Request(self.demo["url"] + path, body, headers or {}, method=method)
        request.add_header("Cookie", self.demo[who]["cookie"])
        with urllib.request.urlopen(request, timeout=30) as response:
            text = response.read()
        return json.loads(text) if text else None

    def upload(self, photo, key, kind="jpeg"):
        """One photo, sent again under its key until it is answered; its capture's id."""
        boundary = "e2e-" + secrets.token_hex(16)
        head = f'--{boundary}\r\nContent-Disposition: form-data; name="{{}}"{{}}\r\n\r\n'
        body = (head.format("session_id", "") + self.demo["session_id"] + "\r\n").encode()
        body += (head.format("metadata_0", "") + '{"trigger":"INTERVAL"}\r\n').encode()
        body += head.format("capture_0", f'; filename="a.{kind}"\r\nContent-Type: image/{kind}').encode()
        body += photo + f"\r\n--{boundary}--\r\n".encode()
        headers = {"Content-Type": f"multipart/form-data; boundary={boundary}", "Idempotency-Key": key}

        def answered():
            try:
                return self.ask("POST", "/assessment/camera/upload", body=body, headers=headers)
            except urllib.error.HTTPError as error:
                assert error.code in (409, 429, 503), f"{error.code}: {error.read()}"
            except OSError:
                pass  # It was killed, and is started again.

        return wait_for("an upload", answered)["captures"][0]["id"]

    def tasks(self, **query):
        """All tasks that fit, page by page."""
        found, cursor = [], ""
        while cursor is not None:
            words = "&".join(f"{name}={value}" for name, value in query.items())
            page = self.ask("GET", f"/api/v1/tasks?limit=200&{words}{cursor}", "admin")
            found += page["items"]
            cursor = f"&cursor={page['next_cursor']}" if page.get("next_cursor") else None
        return found

    def has_open(self, kind):
        return any(self.tasks(kind=kind, state=state) for state in ("PENDING", "STARTED", "RETRY"))

    def received(self, sink):
        """What arrived: (id, type, capture) of each."""
        try:
            lines = (self.work / f"{sink}.jsonl").read_text().splitlines(keepends=True)
        except FileNotFoundError:
            return []
        whole = [json.loads(line) for line in lines if line.endswith("\n")]
        return [(one[SINKS[sink]], one["event"]["type"], one["event"]["data"]["capture_id"]) for one in whole]


def broken_png():
    """Whole by its structure, every checksum right, and impossible to decode."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", 64, 48, 8, 2, 0, 0, 0)
    noise = secrets.token_bytes(400)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", noise) + chunk(b"IEND", b"")


def judge(sink, happened, got, deliveries, exactly_once):
    """What is wrong with what a sink got, given what happened and how the catalog names the deliveries."""
    wrong = []
    ids = defaultdict(set)
    for id_, kind, capture in got:
        ids[kind, capture].add(id_)
    missing, unknown = happened - ids.keys(), ids.keys() - happened
    if missing:
        wrong.append(f"{len(missing)} events never came, such as {min(missing)}")
    if unknown:
        wrong.append(f"{len(unknown)} events came that never happened, such as {min(unknown)}")
    if several := [event for event, names in ids.items() if len(names) > 1]:
        wrong.append(f"{len(several)} events came under several ids, such as {several[0]}")
    if len(set().union(*ids.values())) < len(ids):
        wrong.append("one id stands for several events")
    if strange := {id_ for id_, _, _ in got} ^ deliveries:
        wrong.append(f"{len(strange)} ids are not those of the catalog's deliveries")
    twice = [id_ for id_, count in Counter(id_ for id_, _, _ in got).items() if count > 1]
    if exactly_once and twice:
        wrong.append(f"{len(twice)} events came more than once, such as {twice[0]}")
    return [f"{sink}: {what}" for what in wrong]


def control(sink, happened, got, deliveries):
    """The judge must find each of these."""
    other = ("0192f0c0-aaaa-7aaa-8aaa-aaaaaaaaaaaa",)
    damages = {
        "one missing": got[1:],
        "one twice": got + got[:1],
        "one under a second id": got + [other + got[0][1:]],
        "one that never happened": got + [other + ("capture.stored", "nobody")],
        "two under one id": got[:1] + [got[0][:1] + got[1][1:]] + got[2:],
    }
    for name, damaged in damages.items():
        assert judge(sink, happened, damaged, deliveries, True), f"control: {name}: NOT noticed"


def compare(house, happened, exactly_once):
    """Waits until nothing is on its way, then compares."""
    wait_for("all deliveries", lambda: not house.has_open("process") and not house.has_open("deliver"))
    for sink in SINKS:
        wait_for(f"what {sink} has to do", lambda: happened <= {got[1:] for got in house.received(sink)})
    time.sleep(1.5)  # A second copy would come now.
    wrong = []
    for sink in SINKS:
        got = house.received(sink)
        deliveries = {task["id"] for task in house.tasks(kind="deliver", sink=sink)}
        wrong += judge(sink, happened, got, deliveries, exactly_once)
        print(f"{sink}: {len(happened)} events happened, {len(got)} arrived, under {len({one[0] for one in got})} ids")
        if exactly_once and not wrong:
            control(sink, happened, got, deliveries)
    assert not wrong, "\n".join(wrong)


def play(house, count):
    photo = (house.work / "data/demo-photo.jpg").read_bytes()
    happened = set()

    def uploaded(name, bytes_=photo, kind="jpeg", ends="capture.processed"):
        capture = house.upload(bytes_, name, kind)
        happened.update({("capture.stored", capture), (ends, capture)})
        return capture

    def delete(capture):
        wait_for("its processing", lambda: house.tasks(kind="process", state="SUCCESS", capture_id=capture))
        house.ask("DELETE", f"/api/v1/captures/{capture}", "admin")
        happened.add(("capture.deleted", capture))

    print(f"== undisturbed: {count} captures, one that is broken, one deleted")
    captures = [uploaded(f"calm-{number}") for number in range(count)]
    uploaded("calm-broken", broken_png(), "png", "capture.failed")
    delete(captures[0])
    compare(house, happened, exactly_once=True)

    print("== disturbed: the broker killed, the receiver answering 500, the server killed")
    Door.shut = True
    captures = [uploaded(f"storm-{number}") for number in range(count // 3)]
    # A Celery worker that loses its broker may end by an error of its own, with tasks in hand that Celery gives to
    # nobody for an hour. What it does then is not what is tried here.
    house.programs["worker"].end()
    house.programs["broker"].end(signal.SIGKILL)
    captures += [uploaded(f"storm-{number}") for number in range(count // 3, 2 * count // 3)]
    uploaded("storm-broken", broken_png(), "png", "capture.failed")
    house.start_broker()
    house.start_worker()
    delete(captures[1])

    def kill():
        time.sleep(0.4)
        house.programs["server"].end(signal.SIGKILL)
        house.start_server()

    killer = threading.Thread(target=kill)
    killer.start()
    captures += [uploaded(f"storm-{number}") for number in range(2 * count // 3, count)]
    killer.join()
    wait_for("deliveries refused with 500", lambda: Door.refused >= 5)
    Door.shut = False
    compare(house, happened, exactly_once=False)
    print(f"injected: 1 x kill -9 of the broker, 1 x kill -9 of the server, {Door.refused} x webhook answered with 500")


def main(binary, work, count):
    work = Path(work)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended by SIGTERM"))
    try:
        play(House(binary, work), int(count))
    except BaseException:
        for log in sorted(work.glob("*.log")):
            print(f"--- the end of {log.name}\n" + "\n".join(log.read_text(errors="replace").splitlines()[-15:]))
        raise
    finally:
        for program in reversed(PROGRAMS.copy()):
            program.end()
    print("events-e2e: all of it holds")


if __name__ == "__main__":
    main(*sys.argv[1:])
