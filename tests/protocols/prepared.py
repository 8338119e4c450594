"""Prepared data sets without video: protocols read the manifest and never open a clip."""

import hashlib
from pathlib import Path

from protocols.layouts import crema, mead
from protocols.manifest import Manifest, ManifestClip, write_manifest

MEAD_TEST = ("M003", "M030", "W009", "W015")


def mead_ids(*subjects: str) -> list[str]:
    """All ids that MEAD's design gives these subjects: 40 neutral clips, 30 of each emotion and level."""
    ids = []
    for subject in subjects:
        for emotion in mead.EMOTIONS:
            levels, sentences = ((1,), 40) if emotion == "neutral" else ((1, 2, 3), 30)
            ids += [f"{subject}/{emotion}/level_{level}/{n + 1:03d}" for level in levels for n in range(sentences)]
    return ids


def crema_ids(*actors: str) -> list[str]:
    """All ids of CREMA-D's design: sentence IEO at three levels, the others and everything neutral at none."""
    ids = []
    for actor in actors:
        for sentence in crema.SENTENCES:
            for emotion in crema.EMOTIONS:
                levels = ("LO", "MD", "HI") if sentence == "IEO" and emotion != "NEU" else ("XX",)
                ids += [f"{actor}_{sentence}_{emotion}_{level}" for level in levels]
    return ids


def mead_clip(id: str, frames: int = 100) -> ManifestClip:
    identity, emotion, level, sentence = id.split("/")
    return _clip(id, frames, identity, emotion, int(level[-1]), sentence)


def crema_clip(id: str, frames: int = 60) -> ManifestClip:
    identity, sentence, emotion, level = id.split("_")
    return _clip(id, frames, identity, emotion, {"LO": 1, "MD": 2, "HI": 3, "XX": None}[level], sentence)


def hdtf_clip(id: str, frames: int = 1500) -> ManifestClip:
    return _clip(id, frames, id.rsplit("_", 1)[0], None, None, None)


def prepare(folder: Path, dataset: str, clips: list[ManifestClip], **changes) -> Path:
    """A folder with a manifest of these clips."""
    settings = {
        "dataset": dataset, "version": 1, "fps": 25.0, "size": (512, 512), "crop": "none", "storage": "lossless",
        "complete": True, "clips": tuple(sorted(clips, key=lambda clip: clip.id)),
    }  # fmt: skip
    write_manifest(folder, Manifest(**settings | changes))
    return folder


def _clip(id, frames, identity, emotion, level, sentence) -> ManifestClip:
    return ManifestClip(
        id=id, file=f"clips/{id}.mkv", sha256=hashlib.sha256(id.encode()).hexdigest(), frames=frames,
        identity=identity, emotion=emotion, level=level, sentence=sentence, source=f"{id}.mp4",
    )  # fmt: skip
