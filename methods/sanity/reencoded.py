"""The target after one lossy encoding: what compression alone costs."""

from pydantic import Field

from bench.media.write import reencode
from methods.generator import ControlRequest, Frames, Generator, GeneratorConfig


class ReencodedConfig(GeneratorConfig):
    crf: int = Field(default=32, ge=0, le=51)
    """Constant rate factor of x264, yuv420p: 18 looks lossless, 32 is visibly degraded."""


class Reencoded(Generator):
    """Returns the target's frames after x264 at `crf`."""

    Config = ReencodedConfig
    title = "control: the target after h264 at a constant rate factor (--set crf=32)"
    needs = frozenset({"target"})
    control = True

    def generate(self, request: ControlRequest) -> Frames:
        return reencode(request.target.chunks(), request.fps, self.config.crf)
