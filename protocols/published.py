"""The published protocols: case lists from a spec under specs/ and the manifest of a prepared data set.

A spec is data: whose clips, which of them is the reference, at which rate and size, scored by which variants of the
metrics, and what of that is the paper's word and what our reading. The classes below only give each spec a name that
can be imported.
"""

from __future__ import annotations

import hashlib
import tomllib
from collections import Counter, defaultdict
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict

from bench.media.errors import UserError
from protocols import iuface182
from protocols.case_list import read_list
from protocols.manifest import Manifest, ManifestClip, read_manifest
from protocols.protocol import AUSource, Case, Protocol

SPECS = Path(__file__).parent / "specs"
NAMED = 5
"""Missing clips that a line names before it counts the others."""


class ProtocolSpec(BaseModel):
    """A published protocol as data: specs/NAME.toml."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    title: str
    """One line for listings."""
    paper: str
    """Whose protocol it is, and where in the paper."""
    dataset: Literal["mead", "crema", "hdtf"]
    """What `bench prepare` is asked for."""
    counterpart: str | None = None
    """The synthetic protocol that mirrors it."""
    identities: tuple[str, ...] = ()
    """Whose clips are taken; empty takes everybody's."""
    clips: str | None = None
    """List under lists/ with exactly the clips that are taken."""
    first: str | None = None
    """List under lists/ whose clips come first."""
    balance: tuple[Literal["identity", "emotion", "level"], ...] = ()
    """Clips without a list come in rounds, one of each combination of these a round."""
    reference: Literal["first frame of the target", "first frame of a neutral clip of the same subject"]
    """The reference image."""
    driver: str
    """Whose speech and AUs drive, in words."""
    expected: dict[str, int] = {}
    """Clips of each identity in the complete data set, as far as it is known."""
    expected_clips: int | None = None
    """Clips in all, where they are not known by identity."""
    fps: float
    """Frames per second; for `aus`, AU vectors per second."""
    size: tuple[int, int]
    """(height, width) at which everything is scored."""
    frames: int | None = None
    """Frames per case from the clip's start, and the fewest a clip must have; None takes each clip's length."""
    storage: str = "lossless"
    """How generated frames are stored before scoring."""
    clip_length: str
    """The policy on clip length, in words."""
    default_limit: int | None = None
    """Cases run by default; None runs all."""
    default_subset: str
    """Which these are and what they cost, in words."""
    au_sources: tuple[AUSource, ...]
    """Where a method may take its AUs from."""
    output: Literal["video", "aus"] = "video"
    """What a method answers with."""
    published: tuple[str, ...]
    """Metrics of the published tables, in the variant that each most likely used."""
    also: tuple[str, ...] = ()
    """Metrics the papers do not print: the suite's defaults beside an uncommon scale, and its own."""
    words: dict[str, str]
    """What is the paper's word: topic -> what it says, in our words, and (section 4.1; Table 2), where."""
    reading: dict[str, str]
    """What is our reading: topic -> what we take, and why."""


@cache
def read_spec(name: str) -> ProtocolSpec:
    """specs/NAME.toml."""
    return ProtocolSpec(**tomllib.loads((SPECS / f"{name}.toml").read_text("utf-8")))


class Published(Protocol):
    """A protocol whose cases come from a manifest; `class X(Published, spec="x")` reads specs/x.toml."""

    spec: ClassVar[ProtocolSpec]

    def __init_subclass__(cls, spec: str) -> None:
        cls.spec = read_spec(spec)
        cls.name, cls.title, cls.paper = spec, cls.spec.title, cls.spec.paper

    def __init__(self, **changes: Any) -> None:
        kept = self.spec.model_dump(include=set(type(self).model_fields))
        super().__init__(**kept | {"metrics": self.spec.published + self.spec.also} | changes)

    def cases(self, data: Path | None) -> list[Case]:
        """Cases over the clips that the manifest in `data` holds, in an order that only the manifest decides."""
        manifest = self._manifest(data)
        assert data is not None
        chosen = self._chosen(manifest)
        if not chosen:
            needed = f"the clips of lists/{self.spec.clips}.txt" if self.spec.clips else _join(self.spec.identities)
            raise UserError(
                f"{data}: has no case of protocol {self.name}, which takes {needed or 'every clip'}"
                f"{f' of {self.frames} frames or more' if self.frames else ''}; report.md there says what was skipped"
            )
        return [clip_case(data, target, reference) for target, reference in chosen]

    def training_cases(self, data: Path | None) -> list[Case]:
        """Clips of everybody whom no case tests, each its own reference."""
        manifest = self._manifest(data)
        assert data is not None
        tested = {target.identity for target, _ in self._chosen(manifest)} | {*self.spec.identities}
        clips = [clip for clip in manifest.clips if clip.identity not in tested]
        if not clips:
            raise UserError(
                f"{data}: protocol {self.name} tests everybody whose clips are here: {_join(sorted(tested))}"
            )
        return [clip_case(data, clip, clip) for clip in clips]

    def incomplete(self, data: Path | None) -> str | None:
        manifest = self._manifest(data)
        lacks = self._lacking_clips(manifest) if self.spec.clips else self._lacking_counts(manifest)
        if self.size != manifest.size:
            sizes = " and ".join(f"{height}x{width}" for height, width in (manifest.size, self.size))
            lacks.append(f"the clips' and the protocol's height and width differ: {sizes}")
        return "; ".join([*lacks, "report.md of the prepared folder has all of it"]) if lacks else None

    def _manifest(self, data: Path | None) -> Manifest:
        dataset = self.spec.dataset
        if data is None:
            raise UserError(
                f"protocol {self.name} needs --data DIR, a data set made ready with: "
                f"python -m bench prepare {dataset} --root OFFICIAL --out DIR"
            )
        return read_manifest(data, dataset)

    def _chosen(self, manifest: Manifest) -> list[tuple[ManifestClip, ManifestClip]]:
        """(target, clip whose first frame is the reference) of every case."""
        clips = {clip.id: clip for clip in manifest.clips}
        usable = {id: clip for id, clip in clips.items() if clip.frames >= (self.frames or 1)}
        if self.spec.clips == "mead_iuface182":
            chosen = iuface182.choose([target.clip for target in iuface182.targets()], usable)
            if self.spec.reference == "first frame of the target":
                return [(clips[id], clips[id]) for id in chosen.values()]
            # The reference belongs to the listed target, also where another clip stands in for it.
            neutral = {slot: next((id for id in iuface182.neutral_clips(slot) if id in clips), None) for slot in chosen}
            return [(clips[id], clips[face]) for slot, id in chosen.items() if (face := neutral[slot])]
        listed = [columns[0] for columns in read_list(self.spec.clips)] if self.spec.clips else None
        ids = self._in_rounds(usable.values()) if listed is None else [id for id in listed if id in usable]
        return [(usable[id], usable[id]) for id in ids]

    def _in_rounds(self, clips: Iterable[ManifestClip]) -> list[str]:
        """Ids of the identities' clips: those of `first`, then one of each combination of `balance` a round."""
        cells = defaultdict(list)
        for clip in clips:
            if not self.spec.identities or clip.identity in self.spec.identities:
                cells[tuple(getattr(clip, field) for field in self.spec.balance)].append(clip.id)
        places = {}
        for ids in cells.values():
            places |= {id: place for place, id in enumerate(sorted(ids, key=_digest))}
        first = {columns[0] for columns in read_list(self.spec.first)} if self.spec.first else set()
        return sorted(places, key=lambda id: (id not in first, 0 if id in first else places[id], _digest(id)))

    def _lacking_clips(self, manifest: Manifest) -> list[str]:
        """What of a list is not in the data; neither a clip that is too short lacks, nor one that does not exist."""
        here = {clip.id for clip in manifest.clips}
        listed = [columns[0] for columns in read_list(self.spec.clips or "")]
        whole = {who for who, (count, full) in self._counts(manifest).items() if count >= full}
        absent = [id for id in listed if id not in here and id.split("/")[0] not in whole]
        lacks = []
        if absent:
            found = f"{len(listed) - len(absent)} of {len(listed)} listed clips are here"
            stand_ins = ", others of the subject and emotion stand in where there are any"
            lacks.append(f"{found}{stand_ins if self.spec.clips == 'mead_iuface182' else ''}; missing: {_join(absent)}")
        if self.spec.reference != "first frame of the target":
            subjects = sorted({id.split("/")[0] for id in listed})
            faceless = [s for s in subjects if not any(id.startswith(f"{s}/neutral/") for id in here)]
            lacks += [f"no neutral clip of {_join(faceless)}"] if faceless else []
        return lacks

    def _lacking_counts(self, manifest: Manifest) -> list[str]:
        counts = self._counts(manifest)
        short = [f"{who} {count} of {full}" for who, (count, full) in counts.items() if count < full]
        if short:
            found = sum(min(count, full) for count, full in counts.values())
            return [f"{found} of {sum(self.spec.expected.values())} clips are here: {_join(short)}"]
        if self.spec.expected_clips and len(manifest.clips) < self.spec.expected_clips:
            missing = f"; missing: {_join(manifest.missing)}" if manifest.missing else ""
            return [f"{len(manifest.clips)} of {self.spec.expected_clips} clips are here{missing}"]
        return []

    def _counts(self, manifest: Manifest) -> dict[str, tuple[int, int]]:
        """Identity -> (clips in the data, clips of the complete data set)."""
        counts = Counter(clip.identity for clip in manifest.clips)
        return {who: (counts[who], full) for who, full in self.spec.expected.items()}


def clip_case(data: Path, target: ManifestClip, reference: ManifestClip) -> Case:
    """A clip of the manifest in `data` as a case that drives itself, with another's first frame or its own."""
    path = data / target.file
    return Case(
        id=target.id, identity=target.identity, emotion=target.emotion, level=target.level,
        reference=data / reference.file, driving=path, target=path, aus=data / target.aus if target.aus else None,
    )  # fmt: skip


def _digest(id: str) -> str:
    return hashlib.sha256(id.encode()).hexdigest()


def _join(names: Iterable[str]) -> str:
    names = list(names)
    more = [f"and {len(names) - NAMED} more"] if len(names) > NAMED else []
    return ", ".join(names[:NAMED] + more)


class MeadStd(Published, spec="mead_std"):
    """AUHead's MEAD test."""


class MeadStdEat100(Published, spec="mead_std_eat100"):
    """The 100 MEAD clips that EAT's numbers are means over."""


class CremaStd(Published, spec="crema_std"):
    """AUHead's CREMA-D test."""


class MeadStdIUFace(Published, spec="mead_std_iuface"):
    """IUFace's standard setting on 182 MEAD clips."""


class MeadDisentangle(Published, spec="mead_disentangle"):
    """IUFace's disentanglement benchmark."""


class HdtfGeneralise(Published, spec="hdtf_generalise"):
    """IUFace's generalisation benchmark."""


class MeadStage1(Published, spec="mead_stage1"):
    """AUHead's first stage on MEAD."""


class CremaStage1(Published, spec="crema_stage1"):
    """AUHead's first stage on CREMA-D."""
