"""Action Units: the vocabularies of the tools in use, and AUTrack, their values over time.

| vocabulary | columns | values | from |
|---|---|---|---|
| `feafa24` | 24 | [0, 1] | FEAFA+ (Yan et al., 2019; Gan et al., 2022), ordered AU0 to AU23 as AUHead, appendix C |
| `openface35` | 17 `_r`, then 18 `_c` | [0, 5], {0, 1} | OpenFace 2 (Baltrusaitis et al., 2018), ordered as its CSV |
| `openface17`, `openface18` | its two parts | | intensity and presence; trained apart, they may disagree |
| `libreface24` | 12 `au_N`, then 12 `au_N_intensity` | {0, 1}, [0, 5] | LibreFace 0.2.0 (Chang et al., 2024) |
| `libreface12`, `libreface12_intensity` | its two parts | | presence (AUs of BP4D) and intensity (AUs of DISFA) |
| `arkit52` | 52 | [0, 1] | blendshapes of mediapipe's FaceLandmarker, in its order (`_neutral` first, no `tongueOut`) |

A value is NaN where no face was found. Left and right are those of the person. Files are read by their columns: a CSV
of OpenFace (whose header has stray spaces), of LibreFace, or of this suite, and a JSON of this suite.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bench.media.errors import MediaError
from bench.media.landmarks import BLENDSHAPES

# -- vocabularies ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class FeafaUnit:
    """One of FEAFA's 24 Action Units and Action Descriptors."""

    index: int
    """Column in `feafa24`: the number in AUHead's AU0 to AU23 (FEAFA itself counts from 1)."""
    name: str
    """Short name, the column name in files."""
    feafa: str
    """FEAFA's own name."""
    facs: tuple[int, ...]
    """FACS numbers that describe the same movement, empty where FACS has none of its own; FACS does not tell sides."""


FEAFA_UNITS: tuple[FeafaUnit, ...] = tuple(
    FeafaUnit(index, name, feafa, facs)
    for index, (name, feafa, facs) in enumerate(
        (
            ("eye_close_left", "Left Eye Close", (43, 45)),
            ("eye_close_right", "Right Eye Close", (43, 45)),
            ("lid_raise_left", "Left Upper Lid Raiser", (5,)),
            ("lid_raise_right", "Right Upper Lid Raiser", (5,)),
            ("brow_lower_left", "Left Brow Lowerer", (4,)),
            ("brow_lower_right", "Right Brow Lowerer", (4,)),
            ("brow_raise_left", "Left Outer Brow Raiser", (2,)),
            ("brow_raise_right", "Right Outer Brow Raiser", (2,)),
            ("jaw_drop", "Jaw Drop", (26, 27)),
            ("jaw_left", "Left Jaw Sideways", (30,)),
            ("jaw_right", "Right Jaw Sideways", (30,)),
            ("lip_corner_left", "Left Lip Corner Puller", (12,)),
            ("lip_corner_right", "Right Lip Corner Puller", (12,)),
            ("lip_stretch_left", "Left Lip Stretcher", (20,)),
            ("lip_stretch_right", "Right Lip Stretcher", (20,)),
            ("upper_lip_suck", "Upper Lip Suck", (28,)),
            ("lower_lip_suck", "Lower Lip Suck", (28,)),
            ("jaw_thrust", "Jaw Thrust", (29,)),
            ("upper_lip_raise", "Upper Lip Raiser", (10,)),
            ("lower_lip_depress", "Lower Lip Depressor", (16,)),
            ("chin_raise", "Chin Raiser", (17,)),
            ("lip_pucker", "Lip Pucker", (18,)),
            ("cheek_puff", "Puff", (34,)),
            ("nose_wrinkle", "Nose Wrinkler", (9,)),
        )
    )
)
OPENFACE_R = (1, 2, 4, 5, 6, 7, 9, 10, 12, 14, 15, 17, 20, 23, 25, 26, 45)
"""FACS numbers of OpenFace's intensities, in its order."""
OPENFACE_C = (1, 2, 4, 5, 6, 7, 9, 10, 12, 14, 15, 17, 20, 23, 25, 26, 28, 45)
"""FACS numbers of OpenFace's presences, in its order: the same and AU28."""
LIBREFACE_DETECTION = (1, 2, 4, 6, 7, 10, 12, 14, 15, 17, 23, 24)
"""FACS numbers LibreFace detects (the 12 of BP4D); sigmoid output of at least 0.5 reads 1."""
LIBREFACE_INTENSITY = (1, 2, 4, 5, 6, 9, 12, 15, 17, 20, 25, 26)
"""FACS numbers whose intensity LibreFace estimates (the 12 of DISFA)."""


@dataclass(frozen=True)
class Vocabulary:
    """Names and ranges of the columns of an AUTrack."""

    name: str
    names: tuple[str, ...]
    """Column names, as they stand in files."""
    facs: tuple[tuple[int, ...], ...]
    """FACS numbers of every column, empty where there is none."""
    high: tuple[float, ...]
    """Largest value of every column; the smallest is 0."""
    binary: tuple[bool, ...]
    """Whether a column is 0 or 1 and nothing between."""

    def __len__(self) -> int:
        return len(self.names)

    def index(self, name: str) -> int:
        """Column of this name."""
        return self.names.index(name)


def _uniform(name: str, names: Sequence[str], facs: Sequence[tuple[int, ...]], high: float, binary: bool) -> Vocabulary:
    count = len(names)
    return Vocabulary(name, tuple(names), tuple(facs), (high,) * count, (binary,) * count)


def _numbered(name: str, pattern: str, numbers: Sequence[int], high: float, binary: bool) -> Vocabulary:
    return _uniform(name, [pattern.format(n) for n in numbers], [(n,) for n in numbers], high, binary)


def _joined(name: str, first: Vocabulary, second: Vocabulary) -> Vocabulary:
    fields = ("names", "facs", "high", "binary")
    return Vocabulary(name, *(getattr(first, field) + getattr(second, field) for field in fields))


_OPENFACE17 = _numbered("openface17", "AU{:02d}_r", OPENFACE_R, 5.0, False)
_OPENFACE18 = _numbered("openface18", "AU{:02d}_c", OPENFACE_C, 1.0, True)
_LIBREFACE12 = _numbered("libreface12", "au_{}", LIBREFACE_DETECTION, 1.0, True)
_LIBREFACE12_INTENSITY = _numbered("libreface12_intensity", "au_{}_intensity", LIBREFACE_INTENSITY, 5.0, False)

VOCABULARIES: dict[str, Vocabulary] = {
    vocabulary.name: vocabulary
    for vocabulary in (
        _uniform("feafa24", [u.name for u in FEAFA_UNITS], [u.facs for u in FEAFA_UNITS], 1.0, False),
        _joined("openface35", _OPENFACE17, _OPENFACE18),
        _OPENFACE17,
        _OPENFACE18,
        _joined("libreface24", _LIBREFACE12, _LIBREFACE12_INTENSITY),
        _LIBREFACE12,
        _LIBREFACE12_INTENSITY,
        _uniform("arkit52", BLENDSHAPES, [()] * len(BLENDSHAPES), 1.0, False),
    )
}
"""Every vocabulary by name; one that holds the columns of another comes before it."""


# -- the track ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class AUTrack:
    """Action Units over time: row t is the face at t / rate seconds."""

    values: np.ndarray
    """float32 (T, A), T >= 1; NaN where no face was found."""
    rate: float
    """Rows per second."""
    vocabulary: str
    """Name in VOCABULARIES; it has A columns."""

    def __post_init__(self) -> None:
        columns = len(vocabulary(self.vocabulary))
        values = self.values
        if values.dtype != np.float32 or values.ndim != 2 or values.shape[1] != columns or not len(values):
            raise ValueError(
                f"values of {self.vocabulary} must be float32 (T, {columns}), T >= 1, got {values.dtype} {values.shape}"
            )
        if not self.rate > 0:
            raise ValueError(f"rate must be above 0, got {self.rate}")

    def __len__(self) -> int:
        return len(self.values)

    def __getitem__(self, name: str) -> np.ndarray:
        """One column, float32 (T,)."""
        return self.values[:, vocabulary(self.vocabulary).index(name)]

    @property
    def names(self) -> tuple[str, ...]:
        """Column names."""
        return vocabulary(self.vocabulary).names

    @property
    def seconds(self) -> float:
        """How long it lasts: every row stands for 1 / rate seconds."""
        return len(self) / self.rate

    def part(self, name: str) -> AUTrack:
        """The columns of a vocabulary that is part of this one, for example `openface18` of `openface35`."""
        wanted = vocabulary(name).names
        lacking = [column for column in wanted if column not in self.names]
        if lacking:
            raise ValueError(f"{self.vocabulary} is no superset of {name}: it lacks {', '.join(lacking)}")
        columns = [self.names.index(column) for column in wanted]
        return AUTrack(np.ascontiguousarray(self.values[:, columns]), self.rate, name)

    def resample(self, rate: float, num_frames: int | None = None) -> AUTrack:
        """The track at another rate: linear between neighbouring rows, the last row held beyond the end.

        Row k of the result is at k / rate seconds. Columns of 0 and 1 take the nearest row instead (the earlier of two
        equally near). Between a row with a face and one without there is NaN. Nothing is averaged: at a fifth of the
        rate every fifth row is left, which is how AUHead brings 25 rows per second to 5 (section 3.2).

        Args:
            rate: rows per second of the result.
            num_frames: rows of the result; None keeps the duration, round(T * rate / self.rate), at least one.
        """
        count = max(1, round(len(self) * rate / self.rate)) if num_frames is None else num_frames
        # Rounded so that a row that falls on a source row is that row, untouched by its neighbours.
        at = np.clip(np.round(np.arange(count) * self.rate / rate, 9), 0, len(self) - 1)
        low = np.floor(at).astype(int)
        high = np.minimum(low + 1, len(self) - 1)
        weight = (at - low)[:, None]
        source = self.values.astype(np.float64)
        mixed = np.where(weight == 0, source[low], (1 - weight) * source[low] + weight * source[high])
        binary = np.array(vocabulary(self.vocabulary).binary)
        mixed[:, binary] = source[np.ceil(at - 0.5).astype(int)][:, binary]
        return AUTrack(mixed.astype(np.float32), rate, self.vocabulary)


def vocabulary(name: str) -> Vocabulary:
    """The vocabulary of this name.

    Raises:
        ValueError: there is none; the message lists them.
    """
    if name not in VOCABULARIES:
        raise ValueError(f"unknown AU vocabulary {name!r}; there are {', '.join(VOCABULARIES)}")
    return VOCABULARIES[name]


# -- files ----------------------------------------------------------------------------------------------------------


def write(track: AUTrack, path: str | Path, *others: AUTrack) -> None:
    """Write a track as CSV (`frame`, `timestamp` in seconds, one column per AU, empty where NaN) or JSON, by suffix.

    Values are written with the digits that bring the same float32 back. A CSV may hold the same rows in `others`,
    further vocabularies, beside them; `read` takes the one it is asked for.
    """
    path = Path(path)
    if path.suffix == ".json":
        if others:
            raise ValueError("a JSON file holds one vocabulary")
        path.write_text(as_json(track), encoding="utf-8")
        return
    rows = _rows(track, *others)
    _known_suffix(path)
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["frame", "timestamp", *track.names, *(name for other in others for name in other.names)])
        writer.writerows([t, t / track.rate, *row] for t, row in enumerate(rows))


def as_json(track: AUTrack, extra: Mapping[str, object] | None = None) -> str:
    """A track as the text of a JSON file, with further entries that `read` passes over."""
    content = {"vocabulary": track.vocabulary, "rate": track.rate, "names": track.names, "values": _rows(track)}
    return json.dumps({**content, **(extra or {})})


def _rows(*tracks: AUTrack) -> list[list[float | None]]:
    joined = np.concatenate([track.values for track in tracks], axis=1)
    return [[None if np.isnan(value) else float(str(value)) for value in row] for row in joined]


def read(path: str | Path, vocabulary_name: str | None = None, rate: float | None = None) -> AUTrack:
    """Read a track from a CSV or JSON file.

    Rows of a CSV that say `success` 0 become NaN. Of several vocabularies that fit its columns the largest is taken.

    Args:
        path: a CSV of OpenFace, of LibreFace or of this suite, or a JSON of this suite.
        vocabulary_name: vocabulary to read; None takes what the columns say.
        rate: rows per second; None takes it from the file (a CSV's timestamps).

    Raises:
        MediaError: the file is absent, holds no such columns, or a value is outside its range.
    """
    path = Path(path)
    if path.suffix == ".json":
        return _read_json(path, vocabulary_name, rate)
    _known_suffix(path)
    table = read_table(path)
    name = vocabulary_name or vocabulary_of(table)
    if name is None or not set(vocabulary(name).names) <= set(table):
        raise MediaError(f"{path}: its columns are {_listed(table)}, which are not those of {_wanted(name)}")
    values = np.stack([table[column] for column in vocabulary(name).names], axis=1)
    if "success" in table:
        values[table["success"] != 1] = np.nan
    if "frame_idx" in table:
        values = _with_dropped_rows(path, values, table["frame_idx"])
    return _checked(path, AUTrack(values.astype(np.float32), rate or _rate(path, table), name))


def read_table(path: Path) -> dict[str, np.ndarray]:
    """Columns of a CSV by name, spaces around names and values taken off: float64 (T,), NaN where empty or no number.

    Raises:
        MediaError: the file is absent, empty, or a row has another number of values than the header.
    """
    try:
        with open(path, newline="", encoding="utf-8-sig") as file:
            lines = [[cell.strip() for cell in line] for line in csv.reader(file) if line]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise MediaError(f"{path}: not a readable CSV file ({error})") from error
    if len(lines) < 2:
        raise MediaError(f"{path}: holds no row of values")
    header = lines[0]
    for number, line in enumerate(lines[1:], start=2):
        if len(line) != len(header):
            raise MediaError(
                f"{path}: row {number} has {len(line)} values, the header {len(header)}; it may be cut off"
            )
    return {name: np.array([_number(line[i]) for line in lines[1:]]) for i, name in enumerate(header)}


def vocabulary_of(names: Sequence[str] | dict[str, np.ndarray]) -> str | None:
    """The largest vocabulary whose columns are all among these names; None if none is."""
    fitting = [v for v in VOCABULARIES.values() if set(v.names) <= set(names)]
    return max(fitting, key=len).name if fitting else None


def _read_json(path: Path, vocabulary_name: str | None, rate: float | None) -> AUTrack:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        name, values = content["vocabulary"], content["values"]
        found_rate = rate or float(content["rate"])
        array = np.array([[np.nan if value is None else value for value in row] for row in values], np.float32)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise MediaError(
            f"{path}: not an AU track; needs vocabulary, rate and values ({type(error).__name__}: {error})"
        ) from error
    if name not in VOCABULARIES or (vocabulary_name or name) != name:
        raise MediaError(f"{path}: holds {name!r}, not {_wanted(vocabulary_name)}")
    try:
        return _checked(path, AUTrack(array, found_rate, name))
    except ValueError as error:
        raise MediaError(f"{path}: {error}") from error


def _checked(path: Path, track: AUTrack) -> AUTrack:
    """The track, unless a value is outside its column's range: usually a file of another scale."""
    slack = 1e-3
    high = np.array(vocabulary(track.vocabulary).high)
    outside = (track.values < -slack) | (track.values > high + slack)
    if outside.any():
        t, column = np.argwhere(outside)[0]
        raise MediaError(
            f"{path}: {track.names[column]} is {track.values[t, column]:g} in row {t}, outside [0, {high[column]:g}] "
            f"of {track.vocabulary}"
        )
    return track


def _with_dropped_rows(path: Path, values: np.ndarray, frames: np.ndarray) -> np.ndarray:
    """The rows at their frame numbers, NaN between: LibreFace leaves frames without a face out of its table."""
    if not (np.isfinite(frames).all() and frames[0] >= 0 and (np.diff(frames) > 0).all()):
        raise MediaError(f"{path}: its `frame_idx` column does not rise from row to row")
    complete = np.full((int(frames[-1]) + 1, values.shape[1]), np.nan)
    complete[frames.astype(int)] = values
    return complete


def _rate(path: Path, table: dict[str, np.ndarray]) -> float:
    """Rows per second from the timestamps, to three decimals: OpenFace rounds them to milliseconds."""
    # LibreFace 0.2.0 writes seconds into a column it calls frame_time_in_ms (libreface/utils.py).
    times = table.get("timestamp", table.get("frame_time_in_ms"))
    if times is None or len(times) < 2 or not (np.diff(times) > 0).all():
        raise MediaError(f"{path}: has no rising `timestamp` column to take the rate from; give the rate")
    frames = table.get("frame_idx", np.arange(len(times)))
    return round(float(frames[-1] - frames[0]) / float(times[-1] - times[0]), 3)


def _number(cell: str) -> float:
    try:
        return float(cell)
    except ValueError:
        return float("nan")


def _known_suffix(path: Path) -> None:
    if path.suffix != ".csv":
        raise MediaError(f"{path}: an AU file is .csv or .json, not {path.suffix!r}")


def _wanted(name: str | None) -> str:
    return name or f"any of {', '.join(VOCABULARIES)}"


def _listed(names: Sequence[str] | dict[str, np.ndarray]) -> str:
    shown = list(names)
    return ", ".join(shown[:8]) + (f" and {len(shown) - 8} more" if len(shown) > 8 else "")
