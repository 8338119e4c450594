"""The model card. Oracle: the files in the repository."""

import re
import subprocess
from pathlib import Path

import pytest
from safetensors.numpy import load_file

from bench.model_card import CARD, FOLDERS, renewed
from bench.weights import SHIPPED_ROOT, Weights


@pytest.fixture(scope="module")
def files() -> set[str]:
    """Names of the weights that the repository holds."""
    listed = subprocess.run(
        ["git", "ls-files", *FOLDERS.values()], cwd=SHIPPED_ROOT, capture_output=True, text=True, check=True
    )
    return {Path(line).stem for line in listed.stdout.splitlines() if line.endswith(".safetensors")}


def test_what_git_is_said_to_restore_is_what_it_holds(files):
    """Oracle: git. Of what is not there yet the lock has the command that trains it, and no other."""
    restored = {name for name, entry in Weights().files.items() if (entry.how or "").startswith("git restore")}
    assert restored == files


def test_the_card_describes_the_files_that_are_here(files):
    """Oracle: its tables, made again; every shipped file has a row with a command."""
    card = CARD.read_text("utf-8")
    assert renewed(card) == card, "MODEL_CARD.md: write its tables again with python -m bench.model_card"
    commands = dict(re.findall(r"^\| `(\w+)` \|.*\| `(python -m bench train [^`]+)` \|$", card, re.MULTILINE))
    assert commands.keys() == files


def test_numbers_are_counted_as_they_load():
    """Oracle: safetensors' own loader."""
    card = CARD.read_text("utf-8")
    tensors = load_file(SHIPPED_ROOT / FOLDERS["metrics"] / "synth_expression.safetensors")
    count = sum(tensor.size for tensor in tensors.values())
    assert re.search(rf"^\| `synth_expression` \| [^|]+ \| {count:,} \|", card, re.MULTILINE)
