"""`results export` and `results import`: a run as one checked archive."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bench.cli.output import print_json

results = typer.Typer(help="Hand a run to others as one checked archive, or take one in.", no_args_is_help=True)

Json = Annotated[bool, typer.Option("--json", help="Print one JSON document to stdout and nothing else there.")]


@results.command("export")
def export_(
    run: Annotated[Path, typer.Argument(help="Folder of a finished run.")],
    out: Annotated[Path | None, typer.Option(help="Archive; by default PROTOCOL-METHOD-FINGERPRINT.zip here.")] = None,
    videos: Annotated[
        bool, typer.Option("--videos", help="With the scored videos; mind the terms of the data set.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Pack a run's settings, per-case results and summary, without this machine's paths."""
    from bench.archive import export_archive
    from bench.media.clip import hash_file

    file = export_archive(run, out, with_videos=videos)
    digest = hash_file(file)
    if as_json:
        print_json({"archive": str(file), "sha256": digest, "bytes": file.stat().st_size})
    else:
        print(f"{file}: {file.stat().st_size / 1e6:.1f} MB, sha256 {digest}")


@results.command("import")
def import_(
    archive: Annotated[Path, typer.Argument(help="File made by `results export`.")],
    data: Annotated[Path | None, typer.Option(help="Prepared data set, to check the cases against.")] = None,
    as_json: Json = False,
) -> None:
    """Check an archive and put it below results/runs; a changed or outdated one is refused with the reason."""
    from bench.archive import import_archive
    from bench.weights import Weights

    taken = import_archive(archive, Weights(), data)
    if as_json:
        print_json({"run": str(taken.folder), "checked": taken.checked, "unchecked": taken.unchecked})
        return
    print(f"{taken.folder}")
    for line in taken.checked:
        print(f"  checked: {line}")
    for line in taken.unchecked:
        print(f"  NOT checked: {line}")
