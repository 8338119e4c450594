"""The model card. Oracle: the files in the repository."""

import re
import subprocess
from pathlib import Path

from safetensors.numpy import load_file

from bench.model_card import CARD, FOLDERS, renewed
from bench.weights import SHIPPED_ROOT


def test_the_card_describes_the_files_that_are_here():
    """Oracle: its tables, made again; every shipped file has a row with a command."""
    card = CARD.read_text("utf-8")
    assert renewed(card) == card, "MODEL_CARD.md: write its tables again with python -m bench.model_card"
    listed = subprocess.run(
        ["git", "ls-files", *FOLDERS.values()], cwd=SHIPPED_ROOT, capture_output=True, text=True, check=True
    )
    files = {Path(line).stem for line in listed.stdout.splitlines() if line.endswith(".safetensors")}
    commands = dict(re.findall(r"^\| `(\w+)` \|.*\| `(python -m bench train [^`]+)` \|$", card, re.MULTILINE))
    assert commands.keys() == files


def test_numbers_are_counted_as_they_load():
    """Oracle: safetensors' own loader."""
    card = CARD.read_text("utf-8")
    tensors = load_file(SHIPPED_ROOT / FOLDERS["metrics"] / "synth_expression.safetensors")
    count = sum(tensor.size for tensor in tensors.values())
    assert re.search(rf"^\| `synth_expression` \| [^|]+ \| {count:,} \|", card, re.MULTILINE)
