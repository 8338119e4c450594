"""`verify`."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import typer

from bench.cli.output import print_json

TAMPERED, MISSING = 1, 3
"""Exit codes beside 0 (every file carries credentials that hold) and 2 (a file cannot be read): the first that applies of
some file was changed after signing, some file carries none."""


def verify_files(files: list[Path], as_json: bool) -> None:
    """Read what every file says of itself and print it."""
    from bench.credentials import read_credentials
    from bench.media.errors import MediaError, UserError

    found = {}
    for file in files:
        try:
            found[file] = read_credentials(file)
        except MediaError as error:
            raise UserError(str(error)) from error
    if as_json:
        print_json({"files": [{"file": str(file), **asdict(one)} for file, one in found.items()]})
    else:
        for file, one in found.items():
            print(f"{file}: {_described(one)}")
    states = {one.state for one in found.values()}
    if states != {"valid"}:
        raise typer.Exit(TAMPERED if "tampered" in states else MISSING)


def _described(credentials) -> str:
    """What a person wants to know, a line each."""
    if credentials.state == "missing":
        return "no credentials. They are lost when a file is encoded again: this says nothing about where it is from"
    lines = ["valid: unchanged since it was signed"]
    if credentials.state == "tampered":
        lines = [f"TAMPERED: {'; '.join(credentials.problems)}"]
    whose = (
        "the certificate of this machine" if credentials.known_signer else "not vouched for here: anyone can make one"
    )
    lines.append(f"signed by {credentials.signer} ({whose})" if credentials.signer else "signer unknown")
    lines.append(_SOURCES.get(credentials.source_type, f"source type {credentials.source_type}"))
    lines += [f"{name}: {value}" for name, value in (credentials.claims or {}).items()]
    return "\n  ".join(lines)


_SOURCES = {
    "trainedAlgorithmicMedia": "made by a trained network (trainedAlgorithmicMedia)",
    "algorithmicMedia": "rendered by a program, not by a trained network (algorithmicMedia)",
    None: "nothing is claimed about how it was made",
}
