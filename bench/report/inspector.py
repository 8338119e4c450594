"""AU inspector (AUHead, appendix A and Fig. 9): one clip, frame by frame, beside its AU values and the face they move.

The paper's tool shows the aligned AUs, the face and its mesh projection of every frame, to see whether AUs that were
read off a video are what the face does. This one is a page in one file: it plays, steps by keyboard, marks frames and
hands the marks out as JSON. The mesh is drawn from FEAFA AUs; those of another vocabulary reach it through
`bench.media.au_maps`, which loses what FEAFA does not know.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np

from bench.driving import ESTIMATORS, estimated_aus
from bench.features import FeatureExtraction, unavailable
from bench.media import au, au_maps
from bench.media.au import FEAFA_UNITS, AUTrack
from bench.media.clip import ArrayClip, Clip
from bench.media.errors import MediaError, UserError
from bench.media.write import write_viewer_copy
from bench.report.curves import curves
from bench.report.page import data_uri, self_contained, slug
from bench.report.players import Show
from bench.store import write_atomically
from bench.weights import Weights
from methods.auhead.au_map import au_maps as draw_maps

MAX_FRAMES = 3000
"""Two minutes at 25 fps: a page of about 20 MB."""
MESH_SIZE = 256
VIEWS = {"rom": "mesh moved by the AUs", "lmk": "its 68 keypoints"}
"""AU representation of AUHead -> what it shows."""


def inspect_clip(
    path: Path,
    out: Path,
    *,
    weights: Weights,
    aus: Path | None = None,
    estimator: str | None = None,
    fps: float = 25.0,
    num_frames: int | None = None,
    device: str = "auto",
) -> Path:
    """Write the page of one clip.

    Args:
        path: of a video.
        out: HTML file to write.
        weights: where the estimators' files and the cache are.
        aus: AU track (CSV, JSON); None reads them off the clip.
        estimator: one of `bench.driving.ESTIMATORS`; None takes the first of landmarks and openface that can run here.
        fps: rate at which the clip is shown.
        num_frames: show the first so many; None shows all.
        device: torch device of the estimator.

    Raises:
        UserError: the clip or the AUs cannot be read, or nothing here can read AUs off a clip.
    """
    clip = Clip(path, fps=fps, num_frames=num_frames)
    try:
        if clip.num_frames > MAX_FRAMES:
            raise UserError(f"{path}: {clip.num_frames} frames are too many for one page; --frames {MAX_FRAMES}")
        track, source = _track(clip, aus, estimator, weights, device)
        shows, note = _shows(clip, track)
    except MediaError as error:
        raise UserError(str(error)) from error
    data = {
        "name": path.name, "download": f"{slug(path.stem)}.marks.json", "sha256": clip.sha256, "fps": fps,
        "frames": clip.num_frames, "vocabulary": track.vocabulary, "source": source, "names": track.names,
        "high": au.vocabulary(track.vocabulary).high,
        "values": [[None if np.isnan(v) else round(float(v), 4) for v in row] for row in track.values],
    }  # fmt: skip
    plots = curves({0: track.values}, track.vocabulary, {0: path.name})
    units = [(name, _about(name)) for name in track.names]
    text = self_contained(
        "inspect.html", clip=data, shows=shows, note=note, plots=plots, units=units, shape=clip.width / clip.height
    )
    write_atomically(out, text)
    return out


def _track(clip: Clip, aus: Path | None, estimator: str | None, weights: Weights, device: str) -> tuple[AUTrack, str]:
    """AUs of every frame of the view, and where they are from."""
    if aus is not None:
        return _of_file(aus).resample(clip.fps, clip.num_frames), aus.name
    extraction = FeatureExtraction(weights, device)
    chosen = estimator or _first_ready(clip, weights)
    values = estimated_aus(chosen, clip, extraction)
    return AUTrack(values, clip.fps, ESTIMATORS[chosen]), f"read off the clip by {chosen}"


def _of_file(path: Path) -> AUTrack:
    """The track of a file: in FEAFA where it can be had, which the mesh is drawn from, else as it is."""
    try:
        return au_maps.read(path, "feafa24") if _holds_feafa(path) else au.read(path)
    except ValueError as error:
        raise MediaError(f"{path}: {error}") from error


def _holds_feafa(path: Path) -> bool:
    return path.suffix == ".csv" and set(au.vocabulary("feafa24").names) <= set(au.read_table(path))


def _first_ready(clip: Clip, weights: Weights) -> str:
    from bench import registry

    lacking = {}
    for name in ("landmarks", "openface"):
        lacking[name] = unavailable(name, weights) or registry.extractor(name).lacks(clip)
        if lacking[name] is None:
            return name
    reasons = "; ".join(f"{name} {reason}" for name, reason in lacking.items())
    raise UserError(f"nothing here reads AUs off a clip: {reasons}. Or give them: --aus FILE")


def _shows(clip: Clip, track: AUTrack) -> tuple[list[Show], str]:
    """The clip and its meshes as videos of equally many frames, and what a reader must know of the meshes."""
    shows = [Show("clip", video=_as_video(clip), sound=clip.has_audio)]
    try:
        feafa = au_maps.convert(track, "feafa24")
    except ValueError as error:
        return shows, f"no mesh: {error}"
    for view, label in VIEWS.items():
        shows.append(Show(label, video=_as_video(ArrayClip(drawn_maps(feafa.values, view), fps=clip.fps)), sound=False))
    if feafa.vocabulary == track.vocabulary:
        return shows, ""
    return shows, f"the mesh is moved by {track.vocabulary} read as feafa24, which loses what FEAFA does not know"


def drawn_maps(aus: np.ndarray, view: str) -> np.ndarray:
    """uint8 (T, S, S, 3) of AUs (T, 24); black where there is no face."""
    seen = ~np.isnan(aus).any(axis=1)
    frames = np.zeros((len(aus), MESH_SIZE, MESH_SIZE), np.uint8)
    if seen.any():
        frames[seen] = draw_maps(aus[seen], view, MESH_SIZE)
    return np.repeat(frames[..., None], 3, axis=3)


def _as_video(clip: Clip) -> str:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "clip.mp4"
        write_viewer_copy(clip, file)
        return data_uri(file.read_bytes(), "video/mp4")


def _about(name: str) -> str:
    unit = next((unit for unit in FEAFA_UNITS if unit.name == name), None)
    return f"AU{unit.index} {unit.feafa}" if unit else ""
