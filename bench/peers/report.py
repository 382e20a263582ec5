"""The figures as a table and plots: `docs/benchmarks.md` between its markers, `docs/benchmarks/*.svg`, and the figures
themselves as `docs/benchmarks/peers*.json`, from which all of it can be made anew."""

import glob
import html
import json
import os
import re
import statistics
import subprocess

BEGIN, END = "<!-- peers: made by bench/peers/run, from here -->", "<!-- peers: to here -->"


def versions(options):
    """What was measured, by its own word."""

    def said(*words):
        try:
            ran = subprocess.run(words, capture_output=True, text=True, check=False)
        except OSError:
            return ""
        found = re.search(r"\d+\.\d+(\.\d+)?", ran.stdout + ran.stderr)
        return found.group(0) if found else ""

    listed = subprocess.run(
        [os.path.join(options.env, "py/bin/pip"), "freeze"], capture_output=True, text=True, check=False
    ).stdout
    python = dict(line.split("==") for line in listed.splitlines() if "==" in line)
    python = {name.lower(): version for name, version in python.items()}
    found = {
        "filmgate": said(options.filmgate, "--version"),
        "nginx": said("nginx", "-v") or said("/usr/sbin/nginx", "-v"),
        "node": said("node", "--version"),
        "redis": said("redis-server", "--version"),
        "python": said(os.path.join(options.env, "py/bin/python"), "--version"),
    }
    for name in ("flask", "gunicorn", "celery", "fastapi", "uvicorn"):
        found[name] = python.get(name, "")
    for name in ("fastify", "@fastify/multipart", "better-sqlite3", "@tus/server"):
        try:
            with open(os.path.join(options.env, "js/node_modules", name, "package.json")) as file:
                found[name] = json.load(file)["version"]
        except OSError:
            found[name] = ""
    return {name: version for name, version in found.items() if version}


def pick(contender, *path):
    """A figure of every round that has it."""
    values = []
    for round_ in contender["rounds"]:
        value = round_
        for name in path:
            value = value.get(name) if isinstance(value, dict) else None
        if value is not None:
            values.append(value)
    return values


def cpu(contender, load="closed"):
    return [one[load]["user_ms"] + one[load]["system_ms"] for one in contender["rounds"]]


def spread(values, digits, scale=1.0):
    """The median, and from where to where."""
    if not values:
        return "–"
    values = [value * scale for value in values]
    middle, low, high = statistics.median(values), min(values), max(values)
    words = [f"{value:,.{digits}f}" for value in (middle, low, high)]
    return words[0] if len(values) == 1 else f"{words[0]} ({words[1]}–{words[2]})"


def ratios(results, of, to):
    """Round by round against another contender; none where that was not there."""
    base = next((one for one in results["contenders"] if one["name"] == to), None)
    if base is None:
        return None

    def of_one(contender):
        pairs = zip(of(contender), of(base))
        return [value / other for value, other in pairs if other]

    return of_one


def table(results):
    ratio = ratios(results, cpu, "nginx-put")
    head = ["", "CPU an upload, ms", "of it system", "to nginx PUT", "uploads/s", "p99, ms", "p99 at "
            f"{results['rate']}/s, ms", "peak memory, MB"]  # fmt: skip
    if results["slow"]:
        head += ["memory a held upload, KB", "quick route p99 beside, ms", "times of alone", "held", "quick failed"]
    lines = [head, ["---"] + ["---:"] * (len(head) - 1)]
    for one in results["contenders"]:
        row = [
            one["words"],
            spread(cpu(one), 2),
            spread(pick(one, "closed", "system_ms"), 2),
            spread(ratio(one), 2) if ratio else "–",
            spread(pick(one, "closed", "uploads_per_second"), 0),
            spread(pick(one, "closed", "p99_ms"), 1),
            spread(pick(one, "open", "p99_ms"), 1),
            spread(pick(one, "peak_bytes"), 0, 1e-6),
        ]
        if results["slow"]:
            pairs = zip(pick(one, "held", "quick_beside_p99_ms"), pick(one, "held", "quick_alone_p99_ms"))
            times = [beside / alone for beside, alone in pairs if alone]
            failed, asked = sum(pick(one, "held", "quick_failed")), sum(pick(one, "held", "quick_asked"))
            row += [
                spread(pick(one, "held", "bytes_per_held"), 1, 1e-3),
                spread(pick(one, "held", "quick_beside_p99_ms"), 1),
                spread(times, 2),
                spread(pick(one, "held", "held"), 0),
                f"{failed:,} of {asked:,}",
            ]
        lines.append(row)
    return "\n".join("| " + " | ".join(row) + " |" for row in lines)


STYLE = """
text { font: 13px system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; fill: #1d1f1e; }
.soft { fill: #5b605d; font-size: 12px; } .title { font-weight: 650; font-size: 15px; }
.ours { fill: #0b6b63; } .ours2 { fill: #5ba59d; } .theirs { fill: #b9b4a8; } .theirs2 { fill: #d8d4ca; }
.whisker { stroke: #1d1f1e; stroke-width: 1.2; opacity: .55; } .back { fill: #ffffff; } .grid { stroke: #e4e1da; }
@media (prefers-color-scheme: dark) {
  text { fill: #e9ebe8; } .soft { fill: #a5aca8; } .ours { fill: #66cdbd; } .ours2 { fill: #37847a; }
  .theirs { fill: #6b716d; } .theirs2 { fill: #474d4a; } .whisker { stroke: #e9ebe8; } .back { fill: #14181a; }
  .grid { stroke: #2b312f; }
}
"""


def bars(title, about, rows):
    """Bars lying down: (name, is_ours, first part, second part, low, high, words)."""
    left, width, step, top = 232, 760, 30, 66
    rows = [row for row in rows if row[2] is not None]
    if not rows:
        return None
    most = max(row[5] for row in rows) or 1
    scale = (width - left - 150) / most
    height = top + step * len(rows) + 14
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" role="img" '
        f'aria-label="{html.escape(title)}"><style>{STYLE}</style><rect class="back" width="{width}" height="{height}" rx="12"/>'
        f'<text class="title" x="20" y="28">{html.escape(title)}</text>'
        f'<text class="soft" x="20" y="47">{html.escape(about)}</text>'
    ]
    for at, (name, ours, first, second, low, high, words) in enumerate(rows):
        y = top + at * step
        kind = "ours" if ours else "theirs"
        out.append(f'<text x="{left - 12}" y="{y + 15}" text-anchor="end">{html.escape(name)}</text>')
        out.append(f'<rect class="{kind}" x="{left}" y="{y + 2}" width="{first * scale:.1f}" height="18" rx="2"/>')
        if second:
            x = left + first * scale
            out.append(f'<rect class="{kind}2" x="{x:.1f}" y="{y + 2}" width="{second * scale:.1f}" height="18" rx="2"/>')
        if high > low:
            a, b = left + low * scale, left + high * scale
            out.append(f'<path class="whisker" d="M{a:.1f} {y + 11}H{b:.1f}M{a:.1f} {y + 7}v8M{b:.1f} {y + 7}v8"/>')
        end = left + max(first + (second or 0), high) * scale + 8
        out.append(f'<text class="soft" x="{end:.1f}" y="{y + 15}">{html.escape(words)}</text>')
    return "".join(out) + "</svg>\n"


def plots(results):
    """Name, title and drawing of each."""
    contenders = results["contenders"]
    is_ours = lambda one: one["name"].startswith("filmgate")

    def row(one, values, words, parts=None):
        if not values:
            return (one["words"], False, None, None, 0, 0, "")
        first, second = parts or (statistics.median(values), None)
        return (one["words"], is_ours(one), first, second, min(values), max(values), words(statistics.median(values)))

    def split(one):
        middle = statistics.median(cpu(one))
        user, system = (statistics.median(pick(one, "closed", name)) for name in ("user_ms", "system_ms"))
        whole = (user + system) or 1
        return middle * user / whole, middle * system / whole

    clients = results["clients"]
    yield "cpu", bars(
        "Server's processor for one upload",
        f"milliseconds, user (darker) and system, whole process tree, {clients} clients; line: least to most of the rounds",
        [row(one, cpu(one), lambda v: f"{v:.2f} ms", split(one)) for one in contenders],
    )
    yield "throughput", bars(
        "Uploads a second",
        f"{clients} clients, each as soon as it was answered, generator on the same machine",
        [row(one, pick(one, "closed", "uploads_per_second"), lambda v: f"{v:,.0f}") for one in contenders],
    )
    yield "p99", bars(
        "Longest wait of 99 in 100 uploads",
        f"milliseconds, {clients} clients, each as soon as it was answered",
        [row(one, pick(one, "closed", "p99_ms"), lambda v: f"{v:,.0f} ms") for one in contenders],
    )
    if results["slow"]:
        yield "held-memory", bars(
            "Memory for one slow upload held",
            f"kilobytes, {results['slow']:,} uploads at 1 KB/s",
            [
                row(one, [max(v, 0) / 1000 for v in pick(one, "held", "bytes_per_held")], lambda v: f"{v:.1f} KB")
                for one in contenders
            ],
        )
        yield "held-quick", bars(
            "A quick request beside them, p99",
            f"milliseconds, of those answered within 15 s, beside {results['slow']:,} uploads at 1 KB/s",
            [row(one, pick(one, "held", "quick_beside_p99_ms"), lambda v: f"{v:,.1f} ms") for one in contenders],
        )


def keep(root, results):
    folder = os.path.join(root, "docs/benchmarks")
    os.makedirs(folder, exist_ok=True)
    name = f"peers-{results['label']}.json" if results["label"] else "peers.json"
    with open(os.path.join(folder, name), "w") as file:
        json.dump(results, file, indent=1)
        file.write("\n")


def section(results, folder):
    """One run's part of the document."""
    label = results["label"]
    out = [f"### {label or 'The machine’s own filesystem'}", ""] if label else []
    out += [
        f"{results['began_at'][:10]}: {results['machine']}. Filesystem: {results['filesystem']}; an fsync of 4 KB there takes"
        f" {results['fsync_ms']:.2f} ms. {results['rounds']} rounds, {results['seconds']:g} s of each load, photos of"
        f" {results['photo_bytes'] // 1000} kB. Medians, and in brackets the least and the most of the rounds.",
        "",
        table(results),
        "",
    ]
    bare = [one["per_second"] for one in results.get("bare_loop", [])]
    durable = next((one for one in results["contenders"] if one["is_durable"]), None)
    if bare and durable:
        shares = [ours / disk for ours, disk in zip(pick(durable, "closed", "uploads_per_second"), bare)]
        out += [
            f"A bare loop of write, fsync, rename and fsync of the directory, {results['clients']} threads on the same disk:"
            f" {spread(bare, 0)} files a second for {spread([one['cpu_ms'] for one in results['bare_loop']], 2)} ms of processor"
            f" each. {durable['words']}: {spread(shares, 2)} of that.",
            "",
        ]
    for name, drawing in plots(results):
        if drawing is None:
            continue
        file = f"{name}-{label}.svg" if label else f"{name}.svg"
        with open(os.path.join(folder, file), "w") as out_file:
            out_file.write(drawing)
        title = re.search(r'aria-label="([^"]*)"', drawing).group(1)
        out += [f"![{title}](benchmarks/{file})", ""]
    busy = [load for one in results["contenders"] for load in pick(one, "load_average")]
    late = [name for one in results["contenders"] for name in [one["words"]] if any(pick(one, "open", "client_is_bottleneck"))]
    if late:
        out += [f"In the open loop the generator itself was late beside: {', '.join(late)}.", ""]
    if busy and max(busy) > 4:
        out += [f"**The machine was not quiet**: load average up to {max(busy):.1f} at the beginning of a turn.", ""]
    out += ["Versions: " + ", ".join(f"{name} {version}" for name, version in results["versions"].items()) + ".", ""]
    return out


def write(root):
    """Puts every kept run into the document."""
    folder = os.path.join(root, "docs/benchmarks")
    made = [BEGIN, ""]
    for path in sorted(glob.glob(os.path.join(folder, "peers*.json"))):
        with open(path) as file:
            made += section(json.load(file), folder)
    made.append(END)
    document = os.path.join(root, "docs/benchmarks.md")
    with open(document) as file:
        text = file.read()
    before, rest = text.split(BEGIN)
    after = rest.split(END)[1]
    with open(document, "w") as file:
        file.write(before + "\n".join(made) + after)
    print(f"written: {document}")
