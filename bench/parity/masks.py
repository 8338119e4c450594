"""hallo_masks*.safetensors: drawn boxes, their enlargement, and the three soft regions made of them."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import numpy as np

from bench.media.errors import UserError
from bench.parity.files import read_tensors
from bench.parity.report import Report


def check(folder: Path, report: Report) -> None:
    paths = sorted(folder.glob("hallo_masks*.safetensors"))
    if not paths:
        report.unchecked.append("no hallo_masks*.safetensors: face and lip regions")
    for path in paths:
        _check_file(path, report)


def _check_file(path: Path, report: Report) -> None:
    from methods.conditioning.masks import expand_box, split_regions

    tensors, metadata = read_tensors(path)
    if absent := [name for name in ("in/face", "in/lip") if name not in tensors]:
        raise UserError(f"{path}: has no tensor {absent[0]!r}, of which the regions are made")
    for part in ("face", "lip"):
        # "[x0,x1,y0,y1] expand RATIO": the box before; the enlarged box stands under PART_region.
        if match := re.fullmatch(r"(\[.*\]) expand ([\d.]+)", metadata.get(f"{part}_in", "")):
            x0, x1, y0, y1 = ast.literal_eval(match[1])
            height, width = tensors[f"in/{part}"].shape
            box = (x0 / width, y0 / height, x1 / width, y1 / height)
            x0, y0, x1, y1 = expand_box(box, float(match[2]), width, height)
            report.compare(f"{path.name}:{part}_region", (x0, x1, y0, y1), ast.literal_eval(metadata[f"{part}_region"]))
    drawn_face, drawn_lip = tensors["in/face"].numpy(), tensors["in/lip"].numpy()
    background, face, lip = split_regions(drawn_face, drawn_lip)
    _, face_blur, _ = split_regions(drawn_face, np.zeros_like(drawn_lip))  # without lips nothing is taken from the face
    ours = {"face_blur": face_blur, "sep_background": background, "sep_face": face, "sep_lip": lip}
    reference = {name.removeprefix("out/"): tensor for name, tensor in tensors.items() if name.startswith("out/")}
    report.compare_all(ours, reference, f"{path.name}:out/")
    if "edge" in metadata:
        report.unchecked.append(f"{path.name}: boxes at the picture's edge ('edge'): their ratios are not recorded")
