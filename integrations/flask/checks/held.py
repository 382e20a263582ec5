"""Drives holder.py and pager.py."""

import json
import subprocess
import sys
from dataclasses import dataclass

from .browser import Browser
from .stack import HERE, PASSWORD, Stack


@dataclass
class Participants:
    """Signed in through the app's own page, each with a session."""

    browsers: list[Browser]
    sessions: list[str]

    @classmethod
    def sign_in(cls, stack: Stack, count: int) -> "Participants":
        names = ["participant", *(f"participant{number}" for number in range(2, count + 1))]
        browsers = [Browser(stack.nginx_port) for _ in names]
        for browser, name in zip(browsers, names, strict=True):
            browser.sign_in(name, PASSWORD)
        return cls(browsers, [browser.start_session() for browser in browsers])

    def targets(self) -> str:
        return json.dumps(
            [
                {"session": session, "headers": browser.headers()}
                for browser, session in zip(self.browsers, self.sessions, strict=True)
            ]
        )


class Held:
    """Uploads held open by a process of their own."""

    def __init__(self, port: int, participants: Participants, count: int, per_second: int, photo_bytes: int) -> None:
        numbers = [str(number) for number in (port, count, per_second, photo_bytes)]
        self.process = subprocess.Popen(
            [sys.executable, "-m", "checks.holder", *numbers],
            cwd=HERE,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.tell(participants.targets())
        if self.process.stdout.readline().strip() != "holding":
            self.process.kill()
            raise RuntimeError("the uploads could not be opened")

    def tell(self, line: str) -> None:
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()

    def end(self, order: str) -> dict:
        self.tell(order)
        ended = json.loads(self.process.stdout.readline())
        self.process.wait(60)
        return ended


def page_times(port: int, participants: Participants, seconds: float, timeout_seconds: float) -> list[float | None]:
    path = f"/assessment/{participants.sessions[0]}/phq"
    result = subprocess.run(
        [sys.executable, "-m", "checks.pager", str(port), path, str(seconds), str(timeout_seconds)],
        cwd=HERE,
        input=json.dumps(participants.browsers[0].headers()),
        capture_output=True,
        text=True,
        check=True,
    )
    return json.loads(result.stdout)
