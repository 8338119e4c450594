"""HDTF (Zhang et al., CVPR 2021): lists of time ranges and rectangles over videos that everybody downloads.

HDTF_dataset/{RD,WDA,WRA}_{annotion_time,crop_wh,resolution}.txt of MRzzm/HDTF lie in the root; `annotion_time` is spelled
so there. A line of crop_wh is NAME_PART.mp4, left, width, top, height, in pixels of a video as tall as `resolution`
says. The videos lie anywhere below the root, in one of three forms, the first that is there being taken:

- Radio11.mp4 or RD_Radio11.mp4: the whole video; cut and cropped here;
- Radio11_0.mp4 or RD_Radio11_0.mp4: cut into parts, as step 2 of the data set's README does; cropped here;
- RD_Radio11_000.mp4: cut and cropped, as the data set's download.py names them; taken as it is.

15 of the 436 parts have no rectangle, and of 5 more the rectangle does not fit the annotated resolution; the data set's
own downloader drops both kinds, and so do we.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from bench.media.errors import UserError
from protocols.layouts.source import Found, Source, Window, check_root, is_video, one_per_stem, relative, visible
from protocols.manifest import Skipped

SUBSETS = ("RD", "WDA", "WRA")
LISTS = ("annotion_time", "crop_wh", "resolution")
EXPECTED = (
    "HDTF_dataset/ with RD_annotion_time.txt, RD_crop_wh.txt, RD_resolution.txt, the same of WDA and WRA, and videos"
)
CROP = "the rectangle of crop_wh.txt"
ASPECT = 16 / 9


class Part(Source):
    """A listed part, before it is known which file holds it: `video` is the listed name without suffix."""

    index: int


def find(root: Path) -> Found:
    """All listed parts whose video is below `root`.

    Raises:
        UserError: the lists are not there or cannot be read.
    """
    check_root(root, _is_root, EXPECTED)
    found = Found()
    videos = one_per_stem(_videos(root), ".mp4", root, found)
    for part in _parts(root, found):
        if source := _at(part, videos, root):
            found.sources.append(source)
    found.sources.sort(key=lambda source: source.id)
    return found


def missing(root: Path, prepared: set[str]) -> tuple[str, ...]:
    """Listed parts that are not in `prepared` (clip ids)."""
    return tuple(sorted({part.id for part in _parts(root, Found())} - prepared))


def _is_root(folder: Path) -> bool:
    return folder.name != "HDTF_dataset" and _lists(folder) is not None


def _lists(root: Path) -> Path | None:
    """The folder with the lists."""
    folders = (root / "HDTF_dataset", root)
    return next((folder for folder in folders if (folder / "RD_annotion_time.txt").is_file()), None)


def _videos(root: Path) -> Iterator[Path]:
    for path in visible(root):
        if path.is_dir():
            yield from _videos(path)
        elif is_video(path):
            yield path


def _parts(root: Path, found: Found) -> list[Part]:
    """Every part with its time range and rectangle; those the lists do not describe go to `found.left_out`."""
    parts = []
    for subset in SUBSETS:
        times, windows, heights = (_read(_lists(root) / f"{subset}_{name}.txt") for name in LISTS)
        for video, ranges in times.items():
            for index, text in enumerate(ranges):
                id, key = f"{subset}_{video}_{index:03d}", f"{video}_{index}"
                window = _window(windows.get(key), heights.get(video))
                if isinstance(window, str):
                    found.left_out.append(Skipped(source=f"{subset}_{video} {text}", reason=window))
                    continue
                start, stop = _range(text, id)
                identity = f"{subset}_{_speaker(subset, video)}"
                parts.append(
                    Part(id=id, video=video, index=index, start=start, stop=stop, crop=window, identity=identity)
                )
    return parts


def _read(path: Path) -> dict[str, list[str]]:
    """Name without .mp4 -> the other columns."""
    if not path.is_file():
        raise UserError(f"{path}: absent; take the lists from github.com/MRzzm/HDTF, folder HDTF_dataset")
    lines = (line.split() for line in path.read_text("utf-8-sig").splitlines())
    return {line[0].removesuffix(".mp4"): line[1:] for line in lines if line}


def _window(numbers: list[str] | None, resolution: list[str] | None) -> Window | str:
    """The rectangle, or why there is none."""
    if numbers is None:
        return "crop_wh.txt gives no rectangle for this part"
    try:
        left, width, top, height = map(int, numbers)
        of_height = int(*resolution or ())
    except (ValueError, TypeError):
        return f"the lists cannot be read: rectangle {numbers}, resolution {resolution}"
    if top + height > of_height or left + width > round(of_height * ASPECT):
        return f"the rectangle ({left}, {top}, {width} x {height}) does not fit the annotated resolution {of_height}"
    return Window(left=left, top=top, width=width, height=height, of_height=of_height)


def _range(text: str, id: str) -> tuple[float, float]:
    """'01:30-02:30' -> (90.0, 150.0)."""
    match = re.fullmatch(r"((?:\d+:)?\d+:\d+)-((?:\d+:)?\d+:\d+)", text)
    start, stop = (_seconds(clock) for clock in match.groups()) if match else (0.0, 0.0)
    if stop <= start:
        raise UserError(f"{id}: time range {text!r} of annotion_time.txt is not mm:ss-mm:ss; take the lists again")
    return start, stop


def _seconds(clock: str) -> float:
    total = 0
    for field in clock.split(":"):
        total = 60 * total + int(field)
    return float(total)


def _speaker(subset: str, video: str) -> str:
    """Whose video it is: AmyKlobuchar0 and AmyKlobuchar1 are one person; Radio1 and Radio2 are only numbered."""
    return video if subset == "RD" else video.rstrip("0123456789")


def _at(part: Part, videos: dict[str, Path], root: Path) -> Source | None:
    """The part in the first form that is there."""
    subset = part.id.split("_")[0]
    whole = part.start, part.stop, part.crop
    cut = 0.0, None, part.crop
    forms = {
        part.video: whole,
        f"{subset}_{part.video}": whole,
        f"{part.video}_{part.index}": cut,
        f"{subset}_{part.video}_{part.index}": cut,
        part.id: (0.0, None, "whole"),
    }
    stem = next((stem for stem in forms if stem in videos), None)
    if stem is None:
        return None
    start, stop, crop = forms[stem]
    return Source(
        id=part.id, video=relative(videos[stem], root), soundtrack=True, start=start, stop=stop, crop=crop,
        identity=part.identity,
    )  # fmt: skip
