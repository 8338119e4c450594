"""How long scoring takes: this suite against the usual chain of separate tools; same clips, weights, machine and run.

    python benchmarks/score.py [chain] [frechet] [help] [rescore] [--clips N] [--repeat R] [--json FILE]

| section | what is timed |
|---|---|
| chain | ten scores of finished videos: `bench score` from an empty cache (our_side.py), and one tool after the other
|       | (usual_chain.py); each side in a process of its own, in turns, medians over the repeats |
| frechet | the Frechet distance of 500 rows of 2048 features, also by scipy.linalg.sqrtm (a minute; not with --quick) |
| help | `python -m bench --help`, best of five |
| rescore | the same run of 50 cases again, and with one more metric, everything being cached |

Predictions are the targets after one H.264 encoding. Weights are random, S3FD's detections are replaced by one box on
both sides (stand_ins.py says why); mediapipe's model is the real one. The usual chain needs the `ffmpeg` program,
scikit-image, pytorch-fid and syncnet-python. It keeps nothing, so a second method costs it the same again (measured
once); this suite has the targets' features by then. Other programs on the machine disturb both sides, not equally: the
load that each turn began with is printed.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from bench.media.clip import VIDEO_SUFFIXES  # noqa: E402
from bench.weights import Weights  # noqa: E402
from benchmarks import small_targets  # noqa: E402

HERE = Path(__file__).parent
SIDES = {"usual chain": HERE / "usual_chain.py", "ours": HERE / "our_side.py"}
SECTIONS = ("chain", "frechet", "help", "rescore")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sections", nargs="*", metavar="section", help=f"{', '.join(SECTIONS)}; default: all")
    parser.add_argument(
        "--data", type=Path, default=_default_data(), help="folder of clips; default: the GRID test clips"
    )
    parser.add_argument("--clips", type=int, help="use the first N only")
    parser.add_argument("--repeat", type=int, default=1, help="turns of both sides")
    parser.add_argument("--quick", action="store_true", help="leave scipy's matrix root out of `frechet`")
    parser.add_argument("--json", type=Path, help="write everything that was measured here")
    arguments = parser.parse_args()
    if unknown := set(arguments.sections) - set(SECTIONS):
        parser.error(f"no section {', '.join(sorted(unknown))}; there are {', '.join(SECTIONS)}")
    found: dict = {"machine": machine()}
    print(f"{found['machine']}\n")
    sections = {
        "chain": lambda: chain(arguments.data, arguments.clips, arguments.repeat),
        "frechet": lambda: small_targets.frechet(arguments.quick),
        "help": small_targets.help_time,
        "rescore": small_targets.rescore,
    }
    for name in arguments.sections or SECTIONS:
        found[name] = sections[name]()
        print(f"## {name}\n\n{REPORTS[name](found[name])}\n", flush=True)
        if arguments.json:
            arguments.json.write_text(json.dumps(found, indent=1), "utf-8")


def _default_data() -> Path:
    assets = os.environ.get("AU_BENCH_ASSETS")
    return (Path(assets) if assets else ROOT.parent / "shared" / "assets") / "clips" / "grid"


def machine() -> str:
    cores = len(os.sched_getaffinity(0))
    python = platform.python_version()
    return f"{platform.system()} {platform.machine()}, {cores} cores, Python {python}, {time.strftime('%Y-%m-%d')}"


# -- the chain ------------------------------------------------------------------------------------------------------


def chain(data: Path, count: int | None, repeat: int) -> dict:
    """Both sides in turns. Key -> what each of its runs reported, and the machine's load before it."""
    clips = sorted(path for path in data.iterdir() if path.suffix.lower() in VIDEO_SUFFIXES)[:count]
    if not clips:
        sys.exit(f"{data}: holds no video file")
    if shutil.which("ffmpeg") is None:
        sys.exit("the usual chain needs the ffmpeg program: apt-get install ffmpeg")
    model = Weights().require(["face_landmarker"])["face_landmarker"]
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder) / "work"
        subprocess.run([sys.executable, HERE / "stand_ins.py", work, model, *clips], check=True)
        runs: dict[str, list[dict]] = {side: [] for side in SIDES}
        for turn in range(repeat):
            for side, script in SIDES.items():
                runs[side].append(_timed([sys.executable, script, work, work / "result.json"], work))
                seconds = runs[side][-1]["wall_seconds"]
                print(f"turn {turn + 1} of {repeat}: {side}, {seconds:.1f} s", file=sys.stderr, flush=True)
    return {"clips": len(clips), "runs": runs}


def _timed(command: list, work: Path) -> dict:
    """What the side reported, with its processor time and the memory of its largest process."""
    load = os.getloadavg()[0]
    with open(work / "log", "wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
        _, status, usage = os.wait4(process.pid, 0)  # Its own usage and that of the processes it waited for.
    if status:
        sys.exit(f"{command[1]} failed:\n{(work / 'log').read_text('utf-8', 'replace')[-3000:]}")
    report = json.loads((work / "result.json").read_text("utf-8"))
    measured = {"peak_bytes": usage.ru_maxrss * 1024, "load_average_before": load}
    return {"cpu_seconds": usage.ru_utime + usage.ru_stime} | report | measured


ROWS = (
    ("scoring, s", "score_seconds", 1, True),
    ("import and load, s", "load_seconds", 1, True),
    ("both, s", "wall_seconds", 1, True),
    ("a second method against the same targets, s", "second_seconds", 1, True),
    ("processor time, s", "cpu_seconds", 1, True),
    ("largest process, MB", "peak_bytes", 1e-6, False),
    ("frames decoded from the clips", "source_frames", 1, False),
    ("frames read back from copies", "intermediate_frames", 1, False),
)
"""Label, key, factor, whether the ratio of both sides is shown."""


def medians(runs: dict[str, list[dict]], key: str) -> list[float]:
    return [statistics.median(run[key] for run in runs[side]) for side in SIDES]


def report_chain(found: dict) -> str:
    runs = found["runs"]
    lines = [f"{found['clips']} clips, medians of {len(runs['ours'])} turns", "", "| | usual chain | ours | ratio |"]
    lines.append("| :-- | --: | --: | --: |")
    for label, key, factor, compared in ROWS:
        usual, ours = (factor * value for value in medians(runs, key))
        lines.append(f"| {label} | {usual:.1f} | {ours:.1f} | {f'{usual / ours:.1f}' if compared else ''} |")
    each = [run["tools"] for run in runs["usual chain"]]
    tools = (f"{name} {statistics.median(tools[name] for tools in each):.1f}" for name in each[0])
    lines += ["", f"usual chain, s: {', '.join(tools)}"]
    passes = [run["source_passes"] for run in runs["ours"]]
    lines.append(f"ours: {max(passes)} clip decodes for {2 * found['clips']} files")
    loads = [run["load_average_before"] for side in SIDES for run in runs[side]]
    lines += [f"load before the turns: {min(loads):.1f} to {max(loads):.1f}", "", "| score | usual chain | ours |"]
    lines.append("| :-- | --: | --: |")
    usual, ours = (runs[side][0]["scores"] for side in SIDES)
    lines += [f"| {key} | {usual[key]:.6g} | {value:.6g} |" for key, value in ours.items()]
    return "\n".join(lines)


def report_frechet(found: dict) -> str:
    text = f"ours {found['seconds']:.3f} s (median of 5), value {found['value']:.6f}; target below 0.2 s"
    if "scipy_seconds" in found:
        ratio = found["scipy_seconds"] / found["seconds"]
        text += (
            f"\nscipy.linalg.sqrtm {found['scipy_seconds']:.1f} s, value {found['scipy_value']:.6f}; {ratio:.0f} times"
        )
    return text


def report_help(found: dict) -> str:
    return f"{found['seconds']:.2f} s (best of 5); target below 0.5 s"


def report_rescore(found: dict) -> str:
    return (
        f"first run {found['first']:.2f} s; again {found['again']:.2f} s; one more metric {found['one_more']:.2f} s; "
        f"target below 2 s\ntorch imported: {'yes' if found['imports_torch'] else 'no'}"
    )


REPORTS = {"chain": report_chain, "frechet": report_frechet, "help": report_help, "rescore": report_rescore}

if __name__ == "__main__":
    main()
