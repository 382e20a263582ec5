"""The same block for Apache and Caddy, with the real ones. Traefik is in no package of Debian's and is not checked."""

import os
import shutil
import signal
from pathlib import Path

from .before import Participant
from .browser import Browser
from .held import Held, Participants
from .photos import photo
from .report import Checks
from .stack import HERE, Stack, answers, free_ports, wait_until

APACHE_MODULES = ["mpm_event", "authz_core", "proxy", "proxy_http", "headers", "ssl", "reqtimeout", "socache_shmcb"]
HELD = 200


def proxies(checks: Checks, stack: Stack, alice: Participant) -> None:
    for name, start in (("apache2", start_apache), ("caddy", start_caddy)):
        checks.part(f"The same with {name}")
        program = shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin:/sbin")
        if program is None:
            print(f"  NOT CHECKED: {name} is not there", flush=True)
            continue
        [port] = free_ports(1)
        start(stack, program, port)
        try:
            look(checks, stack, port, alice)
        finally:
            # Apache takes SIGTERM for an end at once, and so does Caddy.
            stack.stop(name, signal.SIGTERM)


def look(checks: Checks, stack: Stack, port: int, alice: Participant) -> None:
    browser = Browser(port, dict(alice.browser.cookies))
    checks.equal("pages are the app's", browser.get(f"/assessment/{alice.session}/phq").status, 200)
    data = photo(40)
    answer = browser.upload_single(alice.session, data)
    name = answer.json()["data"]["filename"] if answer.status == 200 else str(answer.status)
    checks.check("a photo is Filmgate's", answer.status == 200 and not name.startswith(alice.session), answer.text())
    alice.filmgate_photos[name] = data
    checks.equal("and comes back", browser.get(f"/assessment/camera/file/{name}").body, data)
    cross = browser.request("POST", f"/assessment/camera/cleanup/{alice.session}", b"", {"Origin": "https://evil.example"})
    checks.equal("a page of another site is refused", cross.status, 403)

    participants = Participants.sign_in(stack, 4)
    # Apache reads the first 16 KB before it begins to hand on.
    held = Held(port, participants, HELD, 8192, 200_000)
    checks.soon(f"{HELD} slow uploads go through as they come", lambda: under_way(stack), HELD)
    checks.equal("and the app answers meanwhile", browser.get(f"/assessment/{alice.session}/phq").status, 200)
    checks.equal("they end well", held.end("finish")["ended"], {"200": HELD})


def under_way(stack: Stack) -> int:
    for line in Browser(stack.filmgate_port).get("/metrics").text().splitlines():
        if line.startswith("filmgate_uploads_in_flight "):
            return int(float(line.split()[1]))
    return -1


def rendered(stack: Stack, file: str, port: int) -> str:
    text = (HERE / "proxies" / file).read_text()
    text = text.replace("127.0.0.1:8000", f"127.0.0.1:{stack.app_port}").replace(
        "127.0.0.1:8080", f"127.0.0.1:{stack.filmgate_port}"
    )
    # No certificate here.
    lines = [line for line in text.splitlines() if "SSLEngine" not in line and "SSLCertificate" not in line]
    return "\n".join(lines).replace("*:443", f"127.0.0.1:{port}").replace("assessment.example.org {", f"http://127.0.0.1:{port} {{")


def start_apache(stack: Stack, program: str, port: int) -> None:
    modules = Path("/usr/lib/apache2/modules")
    loads = [f"LoadModule {name}_module {modules}/mod_{name}.so" for name in APACHE_MODULES]
    head = [
        *loads,
        f"Listen 127.0.0.1:{port}",
        f"ServerRoot {stack.work}",
        f"DefaultRuntimeDir {stack.work}",
        f"PidFile {stack.work}/apache.pid",
        f"ErrorLog {stack.logs}/apache-error.log",
        "ServerName 127.0.0.1",
        *(["User www-data", "Group www-data"] if os.getuid() == 0 else []),
    ]
    configuration = stack.work / "apache.conf"
    configuration.write_text("\n".join(head) + "\n" + rendered(stack, "apache.conf", port) + "\n")
    stack.start("apache2", [program, "-f", configuration, "-D", "FOREGROUND"])
    wait_until("Apache answers", lambda: answers(f"http://127.0.0.1:{port}/login"))


def start_caddy(stack: Stack, program: str, port: int) -> None:
    configuration = stack.work / "Caddyfile"
    configuration.write_text("{\n\tadmin off\n\tauto_https off\n}\n" + rendered(stack, "Caddyfile", port) + "\n")
    home = stack.work / "caddy"
    stack.start(
        "caddy", [program, "run", "--adapter", "caddyfile", "--config", configuration], HOME=str(home), XDG_DATA_HOME=str(home)
    )
    wait_until("Caddy answers", lambda: answers(f"http://127.0.0.1:{port}/login"))
