"""What a photo costs the app, nginx and Filmgate: processor time, and bytes written."""

import time
from concurrent.futures import ThreadPoolExecutor

from .held import Participants
from .stack import Stack
from .usage import Usage, usage_of

PROGRAMS = ["app", "nginx", "filmgate"]
AT_ONCE = 4
HEADINGS = ["photo", *(f"{name}, CPU ms" for name in PROGRAMS), "all, CPU ms", *(f"{name}, KB written" for name in PROGRAMS)]


def measure(stack: Stack, participants: Participants, photos: list[bytes], count: int) -> list[str]:
    """Cells of one line: per photo. What is done after the answer is waited for and counted."""

    def upload(number: int) -> int:
        who = number % len(participants.browsers)
        browser, session = participants.browsers[who], participants.sessions[who]
        return browser.upload_single(session, photos[number % len(photos)]).status

    began = {name: now(stack, name) for name in PROGRAMS}
    with ThreadPoolExecutor(AT_ONCE) as pool:
        statuses = list(pool.map(upload, range(count)))
    if set(statuses) != {200}:
        raise RuntimeError(f"uploads were refused: {sorted(set(statuses))}")
    wait_until_still(stack)
    used = {name: now(stack, name) - began[name] for name in PROGRAMS}
    cpu = [used[name].cpu_ms / count for name in PROGRAMS]
    written = [used[name].written_bytes / 1024 / count for name in PROGRAMS]
    size = sum(map(len, photos)) / len(photos) / 1024
    return [f"{size:.0f} KB", *(f"{ms:.1f}" for ms in cpu), f"{sum(cpu):.1f}", *(f"{kb:.0f}" for kb in written)]


def now(stack: Stack, name: str) -> Usage:
    return usage_of(stack.pid(name)) if name in stack.processes else Usage()


def wait_until_still(stack: Stack, seconds: float = 900) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        before = sum((now(stack, name) for name in PROGRAMS), Usage())
        time.sleep(2)
        if (sum((now(stack, name) for name in PROGRAMS), Usage()) - before).cpu_ms < 40:
            return
    raise TimeoutError("work goes on and on after the uploads")
