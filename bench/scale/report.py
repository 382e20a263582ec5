"""From the rounds of rig-scale to unit costs, and to a table of model against measurement. See bench/scale/run."""

import glob
import json
import os
import statistics
import subprocess
import sys
import tempfile

folder, plan = sys.argv[1], sys.argv[2]


def rounds(kind):
    """The JSON line of each round."""
    found = []
    for name in sorted(glob.glob(os.path.join(folder, f"{kind}-*.txt"))):
        lines = [line for line in open(name) if line.startswith("{")]
        if lines:
            found.append(json.loads(lines[-1]))
    return found


def median(values):
    return statistics.median(list(values))


def spread(values):
    values = list(values)
    return f"{min(values):.4g} to {max(values):.4g}"


units, nodes = rounds("units"), rounds("nodes")
figures = {}  # name -> (value, spread)


def figure(name, values):
    values = list(values)
    if values:
        figures[name] = (median(values), spread(values))


def line_fit(xs, ys):
    """Intercept and slope of least squares."""
    mx, my = statistics.mean(xs), statistics.mean(ys)
    slope = sum((x - mx) * (y - my) for x, y in zip(xs, ys)) / sum((x - mx) ** 2 for x in xs)
    return my - slope * mx, slope


if units:
    figure("node_memory_bytes", (u["memory"]["at_rest_bytes"] for u in units))
    figure("held_upload_memory_bytes", (u["memory"]["held_upload_bytes"] for u in units))
    figure("idle_connection_memory_bytes", (u["memory"]["resting_connection_bytes"] for u in units))
    figure("sqlite_bytes_per_task", (u["rows"]["bytes_per_task"] for u in units))
    figure("sqlite_bytes_per_key", (u["rows"]["bytes_per_key"] for u in units))
    figure("sqlite_bytes_per_capture", (x["row_bytes"] for u in units for x in u["processing"] if x.get("row_bytes") and x["photos"] > 100))
    figure("sqlite_bytes_per_capture_unprocessed", (u["rows"]["bytes_per_capture"] for u in units))
    per_megabyte = []
    for u in units:
        sizes = [x["photo_bytes"] / 1e6 for x in u["uploads"]]
        per_megabyte.append(line_fit(sizes, [x["cpu_us"] for x in u["uploads"]])[1])
    figure("upload_cpu_us_per_megabyte", per_megabyte)
    figure("fsync_ms", (x["file_fsync_ms"] for u in units for x in u["uploads"]))
    figure("fsyncs_per_upload", (x["file_fsyncs"] + x["directory_fsyncs"] for u in units for x in u["uploads"]))
    figure("written_bytes_beside_the_photo", (x["written_bytes"] - x["photo_bytes"] for u in units for x in u["uploads"]))
    # Decoding and making previews: three sizes give the three figures, the fourth (1920 x 1080) is for judging them.
    preview = 1.28 * 0.72
    fits, judged = [], []
    for u in units:
        by = {round(x["megapixels"], 2): x["decoder_ms"] for x in u["processing"]}
        small, web, full_hd, phone = sorted(by)
        per_mp = (by[phone] - by[web]) / (phone - web)
        both = (by[web] - by[small]) / (web - small)
        base = by[small] - both * small
        fits.append((base, per_mp, both - per_mp))
        judged.append((base + per_mp * full_hd + (both - per_mp) * preview) / by[full_hd])
    figure("processing_cpu_ms", (max(f[0], 0) for f in fits))
    figure("processing_cpu_ms_per_megapixel", (f[1] for f in fits))
    figure("processing_cpu_ms_per_preview_megapixel", (f[2] for f in fits))
    web = [x for u in units for x in u["processing"] if abs(x["megapixels"] - preview) < 0.01]
    figure("processing_server_cpu_us", (x["server_us"] for x in web))
    figure("derivatives_bytes", (x["derivatives_bytes"] for x in web))
    figure("catalog_writes_per_capture", (1 + x["writes"] for x in web))
    print(f"# judged by a size it was not made of, 1920 x 1080: model/measured {median(judged):.2f} ({spread(judged)})")

database = rounds("postgres")
if database:
    both = lambda name: (d["uploads"][name] + d["processing"][name] for d in database)
    figure("postgres_cpu_us_per_capture", both("cpu_us"))
    figure("postgres_transactions_per_capture", both("transactions"))
    figure("postgres_wal_bytes_per_capture", both("log_bytes"))
    figure("postgres_bytes_per_capture", (d["bytes"]["captures"] + d["bytes"]["derivatives"] for d in database))
    figure("postgres_bytes_per_task", (d["bytes"]["tasks"] for d in database))
    figure("postgres_bytes_per_key", (d["bytes"]["keys"] for d in database))

single = [x for n in nodes for x in n["nodes"] if x["nodes"] == 1]
if any(x["commits"] > 0 and not x["engines_cpu_us"] for x in single):
    # What an upload costs falls as its commit is shared; the line through all points parts the two.
    megabytes = nodes[0]["photo_bytes"] / 1e6
    fits = []
    for n in nodes:
        own = [x for x in n["nodes"] if x["nodes"] == 1]
        if len({x["uploaders"] for x in own}) > 1:
            fits.append((line_fit([x["commits"] for x in own], [x["cpu_us"] for x in own]),
                         line_fit([x["commits"] for x in own], [x["writer_us"] for x in own])))
    per_mb = figures.get("upload_cpu_us_per_megabyte", (0, ""))[0]
    figure("upload_cpu_us", (max(f[0][0] - per_mb * megabytes, 0) for f in fits))
    figure("sqlite_commit_cpu_us", (f[0][1] for f in fits))
    figure("sqlite_writer_us_per_write", (f[1][0] for f in fits))

print("# medians over the rounds; least to most beside each")
for name, (value, around) in figures.items():
    print(f"[{name}]\nvalue = {value:.4g}  # {around}")

if not nodes:
    sys.exit()

# Over engines there is no line to fit: what an upload costs on one node is what it should cost on several.
one = [x for x in single if x["engines_cpu_us"]]
if one:
    print("\n# processor of one upload on one node, this build, from least to most over rounds and uploaders; µs")
    for name, values in (("node", [x["cpu_us"] for x in one]), *((e, [x["engines_cpu_us"][e] for x in one]) for e in one[0]["engines_cpu_us"])):
        print(f"# {name}: {median(values):.0f} ({spread(values)})")

# The model is given these unit costs, and asked for uploaders on the cores that others left.
known = json.loads(subprocess.run([plan, "plan", "--show-unit-costs", "--json"], capture_output=True, text=True, check=True).stdout)
own = tempfile.NamedTemporaryFile("w", suffix=".toml", delete=False)
for name, (value, _) in figures.items():
    if name in known:
        own.write(f"[{name}]\nvalue = {value}\n")
if one:
    # 0.26: the share of the database's processor that the simulation puts before the answer; nothing is processed here.
    database_us = median(x["engines_cpu_us"].get("postgres", 0) for x in one) / 0.26
    for name, value in (("upload_cpu_us", median(x["cpu_us"] for x in one)), ("upload_cpu_us_per_megabyte", 0),
                        ("s3_cpu_us_per_upload", 0), ("postgres_cpu_us_per_capture", database_us)):
        own.write(f"[{name}]\nvalue = {value}\n")
own.close()
shared = any(n["nodes"] and any(x["engines_cpu_us"] for x in n["nodes"]) for n in nodes)
print("\n| nodes | uploaders | uploads/s, model/measured | CPU of an upload, model/measured | commits of an upload, model/measured |")
print("|---|---|---:|---:|---:|")
LENGTH = 30
for key in sorted({(x["nodes"], x["uploaders"]) for n in nodes for x in n["nodes"]}):
    rates, cpus, commits = [], [], []
    for n in nodes:
        for x in n["nodes"]:
            if (x["nodes"], x["uploaders"]) != key:
                continue
            cores = n["cores"]
            beside = x["sender_cpu_us"] + (median(y["engines_cpu_us"].get("garage", 0) for y in one) if one else 0)
            args = [plan, "plan", "--json", "--users", "1", "--nodes", str(key[0]), "--spare", "0",
                    "--photo-bytes", str(n["photo_bytes"]), "--processing", "off", "--unit-costs", own.name,
                    "--simulate", f"{LENGTH}s", "--uploaders", str(key[1]),
                    "--shared-cores", str(cores), "--beside", f"{beside:.0f}us"]
            args += ["--catalog", "postgres", "--store", "s3"] if shared else ["--catalog", "sqlite", "--store", "folder"]
            done = subprocess.run(args, capture_output=True, text=True)
            if not done.stdout:
                sys.exit(done.stderr)
            said = json.loads(done.stdout)["simulation"]
            cpu_us = said["cores_used_by_uploads"] * cores * LENGTH / max(said["answered"], 1) * 1e6
            # What others of this machine used meanwhile is not there for us; who asks for little gets it all the same.
            rate = min(said["answered_per_second"], (cores - x["others_cores"]) * 1e6 / cpu_us)
            rates.append(rate / x["per_second"])
            cpus.append(cpu_us / (x["cpu_us"] + x["sender_cpu_us"] + sum(x["engines_cpu_us"].values())))
            if x["commits"] > 0 and said["commits"]:
                commits.append(said["commits"] / said["answered"] / x["commits"])
    both = lambda values: f"{median(values):.2f} ({spread(values)})" if values else "-"
    print(f"| {key[0]} | {key[1]} | {both(rates)} | {both(cpus)} | {both(commits)} |")
os.unlink(own.name)
