"""The reference image, not moving: the floor for everything that moves. It needs no privilege."""

import numpy as np

from methods.generator import Frames, Generator, Request


class StillImage(Generator):
    """Repeats the reference image for as long as the case lasts."""

    title = "control: the reference image repeated; the floor for motion, lips and expression"
    control = True

    def generate(self, request: Request) -> Frames:
        reference = _fit(request.reference, request.height, request.width)
        return (reference[None] for _ in range(request.num_frames))


def _fit(image: np.ndarray, height: int, width: int) -> np.ndarray:
    import cv2

    if image.shape[:2] == (height, width):
        return image
    shrinks = height * width < image.shape[0] * image.shape[1]
    return cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC)
