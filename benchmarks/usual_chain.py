"""The usual chain of separate tools, the other side of the speed benchmark: each tool reads the videos for itself.

    python benchmarks/usual_chain.py WORK RESULT

| scores | tool | how it gets the frames |
|---|---|---|
| fid | pytorch_fid.fid_score as its command runs it (batches of 50, a loader process per core) | PNG files |
| psnr, ssim | scikit-image, SSIM with Wang's parameters, so that the numbers agree | cv2, frame by frame |
| lse_c, lse_d, av_offset | syncnet_python.SyncNetPipeline.inference, unchanged | ffmpeg: MPEG-4, JPEG, XVID, JPEG |
| m_lmd, f_lmd | mediapipe FaceLandmarker without blendshapes | cv2, frame by frame |
| au_mae | mediapipe FaceLandmarker, the suite's map to FEAFA | cv2, again |
| efid | mediapipe FaceLandmarker, pytorch_fid's Frechet distance | cv2, again |

All tools run in this one process, so they share what they import; in use each is a process of its own. Weights are the
shared random ones; S3FD runs in full and the fixed box takes the place of what it found (stand_ins.py).
"""

from __future__ import annotations

import time

STARTED = time.perf_counter()

import contextlib  # noqa: E402 (the imports are timed)
import io  # noqa: E402
import json  # noqa: E402
import os  # noqa: E402
import re  # noqa: E402
import shutil  # noqa: E402
import sys  # noqa: E402
from collections import Counter  # noqa: E402
from collections.abc import Iterator  # noqa: E402
from pathlib import Path  # noqa: E402

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import cv2  # noqa: E402
import ffmpeg  # noqa: E402
import mediapipe  # noqa: E402
import numpy as np  # noqa: E402
import torch  # noqa: E402
from mediapipe.tasks.python import BaseOptions, vision  # noqa: E402
from pytorch_fid import fid_score, inception  # noqa: E402
from skimage.metrics import peak_signal_noise_ratio, structural_similarity  # noqa: E402
from syncnet_python.detectors.s3fd import S3FD  # noqa: E402
from syncnet_python.syncnet_pipeline import SyncNetPipeline  # noqa: E402

from bench import registry  # noqa: E402
from bench.media.landmarks import ibug68  # noqa: E402
from benchmarks.stand_ins import FILES, fixed_box  # noqa: E402
from metrics.functional.lmd import FACE68, MOUTH68, lmd_iod  # noqa: E402

Pair = tuple[Path, Path]
"""Prediction, target."""


class Meter:
    """Frames decoded, and seconds by tool, those spent on loading networks apart."""

    def __init__(self) -> None:
        self.frames: Counter[str] = Counter()
        """`source`: out of the clips; `intermediate`: out of the PNG, JPEG and AVI copies the tools make."""
        self.load = time.perf_counter() - STARTED
        self.tools: dict[str, float] = {}

    @contextlib.contextmanager
    def loading(self) -> Iterator[None]:
        started = time.perf_counter()
        try:
            yield
        finally:
            self.load += time.perf_counter() - started

    @contextlib.contextmanager
    def tool(self, name: str) -> Iterator[None]:
        started, loaded = time.perf_counter(), self.load
        try:
            yield
        finally:
            self.tools[name] = time.perf_counter() - started - (self.load - loaded)

    def watch(self, clips: set[str]) -> None:
        """Count what cv2, ffmpeg and PIL decode; `clips` are the paths that count as source."""
        meter, capture, imread, ffmpeg_run = self, cv2.VideoCapture, cv2.imread, ffmpeg.nodes.OutputStream.run
        activations = fid_score.get_activations

        class Capture:
            """Stands before a cv2.VideoCapture, whose type must not be subclassed (memory was corrupted)."""

            def __init__(self, path, *rest):
                self._capture = capture(path, *rest)
                self._kind = "source" if str(path) in clips else "intermediate"

            def __getattr__(self, name):
                return getattr(self._capture, name)

            def read(self, *rest):
                found, frame = self._capture.read(*rest)
                meter.frames[self._kind] += found
                return found, frame

            def grab(self):
                found = self._capture.grab()
                meter.frames[self._kind] += found
                return found

        def counted_imread(*rest):
            meter.frames["intermediate"] += 1
            return imread(*rest)

        def counted_run(stream, **rest):
            out, said = ffmpeg_run(stream, capture_stderr=True, **rest)
            kind = "source" if any(path in clips for path in stream.compile()) else "intermediate"
            meter.frames[kind] += max(map(int, re.findall(rb"frame=\s*(\d+)", said)), default=0)
            return out, said

        def counted_activations(files, *rest):
            meter.frames["intermediate"] += len(files)
            return activations(files, *rest)

        cv2.VideoCapture, cv2.imread, ffmpeg.nodes.OutputStream.run = Capture, counted_imread, counted_run
        fid_score.get_activations = counted_activations


def read(path: Path) -> Iterator[np.ndarray]:
    """Frames, uint8 (H, W, 3) BGR, the way every script reads them."""
    capture = cv2.VideoCapture(str(path))
    while True:
        found, frame = capture.read()
        if not found:
            break
        yield frame
    capture.release()


def fid(pairs: list[Pair], weights: Path, scratch: Path, meter: Meter) -> dict[str, float]:
    folders = [scratch / "png" / side for side in ("prediction", "target")]
    for side, folder in enumerate(folders):
        folder.mkdir(parents=True)
        for pair in pairs:
            for k, frame in enumerate(read(pair[side])):
                cv2.imwrite(str(folder / f"{pair[side].stem}_{k:05d}.png"), frame)

    class Loaded(inception.InceptionV3):
        def __init__(self, *rest):
            with meter.loading():
                super().__init__(*rest)

    fid_score.InceptionV3 = Loaded
    inception.load_state_dict_from_url = lambda *rest, **named: torch.load(weights / FILES["inception_fid"])
    workers = min(len(os.sched_getaffinity(0)), 8)
    value = fid_score.calculate_fid_given_paths([str(folder) for folder in folders], 50, "cpu", 2048, workers)
    return {"fid": float(value)}


def psnr_ssim(pairs: list[Pair]) -> dict[str, float]:
    wang = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False, "data_range": 255}
    psnr, ssim = [], []
    for prediction, target in pairs:
        frames = list(zip(read(prediction), read(target), strict=True))
        psnr.append(np.mean([peak_signal_noise_ratio(y, x, data_range=255) for x, y in frames]))
        ssim.append(np.mean([structural_similarity(x, y, channel_axis=-1, **wang) for x, y in frames]))
    return {"psnr": float(np.mean(psnr)), "ssim": float(np.mean(ssim))}


def lip_sync(pairs: list[Pair], weights: Path, scratch: Path, meter: Meter) -> dict[str, float]:
    detect = S3FD.detect_faces

    def substituted(detector, image, conf_th=0.8, scales=(1,)):
        detect(detector, image, conf_th, scales)
        return fixed_box(*image.shape[:2])

    S3FD.detect_faces = substituted
    files = {"s3fd_weights": str(weights / FILES["s3fd"]), "syncnet_weights": str(weights / FILES["syncnet_v2"])}
    with meter.loading():
        pipeline = SyncNetPipeline(files, device="cpu")
    found = []
    for prediction, _ in pairs:
        offsets, confidences, distances, *_ = pipeline.inference(
            str(prediction), cache_dir=str(scratch / "syncnet" / prediction.stem)
        )
        if len(offsets) != 1:
            raise RuntimeError(f"{prediction.name}: {len(offsets)} face tracks; it needs 51 frames of 280x192 or more")
        found.append((confidences[0], distances[0], offsets[0]))
    return dict(zip(("lse_c", "lse_d", "av_offset"), np.mean(found, axis=0).tolist(), strict=True))


def landmarks(pairs: list[Pair], weights: Path, blendshapes: bool, meter: Meter) -> list[list[dict[str, np.ndarray]]]:
    """Per pair and side the features of the suite's own `landmarks`, by a FaceLandmarker of the caller's own."""
    options = vision.FaceLandmarkerOptions(
        base_options=BaseOptions(model_asset_path=str(weights / FILES["face_landmarker"])),
        output_face_blendshapes=blendshapes,
    )
    with meter.loading():
        landmarker = vision.FaceLandmarker.create_from_options(options)

    def of(path: Path) -> dict[str, np.ndarray]:
        rows: dict[str, list] = {"xy": [], "blendshapes": []}
        for bgr in read(path):
            rgb = np.ascontiguousarray(bgr[..., ::-1])
            found = landmarker.detect(mediapipe.Image(image_format=mediapipe.ImageFormat.SRGB, data=rgb))
            size = rgb.shape[1], rgb.shape[0]
            rows["xy"].append([(p.x * size[0], p.y * size[1]) for p in found.face_landmarks[0]])
            rows["blendshapes"].append([shape.score for shape in found.face_blendshapes[0]] if blendshapes else [])
        return {name: np.array(values, np.float32) for name, values in rows.items()}

    features = [[of(path) for path in pair] for pair in pairs]
    landmarker.close()
    return features


def lmd(pairs: list[Pair], weights: Path, meter: Meter) -> dict[str, float]:
    points = [[ibug68(side["xy"]) for side in pair] for pair in landmarks(pairs, weights, False, meter)]
    parts = {"m_lmd": MOUTH68, "f_lmd": FACE68}
    return {name: float(np.mean([lmd_iod(*pair, part) for pair in points])) for name, part in parts.items()}


def au_mae(pairs: list[Pair], weights: Path, meter: Meter) -> dict[str, float]:
    metric = registry.metric("au_mae@target.feafa24")
    features = landmarks(pairs, weights, True, meter)
    needs = [{"prediction:landmarks": prediction, "target:landmarks": target} for prediction, target in features]
    return {metric.key: float(metric.finish(sum(metric.case(one) for one in needs)))}


def efid(pairs: list[Pair], weights: Path, meter: Meter) -> dict[str, float]:
    sides = zip(*landmarks(pairs, weights, True, meter), strict=True)
    rows = [np.concatenate([clip["blendshapes"] for clip in side]).astype(np.float64) for side in sides]
    moments = [moment for side in rows for moment in (side.mean(0), np.cov(side, rowvar=False))]
    return {"efid@mp52": float(fid_score.calculate_frechet_distance(*moments))}


def main(work: Path, result: Path) -> None:
    targets = sorted((work / "targets").iterdir())
    pairs = [(work / "predictions" / f"{target.stem}.mp4", target) for target in targets]
    weights, scratch = work / "cache" / "weights", work / "scratch"
    shutil.rmtree(scratch, ignore_errors=True)
    meter = Meter()
    meter.watch({str(path) for pair in pairs for path in pair})
    scores: dict[str, float] = {}
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        for name, run in {
            "pytorch_fid": lambda: fid(pairs, weights, scratch, meter),
            "skimage": lambda: psnr_ssim(pairs),
            "syncnet_python": lambda: lip_sync(pairs, weights, scratch, meter),
            "mediapipe for LMD": lambda: lmd(pairs, weights, meter),
            "mediapipe for AUs": lambda: au_mae(pairs, weights, meter),
            "mediapipe for E-FID": lambda: efid(pairs, weights, meter),
        }.items():
            with meter.tool(name):
                scores |= run()
    shutil.rmtree(scratch)
    seconds = sum(meter.tools.values())
    report = {
        "load_seconds": meter.load,
        "score_seconds": seconds,
        "wall_seconds": meter.load + seconds,
        "tools": meter.tools,
        "source_frames": meter.frames["source"],
        "second_seconds": seconds,
        "intermediate_frames": meter.frames["intermediate"],
        "scores": scores,
    }
    result.write_text(json.dumps(report), "utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
