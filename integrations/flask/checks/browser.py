"""A browser in so far as these checks need one: it keeps cookies, fills the app's own forms, and follows no redirect."""

import http.client
import json
import re
import urllib.parse
from dataclasses import dataclass, field

from .photos import form, single_form


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> dict:
        return json.loads(self.body)

    def text(self) -> str:
        return self.body.decode()


@dataclass
class Browser:
    port: int
    cookies: dict[str, str] = field(default_factory=dict)
    timeout_seconds: float = 30

    def request(self, method: str, path: str, body: bytes | None = None, headers: dict[str, str] | None = None) -> Answer:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=self.timeout_seconds)
        try:
            connection.request(method, path, body, {**self.headers(), **(headers or {})})
            response = connection.getresponse()
            answer = Answer(response.status, {name.lower(): value for name, value in response.getheaders()}, response.read())
            for name, value in response.getheaders():
                if name.lower() == "set-cookie":
                    self.keep(value)
            return answer
        finally:
            connection.close()

    def keep(self, cookie: str) -> None:
        name, value = cookie.split(";")[0].split("=", 1)
        if value:
            self.cookies[name] = value
        else:
            self.cookies.pop(name, None)

    def headers(self) -> dict[str, str]:
        cookies = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        return {"User-Agent": "filmgate-checks/1", **({"Cookie": cookies} if cookies else {})}

    def get(self, path: str) -> Answer:
        return self.request("GET", path)

    def post(self, path: str, **fields: str) -> Answer:
        """As a page's form is sent."""
        body = urllib.parse.urlencode(fields).encode()
        return self.request("POST", path, body, {"Content-Type": "application/x-www-form-urlencoded"})

    def post_json(self, path: str, value: object) -> Answer:
        return self.request("POST", path, json.dumps(value).encode(), {"Content-Type": "application/json"})

    def sign_in(self, username: str, password: str, remember: bool = False) -> None:
        fields = {"username": username, "password": password, **({"remember": "on"} if remember else {})}
        answer = self.post("/login", **fields)
        if answer.status != 302:
            raise RuntimeError(f"{username} could not sign in: {answer.status}")

    def start_session(self) -> str:
        """Starts an assessment and consents. The session's id."""
        address = self.post("/assessment/start").headers["location"]
        found = re.fullmatch(r"/assessment/([0-9a-f-]{36})/consent", address)
        if not found:
            raise RuntimeError(f"no session was started, but {address}")
        if self.post(address).status != 302:
            raise RuntimeError("the consent was not taken")
        return found[1]

    def upload_single(self, session: str, photo: bytes, trigger: str = "INTERVAL") -> Answer:
        content_type, body = single_form(photo, trigger)
        return self.request("POST", f"/assessment/camera/upload-single/{session}", body, {"Content-Type": content_type})

    def upload_batch(self, session: str, photos: list[bytes], trigger: str = "INTERVAL") -> Answer:
        parts: list[tuple[str, str | None, bytes]] = [("session_id", None, session.encode())]
        for number, photo in enumerate(photos):
            parts.append((f"metadata_{number}", None, json.dumps({"trigger": trigger}).encode()))
            parts.append((f"capture_{number}", "capture.jpg", photo))
        content_type, body = form(parts)
        return self.request("POST", "/assessment/camera/upload", body, {"Content-Type": content_type})

    def listed(self, session: str) -> dict[str, str]:
        """What the app's own page of the session's photos lists: file names, and the assessment each belongs to."""
        answer = self.get(f"/assessment/{session}/captures")
        if answer.status != 200:
            raise RuntimeError(f"the app's page of photos answered {answer.status}")
        return dict(re.findall(r'data-filename="([^"]+)" data-assessment="([^"]*)"', answer.text()))
