"""The tables of MODEL_CARD.md, from the weights lock and the files themselves: `python -m bench.model_card` writes them again.

A file's metadata says for how long it was trained, to which loss, with which seed, on which version of the synthetic world
and, for the methods, with which command; the lock has the command of the others.
"""

from __future__ import annotations

import json
import re
from math import prod
from pathlib import Path

from bench.media.clip import hash_file
from bench.store import write_atomically
from bench.weights import SHIPPED_ROOT, WeightFile, Weights

CARD = SHIPPED_ROOT / "MODEL_CARD.md"
FOLDERS = {"methods": "methods/synth/weights/", "metrics": "metrics/synth/weights/"}
FIRST_STAGE = "auhead_stage1"
"""Key of the metadata of `methods.auhead.stage1.weights`."""
HEAD = "| checkpoint | what it is | numbers | kB | sha256 | trained | command |\n|---|---|--:|--:|---|---|---|"


def table(group: str) -> str:
    """Markdown: a row for every checkpoint of the methods, or of the metrics, that this version ships."""
    rows = [
        _row(entry, SHIPPED_ROOT / entry.shipped)
        for entry in Weights().files.values()
        if entry.shipped and entry.shipped.startswith(FOLDERS[group]) and _is_committed(entry)
    ]
    return "\n".join([HEAD, *rows])


def renewed(card: str) -> str:
    """The card's text with its tables as they should be."""
    for group in FOLDERS:
        begin, end = f"<!-- {group} -->\n", f"<!-- end of {group} -->"
        card = re.sub(f"(?s){begin}.*{end}", lambda _, b=begin, e=end, g=group: f"{b}{table(g)}\n{e}", card)
    return card


def _is_committed(entry: WeightFile) -> bool:
    """Whether the repository holds the file, not only a machine that has trained it: then git can restore it."""
    return (entry.how or "").startswith("git restore") and (SHIPPED_ROOT / entry.shipped).is_file()


def _row(entry: WeightFile, path: Path) -> str:
    from safetensors import safe_open

    from methods.tensor_files import SCALE

    with safe_open(path, "np") as file:
        noted = file.metadata() or {}
        numbers = sum(prod(file.get_slice(name).get_shape()) for name in list(file.keys()) if not name.endswith(SCALE))
    command = noted.get("command") or (entry.how or "").partition(", or ")[2]
    cells = (
        f"`{entry.name}`", entry.what, f"{numbers:,}", f"{path.stat().st_size / 1e3:,.0f}", f"`{hash_file(path)[:12]}`",
        _trained(noted), f"`{command}`",
    )  # fmt: skip
    return f"| {' | '.join(cells)} |"


def _trained(noted: dict[str, str]) -> str:
    """What a file's metadata says of its training; AUHead's first stage says it among its settings."""
    if FIRST_STAGE in noted:
        training = json.loads(noted[FIRST_STAGE])["training"]
        noted = noted | {"steps": training["steps_done"], "seed": training["seed"]}
    forms = {"steps": "{} steps", "minutes": "{} minutes", "loss": "loss {}", "seed": "seed {}"}
    facts = [form.format(noted[name]) for name, form in forms.items() if name in noted]
    return ", ".join([*facts, *([noted["world"].split(" ")[0]] if "world" in noted else [])])


if __name__ == "__main__":
    write_atomically(CARD, renewed(CARD.read_text("utf-8")))
