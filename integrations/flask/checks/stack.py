"""The app under Gunicorn, nginx and Filmgate, as `nginx/`, `gunicorn.conf.py` and `filmgate.toml` say, on free ports.

The files are used as they are: ports, folders and certificates are replaced on the way to nginx, and Filmgate gets
them by its environment.
"""

import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path

HERE = Path(__file__).resolve().parent.parent
PASSWORD = "a password for trying out"


def free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [taken.getsockname()[1] for taken in sockets]
    for taken in sockets:
        taken.close()
    return ports


def wait_until(what: str, true: Callable[[], bool], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what}: not within {seconds:g} s")
        time.sleep(0.1)


def answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5):
            return True
    except OSError:
        return False


class Stack:
    """All three. A context manager: what was started is stopped."""

    def __init__(self, work: Path, filmgate: Path | None, database_url: str | None = None) -> None:
        self.work = work
        self.filmgate_binary = filmgate
        self.app_port, self.nginx_port, self.filmgate_port = free_ports(3)
        self.secret_key = secrets.token_hex(32)
        self.database_url = database_url or f"sqlite:///{work / 'assessment.sqlite'}"
        self.uploads = work / "uploads"
        self.processes: dict[str, subprocess.Popen] = {}
        self.logs = work / "logs"
        self.logs.mkdir(parents=True)
        (work / "sites").mkdir()

    def __enter__(self) -> "Stack":
        return self

    def __exit__(self, *_: object) -> None:
        for name in list(self.processes):
            self.stop(name)

    def start(self, name: str, words: list[str | Path], **environment: str) -> None:
        with (self.logs / f"{name}.log").open("ab") as log:
            self.processes[name] = subprocess.Popen(
                words, stdout=log, stderr=log, stdin=subprocess.DEVNULL, cwd=self.work, env={**os.environ, **environment}
            )

    def stop(self, name: str, how: signal.Signals = signal.SIGTERM) -> None:
        process = self.processes.pop(name, None)
        if process is None:
            return
        process.send_signal(how)
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def pid(self, name: str) -> int:
        return self.processes[name].pid

    # --- the app

    def app_environment(self) -> dict[str, str]:
        return {
            "SECRET_KEY": self.secret_key,
            "DATABASE_URL": self.database_url,
            "UPLOADS_DIR": str(self.uploads),
            "BIND": f"127.0.0.1:{self.app_port}",
            "SEED_PASSWORD": PASSWORD,
            "PYTHONDONTWRITEBYTECODE": "1",
        }

    def make_tables(self, participants: int = 2) -> None:
        for words in (["create-tables"], ["seed", "--participants", str(participants)]):
            flask = [sys.executable, "-m", "flask", "--app", "wsgi", *words]
            subprocess.run(flask, check=True, cwd=HERE, env={**os.environ, **self.app_environment()})

    def start_app(self) -> None:
        gunicorn: list[str | Path] = [sys.executable, "-m", "gunicorn", "--chdir", HERE, "-c", HERE / "gunicorn.conf.py"]
        self.start("app", [*gunicorn, "wsgi:app"], **self.app_environment())
        wait_until("the app answers", lambda: answers(f"http://127.0.0.1:{self.app_port}/login"))
        self.warm_up()

    def warm_up(self) -> None:
        """Every worker has answered once: the first request of each loads what the others have."""
        for _ in range(60):
            answers(f"http://127.0.0.1:{self.app_port}/login")

    # --- nginx

    def start_nginx(self, site: str) -> None:
        for name in ("before", "buffering", "after", "back", "shadow"):
            self.write_site(name)
        (self.work / "enabled").symlink_to(self.work / "sites" / f"{site}.conf")
        main = self.work / "nginx.conf"
        user = "user root;" if os.getuid() == 0 else ""
        main.write_text(
            f"daemon off; pid {self.work}/nginx.pid; error_log {self.logs}/nginx-error.log; worker_processes 2; {user}\n"
            "worker_rlimit_nofile 20000;\nevents { worker_connections 9000; }\n"
            f"http {{ access_log off; proxy_temp_path {self.work}/proxy; client_body_temp_path {self.work}/bodies;\n"
            f"fastcgi_temp_path {self.work}/f; uwsgi_temp_path {self.work}/u; scgi_temp_path {self.work}/s;\n"
            f"include {self.work}/enabled; }}\n"
        )
        self.start("nginx", [nginx(), "-c", main, "-p", self.work])
        wait_until("nginx answers", lambda: answers(f"http://127.0.0.1:{self.nginx_port}/login"))

    def write_site(self, name: str) -> None:
        """The file as it is, but for what is this machine's: ports, and no certificate."""
        lines = (HERE / "nginx" / f"{name}.conf").read_text().splitlines()
        text = "\n".join(line for line in lines if "ssl_certificate" not in line)
        text = text.replace("listen 443 ssl;", f"listen 127.0.0.1:{self.nginx_port};")
        text = text.replace("127.0.0.1:8000", f"127.0.0.1:{self.app_port}")
        text = text.replace("127.0.0.1:8080", f"127.0.0.1:{self.filmgate_port}")
        (self.work / "sites" / f"{name}.conf").write_text(text + "\n")

    def switch_environment(self) -> dict[str, str]:
        return {
            "AVAILABLE": str(self.work / "sites"),
            "ENABLED": str(self.work / "enabled"),
            "READY_URL": f"http://127.0.0.1:{self.filmgate_port}/readyz",
            "NGINX": f"{nginx()} -c {self.work}/nginx.conf -p {self.work}",
        }

    def switch(self, site: str) -> None:
        """What an administrator does. Requests under way end where they began."""
        before = children(self.pid("nginx"))
        switch = [HERE / "camera-switch", site]
        subprocess.run(switch, check=True, stdout=subprocess.DEVNULL, env={**os.environ, **self.switch_environment()})
        self.wait_for_site(before)

    def wait_for_site(self, before: set[int]) -> None:
        wait_until("nginx has new workers", lambda: len(children(self.pid("nginx")) - before) >= 2)
        # The old ones let their listening sockets go a moment after the new ones have come.
        time.sleep(0.5)

    def site(self) -> str:
        return (self.work / "enabled").readlink().stem

    # --- Filmgate

    def filmgate_environment(self) -> dict[str, str]:
        return {
            "FILMGATE__DATA_DIR": str(self.work / "filmgate-data"),
            "FILMGATE__SERVER__LISTEN": f"127.0.0.1:{self.filmgate_port}",
            "FILMGATE__SERVER__PUBLIC_URL": f"http://127.0.0.1:{self.nginx_port}",
            "FILMGATE__IDENTITY__FLASK__SECRET_KEYS": self.secret_key,
            "FILMGATE__HOST__DATABASE_URL": self.database_url,
        }

    def start_filmgate(self, **settings: str) -> None:
        if self.filmgate_binary is None:
            raise RuntimeError("no Filmgate was given: --bin target/release/filmgate")
        words: list[str | Path] = [self.filmgate_binary, "serve", "--config", HERE / "filmgate.toml"]
        self.start("filmgate", words, **self.filmgate_environment(), **settings)
        wait_until("Filmgate is ready", lambda: answers(f"http://127.0.0.1:{self.filmgate_port}/readyz"))

    def filmgate(self, *words: str, **settings: str) -> subprocess.CompletedProcess[str]:
        """A command of Filmgate's, beside the server or without one."""
        command: list[str | Path] = [self.filmgate_binary or "filmgate", *words, "--config", HERE / "filmgate.toml"]
        environment = {**os.environ, **self.filmgate_environment(), **settings}
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def nginx() -> str:
    found = shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin:/sbin")
    if found is None:
        raise FileNotFoundError("nginx is not there: apt-get install nginx")
    return found


def children(pid: int) -> set[int]:
    return {int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()}
