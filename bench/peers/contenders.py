"""Who is measured, and how each is started with its users, on a folder of its own."""

import json
import os
import shutil
import socket
import sqlite3
import subprocess
import sys
import time
import urllib.request
import uuid

HERE = os.path.dirname(os.path.abspath(__file__))
SECRET = "of-the-bench-alone"
USERS = 16


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


class Contender:
    """One server, started on a fresh folder."""

    name = words = kind = ""
    is_durable = False
    speaks_contract = True

    def __init__(self, options, folder):
        self.options, self.folder, self.port = options, folder, free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.children = []
        os.makedirs(os.path.join(folder, "uploads"), exist_ok=True)
        self.env = {
            **os.environ,
            "PEER_DATA": folder,
            "PEER_PORT": str(self.port),
            "PEER_SECRET": SECRET,
            "PEER_PROCESSES": str(os.cpu_count()),
            "PEER_MODULES": os.path.join(options.env, "js"),
            "PYTHONPATH": os.path.join(HERE, "servers"),
            "PYTHONDONTWRITEBYTECODE": "1",
            "NODE_ENV": "production",
        }

    def spawn(self, *command, **more):
        log = open(os.path.join(self.folder, f"log-{len(self.children)}.txt"), "wb")
        child = subprocess.Popen(command, env={**self.env, **more}, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        self.children.append(child)

    def roots(self):
        return [child.pid for child in self.children]

    def wait(self, path, headers=None):
        """Until it answers; a 4xx is an answer too."""
        for _ in range(300):
            dead = [child.args[0] for child in self.children if child.poll() is not None]
            if dead:
                sys.exit(f"{self.name}: {dead[0]} ended; its log is in {self.folder}")
            try:
                urllib.request.urlopen(urllib.request.Request(self.url + path, headers=headers or {}), timeout=2)
                return
            except urllib.error.HTTPError:
                return
            except OSError:
                time.sleep(0.1)
        sys.exit(f"{self.name} does not answer; its log is in {self.folder}")

    def stop(self):
        for child in reversed(self.children):
            child.terminate()
        for child in self.children:
            try:
                child.wait(10)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()

    def settle(self):
        """Waits until what was answered is done."""

    def keep(self, name, lines):
        path = os.path.join(self.folder, name)
        with open(path, "w") as file:
            file.write("\n".join(lines) + "\n")
        return path

    def generator(self):
        """The load generator's command, up to the load."""
        raise NotImplementedError


class OfApp(Contender):
    """Those over the app's tables, with Flask's cookie."""

    def make_database(self):
        db = sqlite3.connect(os.path.join(self.folder, "app.db"))
        db.executescript(
            """
            PRAGMA journal_mode=WAL;
            CREATE TABLE users (id INTEGER PRIMARY KEY, username VARCHAR(80));
            CREATE TABLE camera_settings (id VARCHAR(36) PRIMARY KEY, setting_name VARCHAR(80), recording_mode VARCHAR(20),
                interval_seconds INTEGER, resolution VARCHAR(20), is_active BOOLEAN);
            CREATE TABLE assessment_sessions (id VARCHAR(36) PRIMARY KEY, user_id INTEGER, camera_settings_id VARCHAR(36));
            CREATE TABLE camera_captures (id VARCHAR(36) PRIMARY KEY, session_id VARCHAR(36), filename VARCHAR(80),
                file_size_bytes INTEGER, capture_trigger VARCHAR(20), timestamp DATETIME, assessment_type VARCHAR(10),
                camera_settings_snapshot JSON);
            CREATE INDEX by_session ON camera_captures (session_id);
            """
        )
        settings = str(uuid.uuid4())
        db.execute("INSERT INTO camera_settings VALUES (?, 'Every second', 'INTERVAL', 1, '1280x720', 1)", (settings,))
        self.sessions = [str(uuid.uuid4()) for _ in range(USERS)]
        for at, session in enumerate(self.sessions, 1):
            db.execute("INSERT INTO users VALUES (?, ?)", (at, f"user-{at}"))
            db.execute("INSERT INTO assessment_sessions VALUES (?, ?, ?)", (session, at, settings))
        db.commit()
        db.close()

    def people(self):
        # The cookie that Flask-Login would set, by Flask's own signer.
        from flask import Flask
        from flask.sessions import SecureCookieSessionInterface

        app = Flask("bench")
        app.secret_key = SECRET
        signer = SecureCookieSessionInterface().get_signing_serializer(app)
        # Short of what Flask compresses: each peer reads it without zlib.
        cookies = [signer.dumps({"_user_id": str(at), "_fresh": True}) for at in range(1, USERS + 1)]
        return [
            "--cookie-file", self.keep("cookies", [f"session={cookie}" for cookie in cookies]),
            "--sessions-file", self.keep("sessions", self.sessions),
        ]  # fmt: skip

    def generator(self):
        return [self.options.filmgate, "bench", self.url, "--json", *self.people()]

    def python(self, program):
        return os.path.join(self.options.env, "py", "bin", program)


class FlaskPeer(OfApp):
    name, words, kind = "flask", "Flask, gthread 6 x 16", "the original's"

    def start(self):
        self.make_database()
        self.serve()

    def serve(self):
        self.spawn(
            self.python("gunicorn"), "--worker-class", "gthread", "--workers", "6", "--threads", "16", "--keep-alive", "5",
            "--timeout", "120", "--backlog", "4096", "--worker-connections", "20000", "--no-control-socket",
            "--bind", f"127.0.0.1:{self.port}", "flask_app:app",
        )  # fmt: skip
        self.wait("/assessment/camera/settings/x")


class CeleryPeer(FlaskPeer):
    name, words = "flask-celery", "Flask, gthread 6 x 16, Celery and Redis"

    def start(self):
        self.broker_port = free_port()
        self.env["CELERY_BROKER"] = f"redis://127.0.0.1:{self.broker_port}/0"
        self.spawn("redis-server", "--port", str(self.broker_port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no")
        time.sleep(1)
        self.make_database()
        self.spawn(self.python("celery"), "-A", "flask_app.celery", "worker", "--loglevel", "WARNING", "--concurrency",
                   str(os.cpu_count()), "--without-gossip", "--without-mingle",
                   # Else it refuses photos as root, which a filesystem of one's own needs.
                   C_FORCE_ROOT="1")  # fmt: skip
        self.serve()

    def settle(self):
        import redis

        broker = redis.Redis(port=self.broker_port)
        for _ in range(1200):
            if broker.llen("celery") == 0 and broker.hlen("unacked") == 0:
                return
            time.sleep(0.1)
        sys.exit("the Celery worker did not finish in two minutes")


class FastapiPeer(OfApp):
    name, words, kind = "fastapi", "FastAPI, uvicorn", "a framework"

    def start(self):
        self.make_database()
        self.spawn(
            self.python("uvicorn"), "fastapi_app:app", "--host", "127.0.0.1", "--port", str(self.port), "--workers",
            str(os.cpu_count()), "--no-access-log", "--log-level", "warning", "--backlog", "4096",
        )  # fmt: skip
        self.wait("/assessment/camera/settings/x")


class FastifyPeer(OfApp):
    name, words, kind = "fastify", "Fastify, better-sqlite3", "a framework"

    def start(self):
        self.make_database()
        self.spawn("node", os.path.join(HERE, "servers", "fastify_app.mjs"))
        self.wait("/assessment/camera/settings/x")


class Bare(Contender):
    """No contract: the adapter of the load generator speaks to it."""

    speaks_contract = False
    protocol = ""

    def generator(self):
        return [self.options.loadgen, self.protocol, self.url, "--name", uuid.uuid4().hex[:8]]


class NginxPeer(Bare):
    name, words, kind, protocol = "nginx-put", "nginx, WebDAV PUT", "no form, sign-in or row", "put"

    def start(self):
        with open(os.path.join(HERE, "servers", "nginx.conf")) as file:
            config = file.read().replace("DATA", self.folder).replace("PORT", str(self.port))
        os.makedirs(os.path.join(self.folder, "uploads", "photos"), exist_ok=True)
        if os.getuid() == 0:
            config = "user root;\n" + config
        path = self.keep("nginx.conf", [config])
        self.spawn(shutil.which("nginx") or "/usr/sbin/nginx", "-c", path, "-p", self.folder)
        self.wait("/quick.json")


class TusPeer(Bare):
    name, words, kind, protocol = "tus", "@tus/server, file store", "no form, sign-in or row", "tus"

    def start(self):
        self.spawn("node", os.path.join(HERE, "servers", "tus_app.mjs"))
        self.wait("/quick.json")


class Filmgate(Contender):
    kind = "all of it"
    durability = ""

    def command(self, *words):
        settings = {
            "ingest.durability": self.durability,
            # The peers make no thumbnails.
            "processing.workers": "0",
            "ingest.free_bytes_min": "67108864",
            "ingest.uploads_in_flight_per_user_max": "20000",
            "ingest.uploads_in_flight_max": "20000",
            "ingest.bytes_in_flight_per_user_max": "8589934592",
            "log.level": "warn",
            "server.listen": f"127.0.0.1:{self.port}",
        }
        flags = [flag for pair in settings.items() for flag in ("--set", "=".join(pair))]
        return [self.options.filmgate, *words, "--data", os.path.join(self.folder, "data"), *flags]

    def start(self):
        self.spawn(*self.command("serve"))
        self.wait("/livez")
        password = self.keep("password", [uuid.uuid4().hex])
        run = lambda *words: subprocess.run(self.command(*words, "--json"), check=True, capture_output=True).stdout
        run("user", "add", "admin", "--role", "admin", "--password-file", password)
        admin = json.loads(run("token", "create", "bench", "--user", "admin"))["secret"]

        def made(path, **members):
            headers = {"Authorization": f"Bearer {admin}", "Content-Type": "application/json"}
            request = urllib.request.Request(self.url + path, json.dumps(members).encode(), headers)
            with urllib.request.urlopen(request, timeout=30) as answer:
                return json.load(answer)

        made("/api/v1/camera-settings", setting_name="Every second", recording_mode="INTERVAL", interval_seconds=1,
             resolution="1280x720", capture_on_button_click=False, capture_on_message_send=False,
             capture_on_question_start=False, is_active=True, is_default=True)  # fmt: skip
        self.tokens, self.sessions = [], []
        for at in range(USERS):
            user = made("/api/v1/users", username=f"user-{at}", password=uuid.uuid4().hex)["id"]
            self.tokens.append(made("/api/v1/tokens", name=f"bench {at}", user_id=user)["secret"])
            self.sessions.append(made("/api/v1/sessions", user_id=user)["id"])

    def generator(self):
        tokens, sessions = self.keep("tokens", self.tokens), self.keep("sessions", self.sessions)
        return [self.options.filmgate, "bench", self.url, "--json", "--token-file", tokens, "--sessions-file", sessions]


class Relaxed(Filmgate):
    name, words, durability = "filmgate-relaxed", "Filmgate, not synced", "relaxed"


class Durable(Filmgate):
    name, words, durability, is_durable = "filmgate", "Filmgate, durable", "durable", True


ALL = [Durable, Relaxed, NginxPeer, FastifyPeer, TusPeer, FastapiPeer, FlaskPeer, CeleryPeer]
