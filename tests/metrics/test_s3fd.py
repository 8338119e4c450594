"""The face track: detection, linking and crop against syncnet_python on the same frames, boxes and random weights."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.media.clip import ArrayClip, Clip
from bench.media.errors import Undefined
from metrics.extractors import s3fd
from metrics.extractors.at_25_fps import At25Fps, source_frames
from metrics.extractors.face_track import Limits, Track, crop, iou, link, smooth

torch = pytest.importorskip("torch")
MEAN = torch.tensor([123.0, 117.0, 104.0])[:, None, None]


@pytest.fixture(scope="module")
def frames(grid_clips) -> np.ndarray:
    """uint8 (6, 288, 360, 3) RGB: two speakers, each as filmed, upside down and as a negative."""
    people = [Clip(grid_clips[i]).first_frame() for i in (0, 3)]
    return np.stack([image for face in people for image in (face, face[::-1], 255 - face)])


@pytest.fixture(scope="module")
def s3fd_file(frames, tmp_path_factory) -> Path:
    """Random S3FD whose logits have the spread of a real one, so that few boxes pass 0.9 and scores do not saturate."""
    from syncnet_python.detectors.s3fd.nets import S3FDNet

    torch.manual_seed(0)
    network = S3FDNet("cpu")
    for layer in network.vgg:
        if isinstance(layer, torch.nn.Conv2d):
            torch.nn.init.kaiming_normal_(layer.weight)
            torch.nn.init.zeros_(layer.bias)

    def spread(to: float, face_bias: float):
        def hook(layer, _, out):
            gain = to / out.std()
            layer.weight *= gain
            layer.bias.copy_(gain * (layer.bias - out.mean((0, 2, 3))))
            layer.bias[-1] += face_bias
            return out * gain

        return hook

    handles = [head.register_forward_hook(spread(3.0, -6.0)) for head in network.conf]
    handles += [head.register_forward_hook(spread(0.5, 0.0)) for head in network.loc]
    small = cv2.resize(frames[0], (0, 0), fx=0.25, fy=0.25)
    with torch.no_grad():
        network((torch.from_numpy(small).permute(2, 0, 1) - MEAN)[None])
    for handle in handles:
        handle.remove()
    path = tmp_path_factory.mktemp("weights") / "sfd_face.pth"
    torch.save(network.state_dict(), path)
    return path


def reference_detector(path: Path):
    from syncnet_python.detectors.s3fd import S3FD
    from syncnet_python.detectors.s3fd.nets import S3FDNet

    network = S3FDNet("cpu")
    network.load_state_dict(torch.load(path, weights_only=True))
    return S3FD(network.eval(), "cpu")


def reference_pipeline():
    """syncnet_python's pipeline without its networks."""
    from syncnet_python.syncnet_pipeline import PipelineConfig, SyncNetPipeline

    pipeline = SyncNetPipeline.__new__(SyncNetPipeline)
    pipeline.cfg = PipelineConfig()
    return pipeline


# -- detection ------------------------------------------------------------------------------------------------------


def test_batched_detection_equals_one_frame_at_a_time(frames, s3fd_file, monkeypatch):
    """Oracle: S3FD.detect_faces of syncnet_python, frame by frame, same weights; batches of 4 and 2 frames."""
    monkeypatch.setattr(s3fd, "PIXELS_PER_BATCH", 4 * 72 * 90)
    ours = s3fd.detect(s3fd.load_network(s3fd_file), frames)
    detector = reference_detector(s3fd_file)
    theirs = [detector.detect_faces(frame, conf_th=0.9, scales=[0.25]) for frame in frames]
    assert sum(map(len, theirs)) >= len(frames) and len({len(boxes) for boxes in theirs}) > 1
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(a, b, atol=2e-3)


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 60), st.sampled_from([0.1, 0.3, 0.5]), st.integers(0, 1000))
def test_thinning_equals_both_of_the_package_and_torchvision(count, overlap, seed):
    """Oracle: box_utils.nms_ of syncnet_python and torchvision.ops.nms on random boxes."""
    from syncnet_python.detectors.s3fd.box_utils import nms_
    from torchvision.ops import nms

    random = np.random.default_rng(seed)
    corner = random.uniform(0, 100, (count, 2))
    boxes = np.concatenate([corner, corner + random.uniform(5, 60, (count, 2)), random.random((count, 1))], 1)
    boxes = boxes[np.argsort(-boxes[:, 4])]
    kept = s3fd.thin(boxes, overlap)
    np.testing.assert_array_equal(kept, nms_(boxes, overlap))
    np.testing.assert_array_equal(kept, nms(torch.from_numpy(boxes[:, :4]), torch.from_numpy(boxes[:, 4]), overlap))


# -- linking and limits ---------------------------------------------------------------------------------------------


def wandering_face(num_frames: int, missing: list[int], jump: int, seed: int) -> list[np.ndarray]:
    """Per frame (0 or 1, 4): a face of about 120 px that drifts, is missing at times and jumps away once."""
    random = np.random.default_rng(seed)
    centre = np.cumsum(random.normal(0, 3, (num_frames, 2)), 0) + 200
    centre[jump:] += 400
    half = 60 + random.normal(0, 4, (num_frames, 2))
    boxes = np.concatenate([centre - half, centre + half], 1)
    return [boxes[t : t + 1] if t not in missing else boxes[:0] for t in range(num_frames)]


@settings(deadline=None, max_examples=40)
@given(
    st.integers(40, 200), st.lists(st.integers(0, 199), max_size=60), st.integers(0, 220), st.integers(0, 40), st.data()
)
def test_tracks_equal_the_reference(num_frames, missing, jump, gap, data):
    """Oracle: SyncNetPipeline._track on the same boxes, with short and long gaps, a jump and both limits."""
    hole = data.draw(st.integers(0, num_frames))
    missing = missing + list(range(hole, hole + gap))
    boxes = wandering_face(num_frames, missing, jump, seed=num_frames + gap)
    theirs = reference_pipeline()._track(
        [[{"frame": t, "bbox": box.tolist(), "conf": 1.0} for box in found] for t, found in enumerate(boxes)]
    )
    ours = [track for track in link(boxes) if Limits.of_reference().accept(track)]
    assert len(ours) == len(theirs)
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_array_equal(np.arange(a.start, a.stop), b["frame"])
        np.testing.assert_allclose(a.boxes, b["bbox"], rtol=1e-12)


def test_two_faces_are_two_complete_tracks():
    """Analytic: joonson's rule looks at all boxes of a frame, so a second face in front of the list breaks no track."""
    left, right = np.array([0.0, 0, 100, 100]), np.array([300.0, 0, 400, 100])
    boxes = [np.stack([left, right][:: 1 if t % 2 else -1]) + t for t in range(60)]
    tracks = link(boxes)
    assert [len(track.frames) for track in tracks] == [60, 60]
    for track in tracks:
        np.testing.assert_allclose(np.diff(track.boxes, axis=0), 1)


def test_a_gap_of_25_frames_is_bridged_and_26_is_not():
    """Analytic: frame numbers may differ by 25."""
    box = np.array([[0.0, 0, 100, 100]])
    for difference, tracks in ((25, 1), (26, 2)):
        boxes = [box if t in (0, difference) else box[:0] for t in range(40)]
        assert len(link(boxes)) == tracks
    bridged = link([box + t / 2 if t in (0, 20) else box[:0] for t in range(21)])[0]
    np.testing.assert_allclose(bridged.boxes, box + np.arange(21)[:, None] / 2)


def test_iou():
    """Analytic: two squares of 2x2 that share 1x1."""
    assert iou(np.array([0.0, 0, 2, 2]), np.array([1.0, 1, 3, 3])) == pytest.approx(1 / 7)
    assert iou(np.array([0.0, 0, 2, 2]), np.array([5.0, 0, 7, 2])) == 0


@pytest.mark.parametrize(
    ("num_frames", "size", "limits"),
    [(75, (288, 360), (37, 72)), (250, (1080, 1920), (50, 100)), (30, (512, 512), (15, 100)), (6, (64, 64), (6, 16))],
)
def test_limits_fall_with_the_clip_and_never_exceed_the_reference(num_frames, size, limits):
    """Analytic: half of the frames, a quarter of the short side; at most 50 and 100, at least what smoothing needs."""
    found = Limits.for_clip(num_frames, *size)
    assert (found.detections, found.face_size) == limits
    reference = Limits.of_reference()
    assert found.detections <= reference.detections and found.face_size <= reference.face_size


def steady(length: int, side: float, start: int = 0) -> Track:
    box = np.array([50.0, 50, 50 + side, 50 + side])
    return Track(np.arange(start, start + length), np.repeat(box[None], length, 0))


def test_the_longest_accepted_track_is_chosen_and_refusals_say_why():
    """Analytic: messages carry the counts a person needs."""
    limits = Limits(detections=50, face_size=100)
    assert s3fd.choose_track([steady(60, 120), steady(70, 110), steady(90, 80)], limits, 100).face_size == 110
    assert s3fd.choose_track([steady(60, 120), steady(60, 130)], limits, 100).face_size == 130
    with pytest.raises(Undefined, match="no face in 40 of 40 frames"):
        s3fd.choose_track([], limits, 40)
    with pytest.raises(Undefined, match="in 20 of 40 frames, more than 50"):
        s3fd.choose_track([steady(20, 150)], limits, 40)
    with pytest.raises(Undefined, match=r"80 px large, more than 100 px.*@nocrop"):
        s3fd.choose_track([steady(90, 80)], limits, 100)


# -- crop -----------------------------------------------------------------------------------------------------------


def reference_crops(track: Track, frames: np.ndarray, folder: Path, monkeypatch) -> list[np.ndarray]:
    """What SyncNetPipeline._crop hands to its video writer, as RGB; its encoder and its ffmpeg calls are cut out."""
    from syncnet_python import syncnet_pipeline as module

    written = []

    class Writer:
        def __init__(self, *_):
            pass

        def write(self, image):
            written.append(image[..., ::-1].copy())

        def release(self):
            pass

    monkeypatch.setattr(module.cv2, "VideoWriter", Writer)
    monkeypatch.setattr(module.subprocess, "run", lambda *args, **options: None)
    monkeypatch.setattr(module.os, "remove", lambda path: None)
    paths = []
    for t, frame in enumerate(frames):
        paths.append(str(folder / f"{t:06d}.png"))
        cv2.imwrite(paths[-1], frame[..., ::-1])
    found = {"frame": np.arange(track.start, track.stop), "bbox": track.boxes}
    reference_pipeline()._crop(found, paths, folder / "speech.wav", folder / "crop")
    return written


@pytest.mark.parametrize("offset", [(0, 0), (-150, -100), (160, 130)], ids=["inside", "top left", "bottom right"])
def test_crops_equal_the_reference(frames, tmp_path, monkeypatch, offset):
    """Oracle: SyncNetPipeline._crop on the same frames and boxes, bit for bit, also where the face leaves the frame."""
    random = np.random.default_rng(1)
    clip = np.concatenate([frames, frames[::-1], frames, frames[::-1]])
    centre = np.array([180, 140]) + offset + np.cumsum(random.normal(0, 2, (18, 2)), 0)
    half = 55 + random.normal(0, 5, (18, 2))
    track = Track(np.r_[3:13, 15:23], np.concatenate([centre - half, centre + half], 1))
    theirs = reference_crops(track, clip, tmp_path, monkeypatch)
    centre, half = smooth(track.boxes)
    ours = [crop(clip[t], centre[i], half[i]) for i, t in enumerate(range(track.start, track.stop))]
    assert len(theirs) == len(ours) == track.stop - track.start
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_array_equal(a, b)


def test_median_equals_scipy_medfilt():
    """Oracle: scipy.signal.medfilt(13), whose outside is 0, on centre and half side."""
    from scipy.signal import medfilt

    boxes = np.cumsum(np.random.default_rng(0).uniform(0, 5, (40, 4)), 1) + np.array([0, 0, 100, 120])
    centre, half = smooth(boxes)
    np.testing.assert_allclose(centre[:, 1], medfilt((boxes[:, 1] + boxes[:, 3]) / 2, 13))
    sides = np.maximum(boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1])
    np.testing.assert_allclose(half, medfilt(sides / 2, 13))


@settings(deadline=None, max_examples=20)
@given(st.integers(-3, 3), st.integers(-3, 3))
def test_a_moved_face_in_a_moved_frame_is_the_same_crop(dx, dy):
    """Metamorphic: shifting image and centre by whole pixels changes nothing."""
    image = np.random.default_rng(0).integers(0, 256, (300, 300, 3)).astype(np.uint8)
    moved = np.roll(image, (dy, dx), (0, 1))
    centre = np.array([150.25, 140.75])
    np.testing.assert_array_equal(crop(image, centre, 50.0), crop(moved, centre + np.array([dx, dy]), 50.0))


# -- extractor ------------------------------------------------------------------------------------------------------


class Boxes:
    """Replaces detection: the boxes that the frame's first pixel asks for."""

    def __init__(self, monkeypatch, boxes: list[np.ndarray]):
        self.batches = []
        monkeypatch.setattr(s3fd, "detect", self.detect)
        self.boxes = boxes

    def detect(self, network, frames):
        self.batches.append(len(frames))
        return [self.boxes[frame[0, 0, 0]] for frame in frames]


def numbered(count: int) -> np.ndarray:
    frames = np.zeros((count, 200, 240, 3), np.uint8)
    frames[:, 0, 0, 0] = np.arange(count)
    return frames


def run(extractor, clip, chunk: int) -> dict:
    extractor.begin(clip, {})
    for start in range(0, clip.num_frames, chunk):
        extractor.update(clip.frames[start : start + chunk])
    return extractor.finish()


def test_features_of_a_track_in_the_middle_of_a_clip(s3fd_file, monkeypatch):
    """Analytic: a face from frame 10 to 59 of 80 with a stray box in frame 70; then the same clip at 50 fps."""
    face, stray = np.array([[60.0, 40, 160, 150, 0.99]]), np.array([[5.0, 5, 25, 25, 0.95]])
    boxes = [face if 10 <= t < 60 and t != 30 else face[:0] for t in range(80)]
    boxes[70] = stray
    boxes[20] = np.concatenate([face, stray])
    Boxes(monkeypatch, boxes)
    extractor = s3fd.S3fdTrack({"s3fd": s3fd_file})
    features = run(extractor, ArrayClip(numbered(80)), 64)
    assert features["range"].tolist() == [10, 60]
    assert features["detections"].tolist() == [49] and features["tracks"].tolist() == [1]
    assert features["reference_rejects"].tolist() == [True], "49 detections are not more than 50"
    assert features["faces"].sum() == 51 and features["faces"][20] == 2 and features["faces"][30] == 0
    np.testing.assert_allclose(features["box"][10:60], np.repeat(face[:, :4], 50, 0))
    for name in ("box", "centre", "half"):
        outside = np.r_[0:10, 60:80]
        assert np.isnan(features[name][outside]).all() and np.isfinite(features[name][10:60]).all()
    twice = run(extractor, ArrayClip(np.repeat(numbered(80), 2, 0), fps=50.0), 7)
    for name, values in features.items():
        np.testing.assert_array_equal(values, twice[name], err_msg=name)


def test_extractor_links_what_the_network_finds(frames, s3fd_file):
    """Oracle: S3FD.detect_faces and SyncNetPipeline._track of syncnet_python, end to end on a still clip."""
    still = np.repeat(frames[:1], 8, 0)
    features = run(s3fd.S3fdTrack({"s3fd": s3fd_file}), ArrayClip(still), 5)
    pipeline = reference_pipeline()
    pipeline.cfg.min_track, pipeline.cfg.min_face_size = 6, 72
    found = reference_detector(s3fd_file).detect_faces(still[0], conf_th=0.9, scales=[0.25])
    theirs = pipeline._track([[{"frame": t, "bbox": box[:4].tolist()} for box in found] for t in range(8)])
    largest = max(theirs, key=lambda track: (track["bbox"][0, 2:] - track["bbox"][0, :2]).max())
    assert features["tracks"] == [len(theirs)] and (features["faces"] == len(found)).all()
    np.testing.assert_allclose(features["box"], largest["bbox"], atol=2e-3)


def test_a_clip_without_a_face_is_undefined(s3fd_file, monkeypatch):
    """Analytic: the reason names the count."""
    Boxes(monkeypatch, [np.zeros((0, 5))] * 20)
    with pytest.raises(Undefined, match="no face in 20 of 20 frames"):
        run(s3fd.S3fdTrack({"s3fd": s3fd_file}), ArrayClip(numbered(20)), 8)


# -- 25 frames per second -------------------------------------------------------------------------------------------


@settings(deadline=None, max_examples=40)
@given(st.integers(1, 120), st.sampled_from([12.5, 23.976, 24, 25, 29.97, 30, 50, 60]), st.integers(1, 40))
def test_frames_at_25_fps_are_the_nearest_in_time(num_frames, fps, chunk):
    """Oracle: argmin of the time difference; and chunks of any size give the same as one."""
    picked = source_frames(num_frames, fps)
    difference = np.abs(np.arange(num_frames)[None] / fps - np.arange(len(picked))[:, None] / 25)
    np.testing.assert_allclose(difference[np.arange(len(picked)), picked], difference.min(1), atol=1e-9)
    assert abs(len(picked) / 25 - num_frames / fps) <= max(0.02, 1 / 25 - num_frames / fps) + 1e-9
    clip = ArrayClip(
        np.arange(num_frames, dtype=np.uint8)[:, None, None, None] + np.zeros((1, 2, 2, 3), np.uint8), fps=fps
    )
    select = At25Fps(clip)
    parts = [select(clip.frames[start : start + chunk]) for start in range(0, num_frames, chunk)]
    np.testing.assert_array_equal(np.concatenate(parts)[:, 0, 0, 0], picked)
