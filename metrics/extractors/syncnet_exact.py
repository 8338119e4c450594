"""`syncnet_exact`: SyncNet's features through the lossy chain of joonson/syncnet_python, without running ffmpeg.

run_pipeline.py and run_syncnet.py write the video four times before SyncNet sees it, and so does this: MPEG-4 with
quantiser 2; JPEG with quantiser 2 (S3FD and the crop read these); the 224x224 crops as XVID by OpenCV's VideoWriter;
JPEG at ffmpeg's default 200 kbit/s. Scenes are cut by PySceneDetect's ContentDetector on the MPEG-4 file, faces are
linked within scenes, and tracks need the reference's limits: more than 50 detections (LatentSync and syncnet-python;
joonson 100) and more than 100 px.

Not reproduced: the frame that `ffmpeg -async 1 -r 25` inserts at the start for some containers, joonson's pass of the
speech through the AVI's MP3 track, and the encoder of the ffmpeg release of the time (PyAV's libavcodec encodes here).
The best of several tracks is the longest, as in `s3fd_track`; the references score each.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from bench.media.clip import Clip
from metrics.extractor import Extractor, Features
from metrics.extractors import s3fd
from metrics.extractors.at_25_fps import At25Fps
from metrics.extractors.face_track import SIDE, Limits, Track, crop, link, smooth
from metrics.extractors.syncnet import LipStream, audio_features, load_network, require_audio
from metrics.functional.mfcc import int16_samples
from metrics.functional.sync import FPS, SAMPLES_PER_FRAME

if TYPE_CHECKING:
    import av

MPEG4_QUANTISER_2 = {"flags": "+qscale", "global_quality": "236", "threads": "1"}
"""-qscale:v 2; 118 is FF_QP2LAMBDA. One thread, because slices, one per thread, change the stream."""
JPEG_QUANTISER_2 = {"qmin": "2", "qmax": "2"}
"""-qscale:v 2 of the JPEG encoder, equal to ffmpeg's files bit for bit (75 frames of 360x288)."""
DETECT_FRAMES = 32


class SyncnetExact(Extractor):
    """Features:

    video: float32 (T - 4, 1024) of the T frames of the track at 25 fps.
    audio: float32 (A, 1024), A = floor(samples / 640) - 5, at least 0. Row 0 of both belongs to the same moment.
    """

    name = "syncnet_exact"
    version = 1
    weights = ("s3fd", "syncnet_v2")
    packages = ("syncnet_python", "scenedetect")

    def __init__(self, files: Mapping[str, Path], device: str = "cpu"):
        super().__init__(files, device)
        self._detector = s3fd.load_network(self.files["s3fd"], device)
        self._network = load_network(self.files["syncnet_v2"], device)

    def begin(self, clip: Clip, features: Mapping[str, Features]) -> None:
        require_audio(clip)
        self._clip = clip
        self._at_25_fps = At25Fps(clip)
        self._folder = tempfile.TemporaryDirectory(prefix="syncnet_exact_")
        self._video = Path(self._folder.name) / "video.avi"
        self._writer = Mpeg4Writer(self._video, clip.height, clip.width)

    def update(self, frames: np.ndarray) -> None:
        for frame in self._at_25_fps(frames):
            self._writer.write(frame)

    def finish(self) -> Features:
        self._writer.close()
        with self._folder:
            track = self._track()
            cropped = Path(self._folder.name) / "crop.avi"
            write_crops(cropped, track, jpeg_copies(decoded(self._video), JPEG_QUANTISER_2))
            lips = LipStream(self._network)
            for face in jpeg_copies(decoded(cropped), {}):
                lips.push(face)
        speech = int16_samples(self._clip.audio)[track.start * SAMPLES_PER_FRAME : track.stop * SAMPLES_PER_FRAME]
        return {"video": lips.finish(), "audio": audio_features(self._network, speech)}

    def _track(self) -> Track:
        boxes: list[np.ndarray] = []
        for frames in batched(jpeg_copies(decoded(self._video), JPEG_QUANTISER_2), DETECT_FRAMES):
            boxes.extend(found[:, :4] for found in s3fd.detect(self._detector, np.stack(frames)))
        tracks = []
        for start, stop in scenes(self._video):
            tracks += [Track(found.frames + start, found.detected) for found in link(boxes[start:stop])]
        return s3fd.choose_track(tracks, Limits.of_reference(), len(boxes))


class Mpeg4Writer:
    """An AVI file of MPEG-4 part 2 at 25 fps and quantiser 2, ffmpeg's default for .avi with -qscale:v 2."""

    def __init__(self, path: Path, height: int, width: int):
        import av

        self._container = av.open(str(path), "w", format="avi")
        self._stream = self._container.add_stream("mpeg4", rate=FPS, options=MPEG4_QUANTISER_2)
        self._stream.height, self._stream.width, self._stream.pix_fmt = height, width, "yuv420p"

    def write(self, frame: np.ndarray) -> None:
        """Add uint8 (H, W, 3) RGB."""
        import av

        self._container.mux(self._stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))

    def close(self) -> None:
        self._container.mux(self._stream.encode(None))
        self._container.close()


def decoded(path: Path) -> Iterator[av.VideoFrame]:
    """The frames of a file in order, as the decoder gives them."""
    import av

    with av.open(str(path)) as container:
        yield from container.decode(video=0)


def jpeg_copies(frames: Iterable[av.VideoFrame], options: Mapping[str, str]) -> Iterator[np.ndarray]:
    """Frames as a person gets them who reads the JPEG files that ffmpeg makes of a video.

    Args:
        frames: of one size.
        options: of the encoder; none means its default of 200 kbit/s at 25 fps.

    Yields:
        uint8 (H, W, 3) RGB.
    """
    import av
    import cv2

    encoder: av.VideoCodecContext | None = None
    for frame in frames:
        if encoder is None:
            encoder = av.CodecContext.create("mjpeg", "w")
            encoder.height, encoder.width, encoder.pix_fmt = frame.height, frame.width, "yuvj420p"
            encoder.framerate, encoder.thread_count, encoder.options = FPS, 1, dict(options)
        full_range = frame.reformat(format="yuvj420p")
        for packet in encoder.encode(full_range):
            yield cv2.cvtColor(cv2.imdecode(np.frombuffer(packet, np.uint8), cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)


def scenes(path: Path) -> list[tuple[int, int]]:
    """First frame and one past the last of every scene; one scene if there is no cut."""
    from scenedetect import ContentDetector, detect

    found = detect(str(path), ContentDetector(), start_in_scene=True)
    return [(start.frame_num, stop.frame_num) for start, stop in found]


def write_crops(path: Path, track: Track, frames: Iterable[np.ndarray]) -> None:
    """The crops of a track as XVID, 25 fps.

    Args:
        path: .avi file to write.
        track: its boxes are smoothed here.
        frames: uint8 (H, W, 3) RGB, all frames of the clip.
    """
    import cv2

    centre, half = smooth(track.boxes)
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"XVID"), FPS, (SIDE, SIDE))
    if not writer.isOpened():
        raise RuntimeError("this build of OpenCV cannot write XVID, which lse_c@exact needs; PyPI's opencv-python can")
    for t, frame in enumerate(frames):
        if track.start <= t < track.stop:
            i = t - track.start
            writer.write(cv2.cvtColor(crop(frame, centre[i], float(half[i])), cv2.COLOR_RGB2BGR))
    writer.release()


def batched(items: Iterable[np.ndarray], size: int) -> Iterator[list[np.ndarray]]:
    """Lists of `size` items, the last one shorter."""
    held: list[np.ndarray] = []
    for item in items:
        held.append(item)
        if len(held) == size:
            yield held
            held = []
    if held:
        yield held
