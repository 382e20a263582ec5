"""Filmgate beside its peers: starts each in turn, round after round, measures, and writes docs/benchmarks.md.

One load generator for all: the engine of `filmgate bench`. In each round each contender starts anew on an empty folder and
goes through three loads; the order turns by one from round to round, so that none always comes after the same.

Nothing is deleted while it runs: photos are truncated and moved aside. Where many inodes were deleted, making files costs
more for minutes, and the next contender would pay for it.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from datetime import datetime, timezone

import measure
import report
from contenders import ALL

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
# A quick route that is stuck behind slow uploads would wait for ever: this long, and it is a failure.
GIVE_UP_SECONDS = 15


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=6, help="how long each load is measured")
    parser.add_argument("--clients", type=int, default=64, help="of the closed loop")
    parser.add_argument("--rate", type=int, default=60, help="uploads a second of the open loop")
    parser.add_argument("--slow", type=int, default=1000, help="uploads held at 1 KB/s; 0: that part is left out")
    parser.add_argument("--photo-bytes", type=int, default=100_000)
    parser.add_argument("--only", default="", help=f"some of {','.join(one.name for one in ALL)}")
    parser.add_argument("--work", default="", help="folder for data [default: bench-peers-work in the temporary folder]")
    parser.add_argument("--loop", choices=["ext4", "xfs"], help="on a filesystem of its own, in a file in --work (as root)")
    parser.add_argument("--loop-gb", type=int, default=6)
    parser.add_argument("--env", required=True, help=argparse.SUPPRESS)
    parser.add_argument("--filmgate", default=os.path.join(ROOT, "target/release/filmgate"))
    parser.add_argument("--loadgen", default=os.path.join(ROOT, "target/release/loadgen"))
    parser.add_argument("--no-report", action="store_true", help="print the table only")
    parser.add_argument("--report-only", action="store_true", help="write the documents from the last run's figures")
    parser.add_argument("--label", default="", help="name of the figures, where a document holds several")
    return parser.parse_args()


def generate(contender, *load):
    """Runs the load generator; its report."""
    command = [*contender.generator(), "--photo-bytes", str(contender.options.photo_bytes), "--threads", "1",
               "--give-up-after", f"{GIVE_UP_SECONDS}s", *load]  # fmt: skip
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    if not ran.stdout.strip():
        sys.exit(f"{contender.name}: {' '.join(load)}: {ran.stderr.strip()}\nits log is in {contender.folder}")
    return json.loads(ran.stdout)


def with_cost(contender, *load):
    """A load, and the processor it cost the server for each photo stored."""
    before = measure.processor(contender.roots())
    figures = generate(contender, "--quick-interval", "0s", "--alone", "0s", "--warm-up", "1s", *load)
    contender.settle()
    user, system = (after - old for after, old in zip(measure.processor(contender.roots()), before))
    stored = figures["captures_stored_in_all"] + figures["tasks_queued_in_all"]
    uploads, client = figures["uploads"], figures["client"]
    return {
        "uploads_per_second": uploads["taken_per_second"],
        "p50_ms": uploads["latency_seconds"]["p50"] * 1000,
        "p99_ms": uploads["latency_seconds"]["p99"] * 1000,
        "refused": uploads["refused"],
        "failed": uploads["failed"],
        "user_ms": user * 1000 / max(stored, 1),
        "system_ms": system * 1000 / max(stored, 1),
        "stored": stored,
        "client_is_bottleneck": client["is_bottleneck"],
        "client_late_p99_ms": client["lag_seconds"]["p99"] * 1000,
    }


def turn(kind, options, folder):
    """One contender's part of a round."""
    contender = kind(options, folder)
    figures = {"load_average": measure.load_average()}
    try:
        contender.start()
        seconds = f"{options.seconds}s"
        if options.is_durable_disk:
            figures["fsync_ms"] = measure.fsync_ms(folder)
        figures["idle_bytes"] = measure.memory(contender.roots())
        with measure.Peak(contender.roots()) as peak:
            figures["closed"] = with_cost(
                contender, "--users", str(options.clients), "--interval", "0s", "--duration", seconds
            )
        figures["peak_bytes"] = peak.most
        # Evenly: so many users, one photo a second each.
        figures["open"] = with_cost(contender, "--users", str(options.rate), "--interval", "1s", "--duration", seconds)
        if options.slow:
            figures["held"] = held(contender, options, seconds)
    finally:
        contender.stop()
    return figures


def bare_loop(options, folder):
    """What the disk gives to as many threads as there are clients, which do nothing but store: once a round."""
    program = os.path.join(os.path.dirname(options.loadgen), "bare-loop")
    command = [program, folder, str(options.clients), str(options.seconds), str(options.photo_bytes)]
    ran = subprocess.run(command, capture_output=True, text=True, check=True)
    per_second, cpu_ms = map(float, ran.stdout.split())
    return {"per_second": per_second, "cpu_ms": cpu_ms}


def held(contender, options, seconds):
    """Slow uploads held, and the quick route beside them."""
    before = measure.memory(contender.roots())
    extra = ["--slow-let-go"] if contender.speaks_contract else []
    rate = "1KB/s" if contender.speaks_contract else "1000"
    with measure.Peak(contender.roots()) as peak:
        found = generate(
            contender, "--users", "0", "--slow", str(options.slow), "--slow-rate", rate, "--quick-interval", "10ms",
            "--alone", seconds, "--warm-up", "1s", "--duration", seconds, *extra,
        )  # fmt: skip
    slow, quick = found["slow"], found["quick"]
    return {
        "asked_for": slow["asked_for"],
        "held": slow["held_at_end"],
        "bytes_per_held": (peak.most - before) / max(slow["held_at_begin"], 1),
        "quick_alone_p99_ms": quick["alone"]["latency_seconds"]["p99"] * 1000,
        "quick_beside_p99_ms": quick["beside"]["latency_seconds"]["p99"] * 1000,
        "quick_asked": quick["beside"]["asked"],
        "quick_failed": quick["beside"]["failed"] + quick["beside"]["refused"],
        "slow_failed": sum(one["count"] for one in slow["refusals"] + slow["failures"]),
    }


def set_aside(folder, aside):
    """Empties the photos and moves the folder away. Nothing is deleted: see above."""
    for place, _, names in os.walk(folder):
        for name in names:
            path = os.path.join(place, name)
            if os.path.getsize(path) > 0 and not name.endswith((".txt", ".json")):
                os.truncate(path, 0)
    os.rename(folder, aside)
    os.sync()


def work_folder(options):
    base = options.work or os.path.join(os.environ.get("TMPDIR", "/tmp"), "bench-peers-work")
    stamp = datetime.now(timezone.utc).strftime("%Y%m%d-%H%M%S")
    work = os.path.abspath(os.path.join(base, stamp))
    os.makedirs(work)
    if not options.loop:
        return work, lambda: None
    image, place = os.path.join(work, "image"), os.path.join(work, "loop")
    os.makedirs(place)
    with open(image, "wb") as file:
        file.truncate(options.loop_gb * 1024**3)
    run = lambda *words: subprocess.run(words, check=True, stdout=subprocess.DEVNULL)
    run(f"mkfs.{options.loop}", "-q", image)
    run("mount", "-o", "loop", image, place)

    def undo():
        run("umount", place)
        print(f"the filesystem of this run is {image}; delete it when you have seen enough")

    return place, undo


def main():
    options = arguments()
    if options.report_only:
        return report.write(ROOT)
    wanted = [name for name in options.only.split(",") if name]
    unknown = set(wanted) - {one.name for one in ALL}
    if unknown:
        sys.exit(f"no contender is called {', '.join(sorted(unknown))}; there are {', '.join(one.name for one in ALL)}")
    kinds = [one for one in ALL if not wanted or one.name in wanted]
    options.is_durable_disk = True
    work, undo = work_folder(options)
    results = {
        "format": "filmgate-peers/1",
        "label": options.label or options.loop or "",
        "began_at": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "machine": measure.machine(),
        "filesystem": measure.filesystem(work) + (", in a file by a loop device" if options.loop else ""),
        "fsync_ms": measure.fsync_ms(work),
        "rounds": options.rounds, "seconds": options.seconds, "clients": options.clients, "rate": options.rate,
        "slow": options.slow, "photo_bytes": options.photo_bytes,
        "versions": report.versions(options),
        "bare_loop": [],
        "contenders": [
            {"name": one.name, "words": one.words, "kind": one.kind, "is_durable": one.is_durable, "rounds": []}
            for one in kinds
        ],
    }  # fmt: skip
    print(f"{results['machine']}; {results['filesystem']}; fsync {results['fsync_ms']:.2f} ms; work in {work}", flush=True)
    try:
        for number in range(options.rounds):
            bare = os.path.join(work, f"{number}-bare")
            results["bare_loop"].append(bare_loop(options, bare))
            set_aside(bare, bare + ".aside")
            # Turned by one each round, so that who comes before whom changes.
            for at in range(len(kinds)):
                kind = kinds[(at + number) % len(kinds)]
                folder = os.path.join(work, f"{number}-{kind.name}")
                os.makedirs(folder)
                began = time.monotonic()
                figures = turn(kind, options, folder)
                set_aside(folder, folder + ".aside")
                entry = next(one for one in results["contenders"] if one["name"] == kind.name)
                entry["rounds"].append(figures)
                closed = figures["closed"]
                print(
                    f"round {number + 1} of {options.rounds}  {kind.name:16} {time.monotonic() - began:5.0f} s  "
                    f"{closed['user_ms'] + closed['system_ms']:6.2f} ms CPU an upload, "
                    f"{closed['uploads_per_second']:7.0f}/s, load average {figures['load_average']:.1f}",
                    flush=True,
                )
    finally:
        undo()
    print(report.table(results))
    if options.no_report:
        return None
    report.keep(ROOT, results)
    return report.write(ROOT)


if __name__ == "__main__":
    main()
