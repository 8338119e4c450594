"""Official systems as methods: a Request becomes files, the official program runs on them, its video becomes the frames.

The program runs in a folder of symbolic links that looks like its repository, so that several cases can run side by side and
nothing is written to the repository. Its video is brought to the request:

- rate: frame k shows the program's frame nearest to k / fps seconds (`Clip`); what is longer is cut;
- length: the last frame is repeated for at most two missing ones, more are refused;
- size: the whole frame is resized (INTER_AREA to shrink, INTER_CUBIC to enlarge); another aspect ratio is refused.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from pydantic import Field, create_model

from bench.media.clip import SAMPLE_RATE, Clip, resized, samples_for
from bench.media.errors import MediaError, UserError
from bench.media.program import ProgramFailed, log_tail, run_program
from bench.media.write import write_audio
from methods.baselines.place import Place
from methods.baselines.system import System, read_system
from methods.generator import GenerationError, Generator, GeneratorConfig, Request

INSIDE = Path(__file__).with_name("inside.py")
EXCHANGE = "au_bench"
"""Folder of the program's files: what it is given, and where the data files let it write."""
MISSING_FRAMES = 2
"""A program may make so many frames less than asked for: its last one is repeated."""
ASPECT_TOLERANCE = 0.02
"""Relative difference in aspect ratio that is rounding to the program's grid, and no other picture."""
SEEDS = 2**31
"""A program adds to its seed and keeps it in 32 bits: it gets the request's modulo this."""


class OfficialConfig(GeneratorConfig):
    commit: str
    """Commit of the official repository; another one must be checked out by hand."""
    arguments: tuple[str, ...] = ()
    """Put behind the official program's own command line, as a JSON list: most programs take the last of two."""
    time_limit: float | None = Field(None, gt=0)
    """Seconds for a case; None is the system's own limit, by the frames."""


class OfficialSystem(Generator):
    """A system as its authors published it. Made by `official`."""

    needs = frozenset({"audio"})
    name: ClassVar[str]
    system: ClassVar[System]

    def __init__(self, config: OfficialConfig, device: str = "cpu", files: Mapping[str, Path] | None = None):
        super().__init__(config, device, files)
        if device == "cpu" and not self.system.cpu:
            raise UserError(f"{self.system.title} runs on a CUDA GPU only, and this run is on the processor")
        self.place = Place(self.name, self.system)

    @classmethod
    def missing(cls, config: OfficialConfig) -> str | None:
        return Place(cls.name, cls.system).missing(config.commit)

    @classmethod
    def own_files(cls, config: OfficialConfig) -> Mapping[str, Path]:
        return Place(cls.name, cls.system).checkpoints()

    def generate(self, request: Request) -> Iterator[np.ndarray]:
        if self.system.square and request.reference.shape[0] != request.reference.shape[1]:
            height, width = request.reference.shape[:2]
            raise GenerationError(f"{self.system.title} takes square pictures only, this reference is {width}x{height}")
        with tempfile.TemporaryDirectory(prefix="au-bench-") as name:
            folder = Path(name)
            self._lay_out(folder, request)
            video = self._run(folder, request)
            try:
                yield from bring(video, request, self.system)
            except MediaError as error:
                reason = str(error).replace(f"{folder}/", "")
                raise GenerationError(f"{self.system.title} wrote a video that cannot be used: {reason}") from error

    def _lay_out(self, folder: Path, request: Request) -> None:
        """The repository as links, the folders the program writes to, and the request's files."""
        import cv2

        call = self.system.call
        for entry in self.place.repository.iterdir():
            if entry.name not in (".git", EXCHANGE, *call.writes):
                (folder / entry.name).symlink_to(entry)
        for name in (EXCHANGE, *call.writes):
            (folder / name).mkdir()
        cv2.imwrite(str(folder / EXCHANGE / "reference.png"), request.reference[..., ::-1])
        write_audio(folder / EXCHANGE / "speech.wav", speech(request, self.system))
        values = request_values(request, self.system)
        for name, content in call.files.items():
            filled = fill(content, values)
            (folder / name).write_text(filled if isinstance(filled, str) else json.dumps(filled), encoding="utf-8")
        (folder / EXCHANGE / "request.json").write_text(json.dumps(self._request(request, values)), encoding="utf-8")

    def _request(self, request: Request, values: Mapping[str, Any]) -> dict[str, Any]:
        """What `inside.py` reads."""
        call = self.system.call
        what = {"module": call.module} if call.module else {"script": call.script}
        return what | {
            "arguments": [*(str(fill(text, values)) for text in call.arguments), *self.config.arguments],
            "seed": values["seed"], "parent": os.getpid(), "reference": f"{EXCHANGE}/reference.png",
            "audio": f"{EXCHANGE}/speech.wav", "output": call.output, "fps": request.fps, "frames": request.num_frames,
        }  # fmt: skip

    def _run(self, folder: Path, request: Request) -> Path:
        """Run the program; return the video it wrote."""
        call = self.system.call
        limit = self.config.time_limit or call.seconds_to_start + call.seconds_per_frame * request.num_frames
        log = (self.logs or folder / EXCHANGE) / f"{request.case}.log"
        log.parent.mkdir(parents=True, exist_ok=True)
        command = [str(self.place.python), "-I", "-u", "-X", "utf8", str(INSIDE), f"{EXCHANGE}/request.json"]
        try:
            run_program(command, log, limit, folder=folder, environment=self._environment())
        except ProgramFailed as error:
            raise GenerationError(f"{self.system.title} failed: {error}{self._said(log)}") from error
        found = [path for path in folder.glob(call.output) if path.is_file()]
        if len(found) != 1:
            problem = f"ended without an error and wrote {len(found)} files {call.output}, not one"
            raise GenerationError(f"{self.system.title} {problem}{self._said(log)}")
        return found[0]

    def _environment(self) -> dict[str, str]:
        """This process's variables without what belongs to its own Python; one GPU; no download in the middle of a run."""
        foreign = ("PYTHON", "VIRTUAL_ENV", "CONDA")
        return {name: value for name, value in os.environ.items() if not name.startswith(foreign)} | {
            "PATH": self.place.search_path, "XDG_CACHE_HOME": str(self.place.downloads), "HF_HUB_OFFLINE": "1",
            "TRANSFORMERS_OFFLINE": "1", "MPLBACKEND": "Agg", "CUDA_VISIBLE_DEVICES": visible_device(self.device),
            **self.system.call.environment,
        }  # fmt: skip

    def _said(self, log: Path) -> str:
        """The last line of the log, and where the rest is."""
        last = "".join(f"; its last line: {line}" for line in log_tail(log, 1))
        return last + (f" (log: {log.relative_to(self.logs.parent)})" if self.logs else "")


def official(name: str) -> type[OfficialSystem]:
    """The method of methods/baselines/NAME.toml."""
    return method_of(name, read_system(name))


def method_of(name: str, system: System) -> type[OfficialSystem]:
    """The method that runs a system."""
    commit = Field(system.commit, description=OfficialConfig.model_fields["commit"].description)
    config = create_model(f"{name}_config", __base__=OfficialConfig, commit=(str, commit))
    title = f"{system.title}, official code ({system.paper})"
    body = {"Config": config, "name": name, "system": system, "title": title, "paper": system.paper}
    return type(name, (OfficialSystem,), body | {"version": system.version, "__doc__": title})


Wav2Lip = official("wav2lip")
Audio2Head = official("audio2head")
SadTalker = official("sadtalker")
VExpress = official("v_express")
AniPortrait = official("aniportrait")
EDTalk = official("edtalk")
EchoMimic = official("echomimic")
HalloOfficial = official("hallo_official")
Hallo2 = official("hallo2")
Sonic = official("sonic")
DiceTalk = official("dice_talk")
MemoOfficial = official("memo_official")
Hallo3 = official("hallo3")
StableAvatarOfficial = official("stableavatar_official")


def speech(request: Request, system: System) -> np.ndarray:
    """The speech a system is given, float32 (S,) mono 16 kHz: the request's, as long as its frames, and silence after it."""
    length = samples_for(request.num_frames, request.fps)
    wanted = max(length + round(system.call.silence * SAMPLE_RATE), round(system.call.at_least * SAMPLE_RATE))
    heard = request.audio[:length]
    return np.pad(heard, (0, wanted - len(heard)))


def request_values(request: Request, system: System) -> dict[str, Any]:
    """What `{name}` stands for in a data file.

    Raises:
        GenerationError: the system is told the emotion, and has no word for the case's.
    """
    emotion = None
    if system.emotions:
        label = (request.emotion or "default").lower()
        if label not in system.emotions:
            raise GenerationError(f"{system.title} knows {', '.join(system.emotions)}; the case's emotion is {label}")
        emotion = system.emotions[label]
    return {
        "seed": request.seed % SEEDS, "fps": int(request.fps) if request.fps == int(request.fps) else request.fps,
        "frames": request.num_frames, "seconds": request.num_frames / request.fps, "height": request.height,
        "width": request.width, "emotion": emotion, "prompt": request.prompt or system.prompt,
    }  # fmt: skip


def fill(content: Any, values: Mapping[str, Any]) -> Any:
    """A template with the request's values: `{name}` inside a text; a text that is nothing else becomes the value itself."""
    if isinstance(content, Mapping):
        return {key: fill(value, values) for key, value in content.items()}
    if isinstance(content, list | tuple):
        return [fill(value, values) for value in content]
    if not isinstance(content, str):
        return content
    name = content.removeprefix("{").removesuffix("}")
    return values[name] if content == f"{{{name}}}" and name in values else content.format_map(values)


def bring(video: Path, request: Request, system: System) -> Iterator[np.ndarray]:
    """The frames of a system's video as the request asks for them, uint8 (t, H, W, 3) RGB.

    Raises:
        GenerationError: it is too short, or shows another shape.
        MediaError: it cannot be read.
    """
    clip = Clip(video, fps=request.fps)
    left, top, width, height = system.call.crop or (0, 0, clip.width, clip.height)
    if abs(width * request.height / (height * request.width) - 1) > ASPECT_TOLERANCE:
        raise GenerationError(
            f"{system.title} made {width}x{height} pixels, {request.width}x{request.height} were asked for: not the same "
            "shape, and a resize would distort faces"
        )
    missing = request.num_frames - clip.num_frames
    if missing > MISSING_FRAMES:
        raise GenerationError(
            f"{system.title} made {clip.num_frames} frames at {request.fps:g} fps, {request.num_frames} were asked for; "
            f"at most {MISSING_FRAMES} may be missing"
        )
    shown = min(clip.num_frames, request.num_frames)
    for chunk in Clip(video, fps=request.fps, num_frames=shown).chunks():
        part = chunk[:, top : top + height, left : left + width]
        frames = np.stack([resized(frame, (request.height, request.width)) for frame in part])
        yield frames
    if missing > 0:
        yield np.repeat(frames[-1:], missing, axis=0)


def visible_device(device: str) -> str:
    """CUDA_VISIBLE_DEVICES that shows a program one torch device of this process, or none for `cpu`."""
    kind, _, index = device.partition(":")
    if kind != "cuda":
        return ""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",")
    return visible[int(index or 0)] if visible != [""] else index or "0"
