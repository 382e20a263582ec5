"""What was looked at, a line each."""

import difflib
import hashlib
import time
from collections.abc import Callable
from pathlib import Path

from .stack import HERE


class Checks:
    def __init__(self) -> None:
        self.failed: list[str] = []
        self.passed = 0

    def part(self, title: str) -> None:
        print(f"\n{title}", flush=True)

    def check(self, what: str, holds: bool, found: object = "") -> None:
        if holds:
            self.passed += 1
            print(f"  ok      {what}", flush=True)
        else:
            self.failed.append(what)
            print(f"  FAILED  {what}: {found}", flush=True)

    def equal(self, what: str, found: object, wanted: object) -> None:
        self.check(what, found == wanted, f"{short(found)} instead of {short(wanted)}")

    def soon(self, what: str, found: Callable[[], object], wanted: object, seconds: float = 15) -> None:
        """For what is delivered afterwards: rows in the app's table."""
        deadline = time.monotonic() + seconds
        while (seen := found()) != wanted and time.monotonic() < deadline:
            time.sleep(0.2)
        self.equal(what, seen, wanted)


def short(value: object) -> str:
    """A photo's bytes are not for reading."""
    text = repr(value)
    return text if len(text) < 500 else f"{text[:300]}… ({len(text)} letters)"


def python_checksums() -> dict[str, str]:
    """Of every line of Python that the app runs."""
    files = [*sorted((HERE / "assessment").rglob("*.py")), HERE / "wsgi.py", HERE / "gunicorn.conf.py"]
    return {str(file.relative_to(HERE)): hashlib.sha256(file.read_bytes()).hexdigest() for file in files}


def added_by(site: str) -> tuple[list[str], list[str]]:
    """Lines that nginx/SITE.conf has more than before.conf, and lines it has less. Remarks do not count."""
    before, after = (
        [line for line in Path(HERE / "nginx" / f"{name}.conf").read_text().splitlines() if not line.startswith("#")]
        for name in ("before", site)
    )
    diff = list(difflib.ndiff(before, after))
    return [line[2:] for line in diff if line.startswith("+ ")], [line[2:] for line in diff if line.startswith("- ")]
