"""The reference image, not moving: the floor for everything that moves. It needs no privilege."""

from bench.media.clip import resized
from methods.generator import Frames, Generator, Request


class StillImage(Generator):
    """Repeats the reference image for as long as the case lasts."""

    title = "control: the reference image repeated; the floor for motion, lips and expression"
    control = True

    def generate(self, request: Request) -> Frames:
        reference = resized(request.reference, (request.height, request.width))
        return (reference[None] for _ in range(request.num_frames))
