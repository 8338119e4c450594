"""Players: a case's reference image, target and generated videos side by side, with Action Units over time.

Every video that a method or a control made is a copy of the run's small one with Content Credentials
(`bench.credentials`); reference and target are not the suite's and carry none. AUs of all videos are read by one and the
same estimator, so that lines can be compared: `synth_face` on rendered people, mediapipe's on recorded ones.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bench.credentials import mark, run_claim
from bench.driving import ESTIMATORS, estimated_aus
from bench.export import scored_video, viewer_copy
from bench.features import FeatureExtraction
from bench.leaderboard import StoredRun
from bench.media import au
from bench.media.clip import Clip
from bench.media.errors import BenchError, MediaError
from bench.media.write import write_viewer_copy
from bench.plan import view
from bench.report.curves import Curve, curves
from bench.report.gather import Board
from bench.report.page import slug
from bench.store import Record, RunStore
from bench.weights import Weights
from protocols.protocol import Case

SHOWN = 6
"""Methods whose videos are there when a page opens: more at once stutter, the others are a click away."""
TARGET = 0
"""Series of the target; methods follow from 1 on."""


@dataclass(frozen=True)
class Show:
    """One place of a player."""

    label: str
    series: int | None = None
    """Number of its line in the plots below; None where it has none."""
    video: str | None = None
    """Address of the video, relative to the page or data."""
    image: str | None = None
    """Address of the picture, where it is no video."""
    missing: str = ""
    """Why there is neither."""
    chosen: bool = True
    """Whether it is there when the page opens."""
    sound: bool = True
    """Whether the video has speech."""


@dataclass(frozen=True)
class CasePage:
    """One case side by side."""

    case: Case
    address: str
    """Of its page, from the board's folder."""
    picture: str | None
    """Of its reference image, from the board's folder."""
    frames: int
    fps: float
    shape: float
    """Width over height."""
    shows: tuple[Show, ...]
    """Addresses from the page's own folder."""
    plots: tuple[Curve, ...]
    estimator: str
    notes: tuple[str, ...]
    """What could not be shown, and why."""


class CaseMedia:
    """Writes the pictures and videos of a board's cases into the site.

    Args:
        board: whose cases.
        folder: the board's folder in the site.
        weights: where the estimator's files and the cache are.
        device: torch device of the estimator.
        wrote: called with every file written.
    """

    def __init__(self, board: Board, folder: Path, weights: Weights, device: str, wrote: Callable[[Path], None]):
        self.board = board
        self.folder = folder
        self.weights = weights
        self.extraction = FeatureExtraction(weights, device)
        self.wrote = wrote
        self.protocol = board.runs[0].plan.protocol
        self.estimator = "synth_face" if board.synthetic else "landmarks"
        self.answers = self.protocol.output == "aus"
        """Whether methods answer with AU tracks, so that nothing but the target is to be seen."""

    def page(self, case: Case) -> CasePage:
        """Everything about one case. What is not on this machine is named in its place."""
        records = {label: run.records.get(case.id) for label, run in self.board.comparison.labelled.items()}
        made = next((record for record in records.values() if record and record["status"] == "ok"), None)
        if made is None:
            return self._page(case, 1, 1.0, (self.reference(case),), {}, ("no method has this case",))
        shows, notes = [self.reference(case), self.target(case, made)], []
        methods = list(self.board.comparison.labelled.items())
        if not self.answers:
            shows += [self.method(n, label, run, case) for n, (label, run) in enumerate(methods, start=1)]
        tracks = {}
        for series, (label, read) in enumerate(
            [("target", self._target_aus), *((la, self._reader(r)) for la, r in methods)]
        ):
            try:
                tracks[series] = read(case, made)
            except (BenchError, OSError) as error:
                notes.append(f"no AUs of {label}: {self._said(error, case)}")
        shape = made["width"] / made["height"]
        return self._page(case, made["frames"], shape, tuple(shows), tracks, tuple(notes))

    def _page(self, case: Case, frames: int, shape: float, shows, tracks: dict, notes: tuple[str, ...]) -> CasePage:
        labels = dict(enumerate(["target", *self.board.comparison.labelled]))
        seen = {series: values for series, values in tracks.items() if len(values) == frames}
        return CasePage(
            case=case, address=f"cases/{slug(case.id)}.html", picture=self._address(shows[0].image), frames=frames,
            fps=self.protocol.fps, shape=shape, shows=shows, notes=notes,
            plots=tuple(curves(seen, ESTIMATORS[self.estimator], labels)) if seen else (),
            estimator="the methods' answers" if self.answers else self.estimator,
        )  # fmt: skip

    @staticmethod
    def _address(from_page: str | None) -> str | None:
        return from_page and from_page.removeprefix("../")

    # -- what is seen -----------------------------------------------------------------------------------------------

    def reference(self, case: Case) -> Show:
        """The reference image."""
        path = self._file(case, "reference.jpg")
        try:
            frame = view(case.reference, self.protocol, self.weights, 1, self.protocol.size).first_frame()
        except MediaError as error:
            return Show("reference", missing=f"not on this machine: {self._said(error, case)}")
        self._write_picture(path, frame)
        return Show("reference", image=self._from_page(path))

    def target(self, case: Case, made: Record) -> Show:
        """The target's video, cut as it was scored."""
        path = self._file(case, "target.mp4")
        try:
            clip = self._target_view(case, made)
            write_viewer_copy(clip, path)
        except MediaError as error:
            return Show("target", TARGET, missing=f"not on this machine: {self._said(error, case)}")
        self.wrote(path)
        return Show("target", TARGET, video=self._from_page(path), sound=clip.has_audio)

    def method(self, series: int, label: str, run: StoredRun, case: Case) -> Show:
        """What a method made of the case, or why it did not."""
        record = run.records.get(case.id)
        chosen = series <= SHOWN
        if record is None or record["status"] == "failed":
            reason = "the run does not have this case" if record is None else f"failed: {record['reason']}"
            return Show(label, series, missing=reason, chosen=chosen)
        path = self._file(case, f"{run.summary['fingerprint'][:12]}.mp4")
        try:
            copy = viewer_copy(run, case.id)
        except BenchError as error:
            return Show(label, series, missing=self._said(error, case), chosen=chosen)
        mark(copy, path, run_claim(run.summary, case.id))
        self.wrote(path)
        return Show(label, series, video=self._from_page(path), chosen=chosen, sound=Clip(copy).has_audio)

    def _said(self, error: Exception, case: Case) -> str:
        """An error without this machine's folders: the page is for others."""
        folders = {path.parent for path in (case.reference, case.driving, case.target, case.aus) if path}
        folders |= {run.folder.parent for run in self.board.runs} | {self.weights.cache}
        text = str(error)
        for folder in sorted(map(str, folders), key=len, reverse=True):
            text = text.replace(folder + "/", "")
        return text

    def _file(self, case: Case, name: str) -> Path:
        return self.folder / "media" / slug(case.id) / name

    def _from_page(self, path: Path) -> str:
        return f"../{path.relative_to(self.folder).as_posix()}"

    def _write_picture(self, path: Path, frame: np.ndarray, side: int = 512) -> None:
        import cv2

        scale = min(1.0, side / max(frame.shape[:2]))
        size = (round(frame.shape[1] * scale), round(frame.shape[0] * scale))
        small = cv2.resize(frame, size, interpolation=cv2.INTER_AREA)
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path), cv2.cvtColor(small, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, 88])
        self.wrote(path)

    # -- what moves -------------------------------------------------------------------------------------------------

    def _target_view(self, case: Case, made: Record) -> Clip:
        path = case.target or case.driving
        return view(path, self.protocol, self.weights, made["frames"], (made["height"], made["width"]))

    def _target_aus(self, case: Case, made: Record) -> np.ndarray:
        """float32 (T, 24) of the target, by the same estimator as the methods'; the case's own for AU answers."""
        if self.answers and case.aus is not None:
            return au.read(case.aus, "feafa24").resample(self.protocol.fps, made["frames"]).values
        return estimated_aus(self.estimator, self._target_view(case, made), self.extraction)

    def _reader(self, run: StoredRun) -> Callable[[Case, Record], np.ndarray]:
        def read(case: Case, made: Record) -> np.ndarray:
            record = run.records.get(case.id)
            if record is None or record["status"] == "failed":
                raise MediaError("the run has no video of this case")
            if self.answers:
                return au.read(RunStore(run.folder).answer(case.id), "feafa24").values
            size = (record["height"], record["width"])
            clip = view(scored_video(run, case.id), self.protocol, self.weights, record["frames"], size)
            return estimated_aus(self.estimator, clip, self.extraction)

        return read
