"""The target itself: the best any method can score."""

from methods.generator import ControlRequest, Frames, Generator


class GroundTruth(Generator):
    """Returns the target's frames."""

    title = "control: the target itself, the best any method can score"
    needs = frozenset({"target"})
    control = True

    def generate(self, request: ControlRequest) -> Frames:
        return request.target.chunks()
