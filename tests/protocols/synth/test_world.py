"""Clips of the synthetic world and their files. Oracles: the same clip made again, and files read back."""

import numpy as np
import pytest

from bench.media import au
from bench.media.au_maps import convert
from bench.media.clip import Clip
from protocols.synth.files import clip_path, make_ready, write_clip
from protocols.synth.protocols import SynthDisentangle
from protocols.synth.world import FPS, MIN_FRAMES, ClipSpec, make_clip

SPEC = ClipSpec("T02", "happy", 3, 4)


@pytest.fixture(scope="module")
def clip():
    return make_clip(SPEC)


def test_a_clip_follows_from_its_names_alone(clip):
    make_clip(ClipSpec("T05", "sad", 1, 2))
    again = make_clip(SPEC)
    for name in ("frames", "audio", "landmarks", "pose", "gaze"):
        assert np.array_equal(getattr(clip, name), getattr(again, name)), name
    assert np.array_equal(clip.aus.values, again.aus.values)


def test_shapes_agree(clip):
    count = len(clip.frames)
    assert count >= MIN_FRAMES and clip.frames.shape == (count, 128, 128, 3)
    assert clip.landmarks.shape == (count, 478, 2) and clip.aus.values.shape == (count, 24)
    assert len(clip.audio) == round(count * 16000 / FPS)


def test_another_size_is_the_same_performance(clip):
    large = make_clip(SPEC, (192, 192), num_frames=len(clip.frames))
    assert np.array_equal(large.aus.values, clip.aus.values)
    assert np.allclose(large.landmarks, clip.landmarks * 1.5, atol=1e-3)


def test_another_sentence_emotion_person_or_family_is_another_clip(clip):
    for other in (
        ClipSpec("T02", "happy", 3, 5),
        ClipSpec("T02", "sad", 3, 4),
        ClipSpec("T03", "happy", 3, 4),
        ClipSpec("T02", "happy", 3, 4, "outdoor"),
    ):
        assert other.digest != SPEC.digest
        assert not np.array_equal(make_clip(other).frames[:20], clip.frames[:20])


def test_files_hold_the_clip_exactly(tmp_path, clip):
    write_clip(tmp_path, SPEC)
    path = clip_path(tmp_path, SPEC)
    stored = Clip(path)
    assert np.array_equal(stored.frames, clip.frames)
    assert np.abs(stored.audio - clip.audio).max() <= 1 / 32768
    assert np.array_equal(au.read(path.with_suffix(".csv"), "feafa24").values, clip.aus.values)
    assert np.allclose(au.read(path.with_suffix(".csv"), "openface35").values, convert(clip.aus, "openface35").values)
    with np.load(path.with_suffix(".npz")) as truth:
        assert np.array_equal(truth["landmarks"], clip.landmarks)


def test_only_what_is_needed_is_rendered_and_only_once(tmp_path):
    protocol = SynthDisentangle()
    cases = protocol.cases(tmp_path)[:1]
    steps = []
    protocol.make_ready(cases, steps.append)
    made = sorted(tmp_path.rglob("*.mkv"))
    assert set(made) == {cases[0].target, cases[0].reference} and steps == [2, 2]
    times = [path.stat().st_mtime_ns for path in made]
    protocol.make_ready(cases, steps.append)
    assert steps == [2, 2] and [path.stat().st_mtime_ns for path in made] == times


def test_processes_make_the_same_files_as_one(tmp_path):
    specs = [ClipSpec("T01", "angry", level, 1) for level in (1, 2, 3)] + [ClipSpec("T04", "fear", 2, 3)]
    assert make_ready(tmp_path / "many", specs, (64, 64), workers=2) == 4
    for spec in specs:
        write_clip(tmp_path / "one", spec, (64, 64))
        for suffix in (".mkv", ".csv", ".npz"):
            here, there = (clip_path(tmp_path / where, spec).with_suffix(suffix) for where in ("many", "one"))
            assert here.read_bytes() == there.read_bytes(), suffix
