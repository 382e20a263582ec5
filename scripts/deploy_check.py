"""What scripts/deploy-check looks at beyond what nginx, docker-compose, promtool and hadolint say themselves.

deploy_check.py nginx FILE FOLDER                    an upload that breaks off is sent to no second node
deploy_check.py image ROOT                           what the Dockerfile copies is there
deploy_check.py compose DEPLOY RENDERED              pinned images, no passwords in the clear, files that exist
deploy_check.py metrics DEMO ALERTS TESTS DASHBOARD DOCS   each name shown or alerted on is one that a server tells
"""

import glob
import json
import os
import re
import socket
import ssl
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request

import yaml


def fail(words):
    sys.exit(f"deploy-check: {words}")


# --- nginx ------------------------------------------------------------------------------------------------------------


class Node(threading.Thread):
    """A node that behaves as told; counts the requests that reached it, with all they brought."""

    def __init__(self, behaviour):
        super().__init__(daemon=True)
        self.behaviour, self.seen = behaviour, []
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.port = self.socket.getsockname()[1]

    def run(self):
        while True:
            try:
                connection, _ = self.socket.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=(connection,), daemon=True).start()

    def serve(self, connection):
        with connection:
            data = b""
            while b"\r\n\r\n" not in data:
                piece = connection.recv(65536)
                if not piece:
                    return
                data += piece
            head, body = data.split(b"\r\n\r\n", 1)
            self.seen.append(head.split(b" ", 1)[0].decode())
            length = re.search(rb"(?i)content-length: (\d+)", head)
            length = int(length[1]) if length else 0
            behaviour = self.behaviour
            while len(body) < (length // 2 if behaviour == "dies" else length):
                piece = connection.recv(65536)
                if not piece:
                    return
                body += piece
            if behaviour == "dies":
                # As a killed process: a reset, and not an answer.
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
                return
            answer = b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 7\r\n" if behaviour == "busy" else b"HTTP/1.1 200 OK\r\n"
            connection.sendall(answer + b"Content-Length: 3\r\nConnection: close\r\n\r\nok\n")


def nginx(file, folder):
    with open(file, encoding="utf-8") as text:
        example = text.read()
    # The last pair is busy for what it reads, and for what it uploads.
    for one, two, method, path, status, tries in [
        ("serves", "serves", "POST", "/assessment/camera/upload", 200, 1),
        ("dies", "dies", "POST", "/assessment/camera/upload", 503, 1),
        ("dies", "dies", "POST", "/assessment/camera/upload-single/x", 503, 1),
        ("gone", "serves", "POST", "/assessment/camera/upload", 200, 1),
        ("gone", "gone", "POST", "/assessment/camera/upload", 503, 0),
        ("gone", "gone", "GET", "/api/v1/my/sessions", 503, 0),
        ("busy", "busy", "POST", "/assessment/camera/upload", 503, 1),
        ("busy", "busy", "GET", "/api/v1/my/sessions", 503, 2),
        ("busy", "busy", "POST", "/api/v1/sign-in", 503, 1),
        ("dies", "dies", "GET", "/assessment/camera/file/x", 503, 2),
        ("serves", "serves", "GET", "/metrics", 404, 0),
        ("serves", "serves", "GET", "/readyz", 404, 0),
    ]:
        nodes = [Node(one), Node(two)]
        for node in nodes:
            if node.behaviour == "gone":
                node.socket.close()
            else:
                node.start()
        answer = through(example, folder, nodes, method, path)
        seen = sum(len(node.seen) for node in nodes)
        case = f"{method} {path} to nodes that are {one} and {two}"
        if (answer.status, seen) != (status, tries):
            fail(f"nginx: {case}: {answer.status} after {seen} tries, not {status} after {tries}")
        if status == 503 and not answer.headers.get("retry-after"):
            fail(f"nginx: {case}: a 503 without Retry-After")
        if status == 503 and "busy" not in (one, two):
            told = json.loads(answer.read())
            if told["code"] != "no_node" or told["request_id"] != answer.headers["x-request-id"]:
                fail(f"nginx: {case}: {told}")
            if (told["status"] == "SNAFU") != path.startswith("/assessment/"):
                fail(f"nginx: {case}: not in the words of its family of routes: {told}")
        for node in nodes:
            node.socket.close()
    print(f"{file}: an upload goes to one node at most, a GET to two; 503 with Retry-After where none answers")


def through(example, folder, nodes, method, path):
    """Sends one request through a real nginx with the example's settings."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    example = re.sub(r"listen 443 ssl", f"listen 127.0.0.1:{port} ssl", example)
    example = re.sub(r"server \{\n    listen 80;.*", "", example, flags=re.DOTALL)
    example = example.replace("/etc/ssl/photos.example.org", folder)
    for number, node in enumerate(nodes, 1):
        example = example.replace(f"server filmgate-{number}:8080", f"server 127.0.0.1:{node.port}")
    config = os.path.join(folder, "run.conf")
    temporary = " ".join(f"{kind}_temp_path {folder}/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
    with open(config, "w", encoding="utf-8") as text:
        # As root its workers would be nobody, for whom this folder is closed.
        text.write("user root root;\n" if os.getuid() == 0 else "")
        text.write(f"daemon off; pid {folder}/run.pid; error_log {folder}/run.log; events {{}}\n")
        text.write(f"http {{ access_log off; {temporary}\n{example}\n}}\n")
    server = subprocess.Popen(["nginx", "-p", folder, "-c", config])
    try:
        for _ in range(200):
            try:
                socket.create_connection(("127.0.0.1", port)).close()
                break
            except OSError:
                time.sleep(0.05)
        body = b"x" * 300_000 if method == "POST" else None
        request = urllib.request.Request(f"https://127.0.0.1:{port}{path}", data=body, method=method)
        context = ssl._create_unverified_context()
        try:
            return urllib.request.urlopen(request, context=context, timeout=30)
        except urllib.error.HTTPError as error:
            return error
    finally:
        server.terminate()
        server.wait()


# --- image ------------------------------------------------------------------------------------------------------------


def image(root):
    with open(os.path.join(root, "deploy/Dockerfile"), encoding="utf-8") as text:
        dockerfile = text.read()
    with open(os.path.join(root, ".dockerignore"), encoding="utf-8") as text:
        let_through = {line[1:].strip() for line in text if line.startswith("!")}
    copied = set()
    for line in re.findall(r"^COPY (?!--from)(.*)$", dockerfile, re.MULTILINE):
        copied.update(line.split()[:-1])
    for path in copied:
        if not os.path.exists(os.path.join(root, path)):
            fail(f"Dockerfile copies {path}, which is not there")
        if path not in let_through:
            fail(f"Dockerfile copies {path}, which .dockerignore keeps away")
    if let_through - copied:
        fail(f".dockerignore lets through what nobody copies: {let_through - copied}")
    with open(os.path.join(root, "Cargo.toml"), encoding="utf-8") as text:
        rust = re.search(r'rust-version = "([\d.]+)"', text.read())[1]
    if f"FROM rust:{rust}-" not in dockerfile:
        fail(f"Dockerfile does not build with Rust {rust}")
    if not re.search(r"^USER [1-9]\d*:[1-9]\d*$", dockerfile, re.MULTILINE):
        fail("Dockerfile names no user by number")


# --- compose ----------------------------------------------------------------------------------------------------------


def compose(deploy, rendered):
    with open(rendered, encoding="utf-8") as text:
        services = yaml.safe_load(text)["services"]
    with open(os.path.join(deploy, "compose.yaml"), encoding="utf-8") as text:
        source = text.read()
    for name, service in services.items():
        if not re.search(r":v?\d+\.\d+(\.\d+)?(-\w+)?$", service["image"]):
            fail(f"compose: {name}: no pinned image: {service['image']}")
        for volume in service.get("volumes", []):
            path = (volume if isinstance(volume, str) else volume.get("source", "")).split(":")[0]
            if path.startswith("/") and not os.path.exists(path):
                fail(f"compose: {name}: {path} is not there")
        if name.startswith("filmgate") and not (service.get("read_only") and service.get("cap_drop") == ["ALL"]):
            fail(f"compose: {name} may more than it needs")
        for port in service.get("ports", []):
            # Compose 1 renders a text, Compose 2 its parts.
            port = port if isinstance(port, str) else f"{port.get('host_ip', '')}:{port.get('published')}"
            if name != "nginx" and not port.startswith("127.0.0.1:"):
                fail(f"compose: {name} is open to the world: {port}")
    secrets = os.path.join(deploy, "secrets")
    if os.stat(secrets).st_mode & 0o077:
        fail("compose: the secrets are open to others")
    drawn = []
    for entry in os.scandir(secrets):
        if entry.is_file():
            with open(entry.path, encoding="utf-8") as text:
                drawn += re.findall(r"[0-9a-f]{24,}", text.read())
    if len(set(drawn)) < 5:
        fail("compose: fewer secrets than there are doors")
    in_the_clear = re.compile(r"(?im)(password|secret_key|token)\w*: *['\"]?\w+['\"]?$")
    if any(value in source for value in drawn) or in_the_clear.search(source):
        fail("compose: a password stands in compose.yaml")
    for service in services.values():
        for value in (service.get("environment") or {}).values():
            if service["image"].startswith(("filmgate", "postgres")) and value in drawn:
                fail("compose: a password stands in the environment of a container that can read a file")
    conf = open(os.path.join(deploy, "nginx-nodes.conf"), encoding="utf-8").read()
    for node in re.findall(r"server (filmgate-\d+):8080", conf):
        if node not in services:
            fail(f"compose: nginx looks for {node}, which is none of its services")
    prometheus = yaml.safe_load(open(os.path.join(deploy, "prometheus/prometheus.yml"), encoding="utf-8"))
    targets = prometheus["scrape_configs"][0]["static_configs"][0]["targets"]
    if set(targets) != {f"{name}:8080" for name in services if name.startswith("filmgate-")}:
        fail(f"compose: Prometheus asks {targets}")
    print(f"compose.yaml: {len(services)} services; docker-compose takes it; images pinned, no passwords in the clear")


# --- metrics ----------------------------------------------------------------------------------------------------------

NAME = re.compile(r"filmgate_[a-z0-9_]+")


def told_by_server(demo):
    """Every name in the /metrics of a demo that has answered something, and refused something."""
    for _ in range(300):
        with open(demo, encoding="utf-8") as text:
            told = text.read()
        if told.strip():
            break
        time.sleep(0.2)
    url = json.loads(told)["url"]
    try:
        urllib.request.urlopen(f"{url}/nothing")
    except urllib.error.HTTPError:
        pass
    with urllib.request.urlopen(f"{url}/metrics") as answer:
        text = answer.read().decode()
    names = set()
    for family, kind in re.findall(r"^# TYPE (\w+) (\w+)", text, re.MULTILINE):
        suffixes = {"counter": ["_total"], "histogram": ["_bucket", "_sum", "_count"]}.get(kind, [""])
        names.update(family + suffix for suffix in suffixes)
    return names


def documented(docs):
    with open(docs, encoding="utf-8") as text:
        rows = re.findall(r"^\| `(filmgate_\w+)` \| (\w+)", text.read(), re.MULTILINE)
    names = set()
    for name, kind in rows:
        suffixes = ["_bucket", "_sum", "_count"] if kind == "histogram" else [""]
        names.update(name + suffix for suffix in suffixes)
    return names


def metrics(demo, alerts, tests, dashboard, docs):
    with open(alerts, encoding="utf-8") as text:
        groups = yaml.safe_load(text)["groups"]
    rules = [rule for group in groups for rule in group["rules"]]
    with open(dashboard, encoding="utf-8") as text:
        panels = [panel for panel in json.load(text)["panels"] if panel["type"] != "row"]
    expressions = {f"alert {rule['alert']}": rule["expr"] for rule in rules}
    expressions.update({f"panel {panel['title']} {target['refId']}": target["expr"] for panel in panels for target in panel["targets"]})
    real, written = told_by_server(demo), documented(docs)
    unseen = set()
    for where, expression in expressions.items():
        for name in NAME.findall(expression):
            if name in real:
                continue
            if name not in written:
                fail(f"{where}: no server tells {name}")
            unseen.add(name)
    undocumented = {name for name in real if not any(name in (known, known + "_total") for known in written)}
    if undocumented:
        fail(f"docs/operations.md does not know {sorted(undocumented)}")
    codes, known_codes = set(), set()
    for source in glob.glob(os.path.join(os.path.dirname(docs), "../crates/*/src/**/*.rs"), recursive=True):
        with open(source, encoding="utf-8") as text:
            known_codes.update(re.findall(r'"([a-z_]+)"', text.read()))
    for expression in expressions.values():
        for words in re.findall(r'code=~?"([^"]+)"', expression):
            codes.update(words.split("|"))
    if codes - known_codes:
        fail(f"no server answers with these codes: {codes - known_codes}")
    with open(tests, encoding="utf-8") as text:
        cases = yaml.safe_load(text)["tests"]
    fire = {re.search(r'alertname="(\w+)"', sample["labels"])[1] for case in cases for expr in case["promql_expr_test"] for sample in expr.get("exp_samples", [])}
    untested = {rule["alert"] for rule in rules} - fire
    if untested:
        fail(f"no test sees these alerts fire: {sorted(untested)}")
    # Grafana's own words, which promtool does not know.
    plain = {where: re.sub(r"\$__rate_interval", "5m", expression).replace("$instance", ".*") for where, expression in expressions.items()}
    parse(plain)
    print(f"{len(rules)} alerts and {len(panels)} panels name {len(set(NAME.findall(' '.join(expressions.values()))))} metrics; "
          f"by docs/operations.md alone: {', '.join(sorted(unseen)) or 'none'}")


def parse(expressions):
    """Has promtool read each expression, as the rule of a file."""
    rules = [{"record": f"check:{number}", "expr": expression} for number, expression in enumerate(expressions.values())]
    text = yaml.safe_dump({"groups": [{"name": "check", "rules": rules}]})
    done = subprocess.run(["promtool", "check", "rules", "/dev/stdin"], input=text, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        fail(f"an expression of the dashboard is none: {done.stdout}{done.stderr}")


if __name__ == "__main__":
    COMMANDS = {"nginx": nginx, "image": image, "compose": compose, "metrics": metrics}
    COMMANDS[sys.argv[1]](*sys.argv[2:])
