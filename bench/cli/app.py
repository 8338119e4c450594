"""Commands and their options; each hands over to one function elsewhere."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

from bench.cli.results import results
from bench.cli.study import study
from bench.media.errors import BenchError, UserError

app = typer.Typer(
    name="bench",
    help="How good is this talking-head method, on this protocol, and is the difference real?",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.add_typer(study, name="study")
app.add_typer(results, name="results")

Json = Annotated[bool, typer.Option("--json", help="Print one JSON document to stdout and nothing else there.")]
Data = Annotated[Path | None, typer.Option(help="Root of the data set on this machine.")]
Out = Annotated[Path | None, typer.Option(help="Run folder; by default results/runs/PROTOCOL/METHOD-FINGERPRINT.")]
Limit = Annotated[int | None, typer.Option(min=1, help="Only the first N cases of the protocol.")]
MetricNames = Annotated[str | None, typer.Option("--metrics", help="Comma-separated, for example psnr,ssim@skimage7.")]
Device = Annotated[
    str, typer.Option(help="auto (every visible GPU, else the processor), cpu, cuda, or the number of a GPU.")
]
Devices = Annotated[
    str | None, typer.Option(help="Several devices fed from one queue, for example 0,1,2,3 or cpu,cpu.")
]
Shard = Annotated[str | None, typer.Option(help="i/n: this machine's part of n; all shards share one --out.")]
Offline = Annotated[bool, typer.Option("--offline", help="Never touch the network.")]
Retry = Annotated[bool, typer.Option("--retry-failed", help="Make failed cases again.")]
Export = Annotated[
    Path | None,
    typer.Option(help="Folder for copies of the videos for people, each with credentials that `bench verify` reads."),
]


@app.command()
def run(
    method: Annotated[str, typer.Option(help="Name of a method; `bench list methods`.")],
    protocol: Annotated[str, typer.Option(help="Name of a protocol; `bench list protocols`.")],
    data: Data = None,
    out: Out = None,
    limit: Limit = None,
    metrics: MetricNames = None,
    device: Device = "auto",
    devices: Devices = None,
    seed: int = 0,
    shard: Shard = None,
    settings: Annotated[list[str] | None, typer.Option("--set", help="key=value, a setting of the method.")] = None,
    aus: Annotated[
        str | None,
        typer.Option(
            help="AUs of every case: a track (CSV, JSON), or expressions laid over the method's own: smile:0.7+blink."
        ),
    ] = None,
    retry_failed: Retry = False,
    export: Export = None,
    offline: Offline = False,
    as_json: Json = False,
) -> None:
    """Generate, store and score: one method on one protocol. Interrupted runs continue where they stopped."""
    from bench.cli.work import drive_by, run_plan

    run_plan(
        method=method, protocol=protocol, data=data, out=out, limit=limit, metrics=metrics, seed=seed,
        settings=(settings or []) + (drive_by(aus) if aus else []), devices=devices or device, shard=shard,
        retry_failed=retry_failed, offline=offline, as_json=as_json, export=export,
    )  # fmt: skip


@app.command()
def score(
    videos: Annotated[Path, typer.Option(help="Folder with finished videos named by case id.")],
    name: Annotated[str, typer.Option(help="Label of the row.")],
    protocol: Annotated[str, typer.Option(help="Name of a protocol; `bench list protocols`.")],
    data: Data = None,
    out: Out = None,
    limit: Limit = None,
    metrics: MetricNames = None,
    device: Device = "auto",
    devices: Devices = None,
    shard: Shard = None,
    retry_failed: Retry = False,
    export: Export = None,
    offline: Offline = False,
    as_json: Json = False,
) -> None:
    """Score videos made elsewhere."""
    from bench.cli.work import run_plan

    run_plan(
        method=name, protocol=protocol, data=data, out=out, limit=limit, metrics=metrics, seed=0, settings=[],
        devices=devices or device, shard=shard, retry_failed=retry_failed, offline=offline, as_json=as_json,
        videos=videos, export=export,
    )  # fmt: skip


@app.command()
def metric(
    name: Annotated[str, typer.Argument(help="psnr, ssim@skimage7, ...; `bench list metrics`.")],
    pred: Annotated[Path, typer.Option(help="The generated video.")],
    target: Annotated[Path, typer.Option(help="The video it is compared with.")],
    reference: Annotated[
        Path | None, typer.Option(help="Reference image; by default the target's first frame.")
    ] = None,
    emotion: Annotated[str | None, typer.Option(help="Emotion label, for acc_emo.")] = None,
    resize: Annotated[bool, typer.Option("--resize", help="Resize the prediction to the target's size.")] = False,
    fps: Annotated[float, typer.Option(help="Rate at which both are compared.")] = 25.0,
    device: Device = "auto",
    as_json: Json = False,
) -> None:
    """One pair of videos, one metric."""
    from bench.cli.pair import measure_pair

    measure_pair(name, pred, target, reference, emotion, resize, fps, device, as_json)


@app.command("list")
def list_(
    what: Annotated[
        Literal["methods", "protocols", "metrics", "tables", "weights", "plans", "trainings"], typer.Argument()
    ],
    name: Annotated[
        str | None, typer.Argument(help="One plan: the command of each of its rows. One method: all there is to know.")
    ] = None,
    synth: Annotated[bool, typer.Option("--synth", help="A plan on the synthetic protocols.")] = False,
    as_json: Json = False,
) -> None:
    """What exists, and whether it is ready on this machine."""
    from bench.cli.listing import show, show_method, show_plan

    if what == "plans" and name:
        show_plan(name, synth, as_json)
    elif what == "methods" and name and not synth:
        show_method(name, as_json)
    elif name or synth:
        raise UserError(
            "a name goes with `list methods` and `list plans` only, and --synth with a plan, as in "
            "`list plans auhead_table2 --synth`"
        )
    else:
        show(what, as_json)


@app.command()
def fetch(
    names: Annotated[
        list[str] | None,
        typer.Argument(help="Files of the lock, metrics, methods, or libreface; none: all of the lock."),
    ] = None,
    show_list: Annotated[bool, typer.Option("--list", help="Show every file, its pin and whether it is here.")] = False,
    source: Annotated[Path | None, typer.Option("--from", help="Take this file instead of downloading.")] = None,
    offline: Offline = False,
    as_json: Json = False,
) -> None:
    """Weights and assets by sha256, into the folder that AU_BENCH_CACHE names."""
    from bench.cli.fetching import fetch_files
    from bench.cli.listing import show

    if offline:
        os.environ["AU_BENCH_OFFLINE"] = "1"
    if show_list:
        show("weights", as_json)
    else:
        fetch_files(names or [], source, as_json)


@app.command()
def prepare(
    dataset: Annotated[Literal["mead", "crema", "hdtf", "synth"], typer.Argument()],
    out: Annotated[Path, typer.Option(help="Folder for the clips and their manifest; give it to `run` as --data.")],
    root: Annotated[Path | None, typer.Option(help="Top of the data set's official layout.")] = None,
    size: Annotated[int | None, typer.Option(help="Side of the square clips in pixels; by default 512.")] = None,
    storage: Annotated[str, typer.Option(help="lossless (5 MB a second at 512x512), or h264-crfN.")] = "lossless",
    workers: Annotated[int | None, typer.Option(min=1, help="Processes; by default one per core.")] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Only the first N clips.")] = None,
    split: Annotated[
        Literal["train", "test", "general"] | None, typer.Option(help="synth: whose people; by default test.")
    ] = None,
    identities: Annotated[int | None, typer.Option(min=1, help="synth: how many people; by default 12.")] = None,
    clips_per_identity: Annotated[
        int | None, typer.Option(min=1, help="synth: clips of each; by default 22, one of each expression.")
    ] = None,
    features: Annotated[
        Literal["memo", "hallo", "auhead_memo", "auhead_hallo", "stableavatar", "iuface"] | None,
        typer.Option(help="Also compute what this method is trained on; without --root, of clips that are there."),
    ] = None,
    separate_vocals: Annotated[
        bool, typer.Option("--separate-vocals", help="Features of speech without music and noise.")
    ] = False,
    prompts: Annotated[
        Path | None,
        typer.Option(help="stableavatar, iuface: JSON, clip id or identity -> prompt; by default one for all."),
    ] = None,
    device: Device = "auto",
    as_json: Json = False,
) -> None:
    """Official layout in, checked manifest out. Interrupted work continues where it stopped."""
    from bench.cli.preparing import VIDEO_METHODS, prepare_real, prepare_synthetic, prepare_training_features

    if dataset == "synth" and (root or limit or storage != "lossless"):
        raise UserError("prepare synth renders lossless clips of its own: it takes no --root, --storage or --limit")
    if dataset != "synth" and (identities or split or clips_per_identity):
        raise UserError("--split, --identities and --clips-per-identity go with `prepare synth` only")
    if separate_vocals and features is None:
        raise UserError("--separate-vocals goes with --features: the clips keep their sound")
    if prompts and features not in VIDEO_METHODS:
        raise UserError(f"--prompts goes with --features {' or '.join(VIDEO_METHODS)}")
    if dataset == "synth":
        prepare_synthetic(out, split, identities, clips_per_identity, size, workers, as_json and not features)
    elif root or features is None:
        prepare_real(dataset, root, out, size, storage, workers, limit, as_json and not features)
    if features:
        prepare_training_features(dataset, out, features, separate_vocals, prompts, device, as_json)


@app.command()
def tables(
    names: Annotated[
        list[str] | None,
        typer.Argument(
            help="auhead_table1, ..., iuface_table8, claims; `all`, which also writes them; or a protocol, whose runs "
            "are compared. By default every published table."
        ),
    ] = None,
    synth: Annotated[bool, typer.Option("--synth", help="The synthetic counterparts of these tables.")] = False,
    runs: Annotated[list[Path] | None, typer.Option(help="Run folders; by default all below results/runs.")] = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder to write to, in every format; `all` writes to results/tables.")
    ] = None,
    baseline: Annotated[
        str | None, typer.Option(help="A protocol's row against which paired differences are shown.")
    ] = None,
    metrics: MetricNames = None,
    form: Annotated[Literal["md", "text", "tex", "csv", "json"], typer.Option("--format")] = "md",
) -> None:
    """The papers' tables: reported, ours, the difference and its interval; or several runs of one protocol."""
    from bench.cli.tabling import print_tables

    print_tables(names or [], synth, runs, out, baseline, metrics, form)


@app.command()
def report(
    out: Annotated[Path, typer.Option(help="Folder of the site; an earlier report in it is replaced.")] = Path(
        "results/report"
    ),
    runs: Annotated[list[Path] | None, typer.Option(help="Run folders; by default all below results/runs.")] = None,
    baseline: Annotated[
        str | None, typer.Option(help="Row that differences are taken to, on every protocol that has it.")
    ] = None,
    cases: Annotated[int, typer.Option(min=0, help="Cases of each protocol shown with their videos.")] = 12,
    device: Device = "auto",
    as_json: Json = False,
) -> None:
    """A static site of all finished runs: leaderboards, differences, breakdowns, failures, videos side by side."""
    from bench.cli.reporting import write_report

    write_report(out, runs, baseline, cases, device, as_json)


@app.command()
def inspect(
    clip: Annotated[Path, typer.Argument(help="A video.")],
    aus: Annotated[Path | None, typer.Option(help="AU track (CSV, JSON); by default read off the clip.")] = None,
    out: Annotated[
        Path | None, typer.Option(help="HTML file; by default named after the clip, in this folder.")
    ] = None,
    estimator: Annotated[
        str | None,
        typer.Option(help="What reads AUs: landmarks, openface, or synth_face for rendered faces."),
    ] = None,
    fps: Annotated[float, typer.Option(min=1, max=120, help="Rate at which the clip is shown.")] = 25.0,
    frames: Annotated[int | None, typer.Option(min=1, help="Only the first N frames.")] = None,
    device: Device = "auto",
) -> None:
    """One clip frame by frame beside its AUs and the face they move: a page in one file, to check AUs by eye."""
    from bench.cli.reporting import write_inspector

    write_inspector(clip, aus, out, estimator, fps, frames, device)


@app.command()
def reproduce(
    name: Annotated[str, typer.Argument(help="auhead_table2, auhead_fig3, ...; `bench list plans`.")],
    synth: Annotated[
        bool, typer.Option(help="On the synthetic counterparts of its protocols: no data needed.")
    ] = False,
    data: Annotated[list[str] | None, typer.Option(help="mead=DIR, crema=DIR, hdtf=DIR: prepared data sets.")] = None,
    limit: Limit = None,
    seed: int = 0,
    device: Device = "auto",
    devices: Devices = None,
    form: Annotated[Literal["md", "text", "tex", "csv", "json"], typer.Option("--format")] = "md",
    as_json: Json = False,
) -> None:
    """Run every row of a published table or figure and put them side by side. Finished rows are kept."""
    from bench.cli.work import reproduce_plan

    reproduce_plan(name, synth, data or [], limit, seed, devices or device, form, as_json)


@app.command()
def train(
    name: Annotated[str, typer.Argument(help="What to train; `bench list trainings`.")],
    stage: Annotated[int | None, typer.Option(help="Stage of a method's training.")] = None,
    protocol: Annotated[
        str | None, typer.Option(help="Whose training clips to learn from; `bench list protocols`.")
    ] = None,
    data: Data = None,
    out: Annotated[
        Path | None,
        typer.Option(
            help="FILE.safetensors, checkpoint and log go beside it; a folder for synth_experts, synth_encoders."
        ),
    ] = None,
    settings: Annotated[list[str] | None, typer.Option("--set", help="key=value, a setting of the training.")] = None,
    seed: int = 0,
    as_json: Json = False,
) -> None:
    """Train networks of this suite. An interrupted training goes on from its last checkpoint."""
    from bench.cli.training import run_training

    run_training(name, stage, protocol, data, out, settings or [], seed, as_json)


@app.command()
def calibrate(
    out: Annotated[Path, typer.Option(help="Folder for the report, its figures and calibration.json.")] = Path(
        "results/calibration"
    ),
    metrics: MetricNames = None,
    device: Device = "auto",
    pin: Annotated[bool, typer.Option("--pin", help="Maintainers: make the values found the expected ones.")] = False,
    as_json: Json = False,
) -> None:
    """Check this installation against pinned values, and every metric and expert against exact truth; two to three minutes."""
    from bench.cli.calibrating import calibrate_here
    from bench.cli.work import split_names

    calibrate_here(out, split_names(metrics), device, pin, as_json)


@app.command()
def parity(
    backbone: Annotated[Literal["hallo", "memo", "wan_vocal"], typer.Argument(help="Whose reference dumps.")],
    golden: Annotated[Path, typer.Option(help="Folder with the reference dumps.")],
    as_json: Json = False,
) -> None:
    """Our backbones against tensors, key names and tables of the official code; exit code 1 above 1e-4 relative."""
    from bench.cli.parity import check_parity

    check_parity(backbone, golden, as_json)


@app.command()
def measure(
    method: Annotated[str, typer.Argument(help="hallo, memo, auhead_hallo, auhead_memo, stableavatar or iuface.")],
    device: Device = "auto",
    size: Annotated[int, typer.Option(min=64, help="Side of the frames in pixels, a multiple of 64.")] = 512,
    frames: Annotated[int | None, typer.Option(min=1, help="Frames of a clip; as published: 16, or 81.")] = None,
    train: Annotated[bool, typer.Option(help="Take a training step too.")] = True,
    videos: Annotated[
        bool,
        typer.Option(help="stableavatar, iuface: make whole videos too, minutes on a large GPU, days on a processor."),
    ] = True,
    dry: Annotated[bool, typer.Option("--dry", help="Only say what it holds and needs; allocates nothing.")] = False,
    out: Annotated[Path, typer.Option(help="Table that gets the rows.")] = Path("results/performance.md"),
    as_json: Json = False,
) -> None:
    """Speed and memory of a full-size method on this machine, with random weights: no download needed."""
    from bench.cli.measuring import measure_here

    measure_here(method, device, size, frames, train, videos, dry, out, as_json)


@app.command("mag-ratios")
def mag_ratios(
    method: Annotated[str, typer.Argument(help="stableavatar or iuface.")],
    reference: Annotated[Path, typer.Option(help="Image or video whose first frame is the picture.")],
    audio: Annotated[Path, typer.Option(help="Speech, as long as a window (3.3 s) or longer.")],
    out: Annotated[Path, typer.Option(help="FILE.json for `--set mag_ratios=FILE.json`.")],
    settings: Annotated[list[str] | None, typer.Option("--set", help="key=value, a setting of the method.")] = None,
    synth: Annotated[bool, typer.Option("--synth", help="The small network of the synthetic world.")] = False,
    device: Device = "auto",
    as_json: Json = False,
) -> None:
    """MagCache's ratios of a network and its denoising steps, measured on one video; `METHOD@cached` takes them."""
    from bench.cli.measuring import write_mag_ratios

    write_mag_ratios(method, reference, audio, out, settings or [], synth, device, as_json)


@app.command()
def verify(
    files: Annotated[list[Path], typer.Argument(help="Exported videos or images.")],
    as_json: Json = False,
) -> None:
    """Read the credentials of exported files; exit code 1: changed after signing, 3: there are none."""
    from bench.cli.verifying import verify_files

    verify_files(files, as_json)


@app.command()
def doctor(as_json: Json = False) -> None:
    """What works on this machine, what is missing, how to get it."""
    from bench.cli.checkup import checkup

    checkup(as_json)


def main() -> int:
    """Run the command line; the exit code is 0 (done), 1 (some cases failed) or 2 (the user must fix something)."""
    try:
        return app(standalone_mode=False) or 0  # typer.Exit(code) comes back as the code itself.
    except BenchError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("stopped; what is done is kept, the same command continues", file=sys.stderr)
        return 130
    except Exception as error:
        # Click's own errors (an unknown option, a missing argument) know how to print themselves.
        if hasattr(error, "show") and hasattr(error, "exit_code"):
            error.show()
            return 2
        raise
