"""The stored run of a plan's row, and the command that makes it where there is none."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from bench import registry
from bench.leaderboard import StoredRun
from bench.media.errors import UserError
from bench.plan import configure
from protocols.plan_spec import PlanRow, command, run_arguments, score_arguments
from protocols.published import read_spec

OWN_WEIGHTS = ("checkpoint", "adapter", "stage1_adapter")
"""Settings that name weights of the user's: on real data a row may be made with them, since those of AUHead and IUFace were
never published. Small checkpoints come with the suite, so that a synthetic row is made with these alone."""


def run_of_row(row: PlanRow, protocol: str, runs: Iterable[StoredRun]) -> StoredRun | None:
    """The run that makes a plan's row on a protocol: of several one made here, with published weights where there are any (with
    weights of one's own where the print has a star: trained again on the same data), with most cases, of the smallest seed."""
    fitting = [run for run in runs if is_run_of(run, row, protocol)]

    def order(run: StoredRun) -> tuple:
        own = any(run.manifest["config"].get(name) for name in OWN_WEIGHTS)
        cases, seed = run.summary["n"], run.manifest["seed"]
        return "submitted" in run.manifest, own != ("*" in row.label), -cases, seed, run.folder

    return min(fitting, key=order, default=None)


def is_run_of(run: StoredRun, row: PlanRow, protocol: str) -> bool:
    """Whether a run is a row's: its method, with the row's settings and otherwise its defaults, but for OWN_WEIGHTS."""
    manifest = run.manifest
    if manifest["method"] != row.method:
        return False
    if manifest["videos"]:
        return not row.settings
    if row.method not in registry.methods():
        return False
    settings = {key: str(value) for key, value in row.settings.items()}
    try:
        wanted = configure(row.method, registry.method(row.method), settings, registry.protocol(protocol)())
    except UserError:  # The method has lost the setting; `filling_command` says so in the cell.
        return False
    expected = wanted.model_dump(mode="json")
    free = () if run.summary["synthetic"] else OWN_WEIGHTS
    # A setting that the method has gained since counts as its default.
    return row.settings.keys() <= manifest["config"].keys() and all(
        key in free or expected.get(key, value) == value for key, value in manifest["config"].items()
    )


def filling_command(row: PlanRow, protocol: str, synthetic: bool, extra: Sequence[str] = ()) -> str:
    """The command that makes a row's run, or scores its videos where its method is not here; first what is in its way."""
    data = None if synthetic else f"PREPARED/{read_spec(protocol).dataset}"
    known, problem = row.method in registry.methods(), f"no method {row.method} here: "
    if known:
        settings, problem = {key: str(value) for key, value in row.settings.items()}, ""
        try:
            method = registry.method(row.method)
            method.required_weights(configure(row.method, method, settings, registry.protocol(protocol)()))
        except UserError as error:  # The method has lost the setting, or weights must be trained first.
            problem = f"{error}: "
    arguments = (run_arguments if known or row.settings else score_arguments)(row, protocol, data)
    return problem + command([*arguments, *extra])
