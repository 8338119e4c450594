"""Identities and settings of the synthetic world: drawn from a name, the same everywhere, and varied."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import asdict

import numpy as np
import pytest

from protocols.synth.person import BACKGROUNDS, HAIR_STYLES, generator, person, setting


def test_a_name_gives_the_same_person_in_every_process():
    """Against another interpreter with another hash seed."""
    code = "from protocols.synth.person import person, setting; print(person('a'), setting('a', 'outdoor'))"
    other = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env={"PYTHONHASHSEED": "7"}
    )
    assert other.stdout.strip() == f"{person('a')} {setting('a', 'outdoor')}"


def test_names_give_different_people():
    """By counting distinct values among 50 names, looks and voices alike."""
    people = [person(f"id-{i}") for i in range(50)]
    assert len({p.shape for p in people}) == len({p.style for p in people}) == len({p.palette for p in people}) == 50
    assert len({p.voice for p in people}) == 50


def test_generator_keeps_names_apart():
    """By construction: ("ab", "c") is not ("a", "bc")."""
    assert generator("ab", "c").random() != generator("a", "bc").random()


@pytest.fixture(scope="module")
def crowd():
    return [person(f"crowd-{i}") for i in range(300)]


def test_looks_cover_the_human_range(crowd):
    """By spread over 300 people: skin from dark to light, every hair style, high and low voices."""
    luminance = np.array([np.dot(p.palette.skin, (0.21, 0.72, 0.07)) for p in crowd])
    assert luminance.min() < 0.35 and luminance.max() > 0.78 and luminance.std() > 0.1
    assert {p.hair_style for p in crowd} == set(HAIR_STYLES)
    pitch = np.array([p.voice.f0_hz for p in crowd])
    assert pitch.min() < 115 and pitch.max() > 195


def test_values_are_in_their_ranges(crowd):
    """By the documented ranges of colours, gains and voices."""
    for p in crowd:
        for colour in (p.palette.skin, p.palette.lips, p.palette.brows, p.palette.iris, p.hair):
            assert min(colour) >= 0 and max(colour) <= 1
        assert np.abs(np.array(p.style.gains) - 1).max() <= 0.08
        assert max(abs(v) for v in asdict(p.shape).values()) <= 1.9
        assert 70 < p.voice.f0_hz < 330 and 0.85 < p.voice.formant_scale < 1.3


def test_movement_follows_the_face_in_part(crowd):
    """By correlation over 300 people: chin dimples with narrow chins, far from perfectly."""
    chin = [p.shape.chin_width for p in crowd]
    dimple = [p.style.chin_dimple for p in crowd]
    assert -0.8 < np.corrcoef(chin, dimple)[0, 1] < -0.4


def test_outdoors_is_no_studio():
    """By the kinds of background: none in common, and every kind occurs."""
    assert not set(BACKGROUNDS["studio"]) & set(BACKGROUNDS["outdoor"])
    for family, kinds in BACKGROUNDS.items():
        assert {setting(f"s-{i}", family).background for i in range(60)} == set(kinds)


def test_importing_the_world_stays_light():
    """Against sys.modules: the specs of the synthetic world import nothing heavier than numpy."""
    code = "import sys, protocols.synth.figure; print({'numba', 'scipy', 'cv2', 'torch'} & set(sys.modules))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert loaded.stdout.strip() == "set()"
