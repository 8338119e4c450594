"""`study make` and `study tally`: which of two videos do people prefer?"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bench.cli.output import print_json

study = typer.Typer(help="A blind comparison by people (AUHead Table 4).", no_args_is_help=True)

Json = Annotated[bool, typer.Option("--json", help="Print one JSON document to stdout and nothing else there.")]


@study.command()
def make(
    runs: Annotated[list[Path], typer.Argument(help="Folders of two or more finished runs of one protocol.")],
    out: Annotated[Path | None, typer.Option(help="Folder of the study; by default results/studies/ID.")] = None,
    clips: Annotated[int, typer.Option(min=1, help="Cases to show, spread over people and emotions.")] = 32,
    checks: Annotated[int, typer.Option(min=0, help="Attention checks: pairs in which one side is ruined.")] = 4,
    seed: Annotated[int, typer.Option(help="Decides cases, order and sides.")] = 0,
    title: Annotated[str, typer.Option(help="Shown to raters; must not name a method.")] = "Which video is better?",
    contact: Annotated[str, typer.Option(help="Where raters send their file, for example an address.")] = "",
    as_json: Json = False,
) -> None:
    """Make a page for raters (page/, send it whole) and its key (key.json, keep it)."""
    from bench.progress import make_progress
    from bench.study.make import make_study

    made = make_study(
        runs, out, progress=make_progress(), clips=clips, checks=checks, seed=seed, title=title, contact=contact
    )
    if as_json:
        print_json(
            {"study": made.key.study, "page": str(made.page), "key": str(made.key_file), "pairs": len(made.key.pairs)}
        )
        return
    print(f"{made.page}: {len(made.key.pairs)} pairs; send raters the whole folder, they open index.html")
    print(f"{made.key_file}: says which video is whose; keep it")


@study.command()
def tally(
    files: Annotated[list[Path], typer.Argument(help="Files that raters sent back.")],
    key: Annotated[Path | None, typer.Option(help="The study's key; by default results/studies/ID/key.json.")] = None,
    as_json: Json = False,
) -> None:
    """Preference shares with intervals and agreement; exit code 1 where a file was refused, with its reason."""
    from bench.study.tally import as_markdown, tally_files

    found = tally_files(files, key)
    if as_json:
        print_json(found.model_dump(mode="json"))
    else:
        print(as_markdown(found))
    if found.refused:
        raise typer.Exit(1)
