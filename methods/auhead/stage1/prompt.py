"""The instructions before the question (AUHead, appendix C), in our words; the AUs' numbers and names are the paper's.

`read_prompt` takes the instructions from a file instead, for example the appendix's own text without its two questions.
"""

from __future__ import annotations

from pathlib import Path

from bench.media.errors import UserError

AU_NAMES = (
    "left eye closure", "right eye closure", "left lid raise", "right lid raise", "left brow lower", "right brow lower",
    "left brow raise", "right brow raise", "jaw-driven mouth opening", "lower lip slide (left)",
    "lower lip slide (right)", "left lip corner raise", "right lip corner raise", "left lip corner stretch",
    "right lip corner stretch", "upper lip suck", "lower lip suck", "jaw thrust", "upper lip raise",
    "lower lip depress", "chin raise", "lip pucker", "cheek puff", "nose wrinkle",
)  # fmt: skip
"""FEAFA's units as the appendix words them, AU0 to AU23."""

INSTRUCTIONS = (
    "The audio is sampled at 16 kHz. Take it in steps of 3200 samples, 5 per second, and describe the speaker's face at "
    "each step by 24 Action Units (AUs), numbered as follows. "
    + "; ".join(f"AU{index} {name}" for index, name in enumerate(AU_NAMES))
    + ". An AU is at rest at 0 and fully contracted at 1; give it two decimals. Name only the AUs that are active, each "
    "with its value, in ascending order: [[0, 0.12], [1, 0.1]] says that AU0 is 0.12, AU1 is 0.1 and all others are 0."
)


def read_prompt(path: Path | None) -> str:
    """Instructions from a UTF-8 file; None gives ours.

    Raises:
        UserError: there is no such file, or nothing in it.
    """
    if path is None:
        return INSTRUCTIONS
    if not path.is_file():
        raise UserError(f"prompt {path}: no such file; give a text file with the instructions, without the question")
    if not (text := path.read_text("utf-8").strip()):
        raise UserError(f"prompt {path}: the file is empty; give a text file with the instructions")
    return text
