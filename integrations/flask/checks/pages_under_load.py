"""How long the app's questionnaire page takes, without and with slow uploads held, in turns."""

import statistics
from dataclasses import dataclass, field

from .held import Held, Participants, page_times
from .stack import Stack


@dataclass
class Rounds:
    seconds: float
    count: int
    timeout_seconds: float
    bytes_per_second: int


@dataclass
class Pages:
    """One line of the table."""

    held: int
    unanswered: int = 0
    asked: int = 0
    idle_p95_ms: list[float] = field(default_factory=list)
    held_p95_ms: list[float | None] = field(default_factory=list)
    ended: dict[str, int] = field(default_factory=dict)

    def ratios(self) -> list[float]:
        pairs = zip(self.held_p95_ms, self.idle_p95_ms, strict=True)
        return [held / idle for held, idle in pairs if held is not None]

    def cells(self) -> list[str]:
        ratios = self.ratios()
        if len(ratios) < len(self.held_p95_ms):
            held, ratio = "does not come", "-"
        else:
            held = spread([p95 for p95 in self.held_p95_ms if p95 is not None])
            ratio = spread(ratios, 2)
        unanswered = f"{self.unanswered} of {self.asked}"
        ended = ", ".join(f"{status}: {count}" for status, count in sorted(self.ended.items()))
        return [str(self.held), unanswered, spread(self.idle_p95_ms), held, ratio, ended]


HEADINGS = ["held", "page unanswered", "p95 idle, ms", "p95 held, ms", "ratio", "how the held ones ended"]


def spread(values: list[float], digits: int = 1) -> str:
    """Median, least and most."""
    if not values:
        return "-"
    median = statistics.median(values)
    return f"{median:.{digits}f} ({min(values):.{digits}f}-{max(values):.{digits}f})"


def p95(times: list[float | None]) -> float | None:
    """None if it is one of those that never came."""
    ordered = sorted(times, key=lambda time: float("inf") if time is None else time)
    return ordered[min(len(ordered) - 1, len(ordered) * 95 // 100)]


def measure(stack: Stack, participants: Participants, held: int, rounds: Rounds) -> Pages:
    pages = Pages(held)
    # Lasts longer than a round, so that none ends by itself.
    photo_bytes = int(rounds.bytes_per_second * (rounds.seconds + rounds.timeout_seconds + 60) + 200_000)
    for number in range(rounds.count):
        idle = p95(page_times(stack.nginx_port, participants, rounds.seconds, rounds.timeout_seconds))
        if idle is None:
            raise RuntimeError("the page does not answer although nothing is held")
        pages.idle_p95_ms.append(idle)
        uploads = Held(stack.nginx_port, participants, held, rounds.bytes_per_second, photo_bytes)
        times = page_times(stack.nginx_port, participants, rounds.seconds, rounds.timeout_seconds)
        # The last ones are let finish: held is only what ends well.
        ended = uploads.end("finish" if number == rounds.count - 1 else "abort")
        pages.held_p95_ms.append(p95(times))
        pages.unanswered += times.count(None)
        pages.asked += len(times)
        for status, count in ended["ended"].items():
            pages.ended[status] = pages.ended.get(status, 0) + count
        if ended["answered_while_held"]:
            pages.ended["refused while held"] = ended["answered_while_held"]
    return pages
