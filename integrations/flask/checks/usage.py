"""What a process and its children have used so far: processor time, and bytes they caused to be written to disk."""

import os
from dataclasses import dataclass
from pathlib import Path

TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")


@dataclass
class Usage:
    cpu_ms: float = 0
    written_bytes: int = 0

    def __add__(self, other: "Usage") -> "Usage":
        return Usage(self.cpu_ms + other.cpu_ms, self.written_bytes + other.written_bytes)

    def __sub__(self, other: "Usage") -> "Usage":
        return Usage(self.cpu_ms - other.cpu_ms, self.written_bytes - other.written_bytes)


def usage_of(pid: int) -> Usage:
    """Of the whole tree. Children that have ended meanwhile are counted by their parent, by processor time alone."""
    process = Path(f"/proc/{pid}")
    try:
        # After the name, which may hold spaces: utime, stime, cutime, cstime are fields 14 to 17.
        fields = (process / "stat").read_text().rpartition(")")[2].split()
        ticks = sum(int(field) for field in fields[11:15])
        # What was dirtied. What a file that was soon deleted never cost the disk is in it, too.
        io = dict(line.split(": ") for line in (process / "io").read_text().splitlines())
        used = Usage(ticks * 1000 / TICKS_PER_SECOND, int(io["write_bytes"]))
        for child in (process / f"task/{pid}/children").read_text().split():
            used += usage_of(int(child))
        return used
    except FileNotFoundError:
        return Usage()
