"""MEAD (Wang et al., ECCV 2020) as its parts unpack: ID/video/front/EMOTION/level_N/NNN.mp4 beside
ID/audio/EMOTION/level_N/NNN.m4a. Other views than the front are not looked at; speech already converted to wav is taken
where the m4a is absent.
"""

from __future__ import annotations

import re
from pathlib import Path

from protocols.case_list import listed_clips
from protocols.layouts.source import Found, Source, check_root, is_video, one_per_stem, relative, speech_beside, visible

EMOTIONS = ("angry", "contempt", "disgusted", "fear", "happy", "neutral", "sad", "surprised")
TEST_IDENTITIES = ("M003", "M030", "W009", "W015")
"""Of EAMM and EAT, whose split AUHead follows."""
EXPECTED = "folders named by identity (M003, W009, ...), each with video/front/EMOTION/level_N/NNN.mp4"
CROP = "a square around the face"
_IDENTITY = re.compile(r"[MW]\d{3}")
_LEVEL = re.compile(r"level_([1-3])")
_SENTENCE = re.compile(r"\d{3}")


def find(root: Path) -> Found:
    """All clips below `root`.

    Raises:
        UserError: `root` is not the top of the layout.
    """
    check_root(root, _is_root, EXPECTED)
    found = Found()
    for person in _identities(root):
        front = person / "video" / "front"
        if not front.is_dir():
            packed = " (video.tar is still packed)" if (person / "video.tar").is_file() else ""
            found.skip(relative(person, root), f"has no video/front{packed}")
        for folder in visible(front):
            _find_emotion(root, person, folder, found)
    return found


def missing(root: Path, prepared: set[str]) -> tuple[str, ...]:
    """What the published protocols need and `prepared` (clip ids) lacks: test identities of whom nothing is there, and
    single clips that a published list names."""
    here = {id.split("/")[0] for id in prepared}
    absent = [identity for identity in TEST_IDENTITIES if identity not in here]
    return (*absent, *sorted(id for id in listed_clips("mead") - prepared if id.split("/")[0] in here))


def _is_root(folder: Path) -> bool:
    return any((person / "video").is_dir() or (person / "video.tar").is_file() for person in _identities(folder))


def _identities(folder: Path) -> list[Path]:
    return [path for path in visible(folder) if path.is_dir() and _IDENTITY.fullmatch(path.name)]


def _find_emotion(root: Path, person: Path, folder: Path, found: Found) -> None:
    if folder.name not in EMOTIONS:
        found.skip(relative(folder, root), f"not an emotion of MEAD, which has {', '.join(EMOTIONS)}")
        return
    for inner in visible(folder):
        level = _LEVEL.fullmatch(inner.name)
        if not level or (folder.name == "neutral" and level[1] != "1"):
            allowed = "level_1 only" if folder.name == "neutral" else "level_1, level_2 and level_3"
            found.skip(relative(inner, root), f"not a level: {folder.name} has {allowed}")
        else:
            _find_level(root, person, inner, found)


def _find_level(root: Path, person: Path, folder: Path, found: Found) -> None:
    emotion, level = folder.parent.name, int(folder.name.removeprefix("level_"))
    for stem, video in one_per_stem(filter(is_video, visible(folder)), ".mp4", root, found).items():
        if not _SENTENCE.fullmatch(stem):
            found.skip(relative(video, root), "its name is not a sentence number of three digits")
            continue
        audio = speech_beside(person / "audio" / emotion / folder.name, stem)
        found.sources.append(
            Source(
                id=f"{person.name}/{emotion}/{folder.name}/{stem}",
                video=relative(video, root),
                audio=relative(audio, root) if audio else None,
                identity=person.name,
                emotion=emotion,
                level=level,
                sentence=stem,
            )
        )
