"""The 68 points of `fan68` against face_alignment built by its own constructor, with shared random weights."""

from pathlib import Path

import numpy as np
import pytest

from bench.media.clip import ArrayClip, Clip
from bench.media.errors import Undefined

torch = pytest.importorskip("torch")
pytest.importorskip("face_alignment", reason="lse_c@eat needs the package face_alignment, which is not installed")


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> dict[str, Path]:
    """A random detector of faces of 128 px; a random FAN with one hourglass of four, as TorchScript and as state."""
    from face_alignment.detection.sfd.net_s3fd import s3fd
    from face_alignment.models import FAN

    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("weights")
    detector, network = s3fd(), FAN(1).eval()
    with torch.no_grad():
        for name, head in detector.named_modules():
            if name.endswith("mbox_conf"):
                head.bias[-1] -= 1000 * (name != "fc7_mbox_conf")
        detector.fc7_mbox_conf.weight *= 30
    torch.save(detector.state_dict(), folder / "s3fd.pth")
    torch.save(network.state_dict(), folder / "fan.pth")

    class Last(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.network = network

        def forward(self, image):
            return self.network(image)[-1]

    torch.jit.trace(Last(), torch.zeros(1, 3, 256, 256)).save(folder / "fan.zip")
    return {"fan_s3fd": folder / "s3fd.pth", "fan_2d4": folder / "fan.zip", "state": folder / "fan.pth"}


def test_points_equal_face_alignment_s_own(files, grid_clips, monkeypatch):
    """Oracle: FaceAlignment(TWO_D).get_landmarks of its first face, with its downloads replaced by the same weights."""
    import face_alignment
    from face_alignment.detection.sfd import sfd_detector
    from face_alignment.models import FAN

    from metrics.extractors.fan68 import Fan68

    monkeypatch.setattr(face_alignment.api, "load_file_from_url", lambda url: files["state"])
    monkeypatch.setattr(face_alignment.api, "FAN", lambda hourglasses: FAN(1))
    monkeypatch.setattr(
        sfd_detector, "load_state_dict_from_url", lambda url: torch.load(files["fan_s3fd"], weights_only=True)
    )
    theirs = face_alignment.FaceAlignment(face_alignment.LandmarksType.TWO_D, device="cpu", compile=False)
    frames = Clip(grid_clips[0]).first_frame()[None]
    extractor = Fan68(files)
    extractor.begin(ArrayClip(frames), {})
    extractor.update(frames)
    ours = extractor.finish()["xy"]
    assert ours.shape == (1, 68, 2) and ours.dtype == np.float32
    for points, frame in zip(ours, frames, strict=True):
        # The random detector finds dozens of faces; the network sees each, so the others are left out for time.
        first = theirs.face_detector.detect_from_image(frame)[:1]
        assert first[0][-1] > 0.5
        np.testing.assert_allclose(points, theirs.get_landmarks(frame, detected_faces=first)[0], atol=1e-3)


def test_no_face_is_undefined_and_a_missing_one_is_nan(files, monkeypatch):
    """Analytic: NaN rows where the detector finds nothing; no value if that is everywhere."""
    from metrics.extractors.fan68 import Fan68

    extractor = Fan68(files)
    found = iter([[], [np.array([50.0, 50, 178, 178, 0.9])], [], []])
    monkeypatch.setattr(extractor._fan.face_detector, "detect_from_image", lambda frame: next(found))
    clip = ArrayClip(np.zeros((2, 240, 320, 3), np.uint8))
    extractor.begin(clip, {})
    extractor.update(clip.frames)
    xy = extractor.finish()["xy"]
    assert np.isnan(xy[0]).all() and np.isfinite(xy[1]).all()
    extractor.begin(clip, {})
    extractor.update(clip.frames)
    with pytest.raises(Undefined, match="no face in 2 of 2 frames"):
        extractor.finish()
