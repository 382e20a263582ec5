"""What processes use, by /proc: processor and memory of whole trees, and what a filesystem is."""

import os
import statistics
import subprocess
import threading
import time

TICKS = os.sysconf("SC_CLK_TCK")


def tree(roots):
    """The processes and all their descendants."""
    parents = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                with open(f"/proc/{name}/stat") as file:
                    parents[int(name)] = int(file.read().rpartition(")")[2].split()[1])
            except OSError:
                continue
    found, grown = set(roots), True
    while grown:
        more = {pid for pid, parent in parents.items() if parent in found} - found
        found |= more
        grown = bool(more)
    return found


def processor(roots):
    """Seconds of user and system, of who lives and of whom they have outlived."""
    user = system = 0
    for pid in tree(roots):
        try:
            with open(f"/proc/{pid}/stat") as file:
                fields = file.read().rpartition(")")[2].split()
        except OSError:
            continue
        user += int(fields[11]) + int(fields[13])
        system += int(fields[12]) + int(fields[14])
    return user / TICKS, system / TICKS


def memory(roots):
    """Bytes resident: each page once, however many processes share it (PSS)."""
    total = 0
    for pid in tree(roots):
        try:
            with open(f"/proc/{pid}/smaps_rollup") as file:
                total += sum(int(line.split()[1]) for line in file if line.startswith("Pss:"))
        except (OSError, IndexError):
            continue
    return total * 1024


class Peak:
    """The most memory while it is open."""

    def __init__(self, roots):
        self.roots, self.most, self.is_over = roots, memory(roots), threading.Event()
        self.thread = threading.Thread(target=self.watch, daemon=True)

    def watch(self):
        while not self.is_over.wait(0.5):
            self.most = max(self.most, memory(self.roots))

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.most = max(self.most, memory(self.roots))
        self.is_over.set()
        self.thread.join()


def fsync_ms(folder, times=50):
    """A small write and its fsync, in milliseconds: what every durable figure is made of."""
    path, taken = os.path.join(folder, "fsync-probe"), []
    with open(path, "wb") as file:
        for _ in range(times):
            file.write(b"x" * 4096)
            began = time.perf_counter()
            os.fsync(file.fileno())
            taken.append((time.perf_counter() - began) * 1000)
    return statistics.median(taken)


def filesystem(folder):
    """In words: its type, whether it has a journal, how it is mounted."""
    what = subprocess.run(
        ["findmnt", "-nro", "SOURCE,FSTYPE,OPTIONS", "--target", folder], capture_output=True, text=True, check=False
    ).stdout.split()
    if len(what) < 3:
        return "unknown"
    source, kind, options = what[:3]
    if kind.startswith("ext"):
        dump = subprocess.run(["dumpe2fs", "-h", source], capture_output=True, text=True, check=False).stdout
        if not dump:
            kind += ", journal unknown"
        else:
            kind += " with a journal" if "has_journal" in dump else " without a journal"
    return f"{kind} ({options})"


def machine():
    with open("/proc/cpuinfo") as file:
        models = {line.split(":", 1)[1].strip() for line in file if line.startswith("model name")}
    with open("/proc/meminfo") as file:
        total = int(file.readline().split()[1]) // 1024 // 1024
    return f"{os.cpu_count()} cores ({', '.join(sorted(models)) or 'unknown'}), {total} GB, Linux {os.uname().release}"


def load_average():
    return os.getloadavg()[0]
