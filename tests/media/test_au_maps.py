"""Maps between AU vocabularies, and the measured dead zone of arkit52 -> feafa24."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.media import au
from bench.media.au import VOCABULARIES, AUTrack
from bench.media.au_maps import ARKIT_TO_FEAFA, DEAD_ZONE_FLOOR, MAPS, REST, base_name, convert, dead_zone_of, read
from bench.media.clip import Clip
from bench.media.errors import MediaError
from benchmarks.measure_dead_zone import blendshapes, measure
from metrics.extractors.landmarks import Landmarks

JAW_FLOOR = 0.2
"""Correlation of jaw drop with loudness; measured on the seven clips: 0.32 to 0.67, mean 0.47."""


@pytest.fixture(scope="module")
def grid_blendshapes(assets, grid_clips) -> dict[str, np.ndarray]:
    """Clip -> blendshapes, float32 (75, 52)."""
    landmarks = Landmarks({"face_landmarker": assets / "models" / "face_landmarker_v2_with_blendshapes.task"})
    return {path.name: blendshapes(Clip(path), landmarks) for path in grid_clips}


def one(vocabulary: str, **values: float) -> np.ndarray:
    """A row of zeros but for these columns."""
    row = np.zeros((1, len(VOCABULARIES[vocabulary])))
    for name, value in values.items():
        row[0, VOCABULARIES[vocabulary].index(name)] = value
    return row


def named(vocabulary: str, row: np.ndarray) -> dict[str, float]:
    """The columns that are not 0."""
    names = VOCABULARIES[vocabulary].names
    return {name: pytest.approx(value, abs=1e-5) for name, value in zip(names, row[0].tolist(), strict=True) if value}


# -- every map ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("au_map", MAPS.values(), ids=lambda m: f"{m.source}-{m.target}")
def test_a_map_keeps_its_promises(au_map):
    """Oracle: the declaration. Range kept, unobserved reads 0, no lost column moves anything, NaN stays NaN."""
    source, target = VOCABULARIES[au_map.source], VOCABULARIES[au_map.target]
    rng = np.random.default_rng(0)
    values = rng.random((50, len(source))) * source.high
    mapped = au_map(values)
    assert mapped.dtype == np.float32 and mapped.shape == (50, len(target))
    assert (mapped >= 0).all() and (mapped <= np.array(target.high)).all()
    unruled = set(au_map.unobserved) - set(au_map.blind)
    assert unruled or au_map.blind
    for name in unruled:
        assert not mapped[:, target.index(name)].any()
    changed = values.copy()
    changed[:, [source.index(name) for name in au_map.lost]] = 0.123
    np.testing.assert_array_equal(au_map(changed), mapped)
    assert set(au_map.lost), "every map here loses something"
    values[3] = np.nan
    np.testing.assert_array_equal(np.isnan(au_map(values)).all(1), np.arange(50) == 3)
    for column in np.flatnonzero(target.binary):
        assert set(np.unique(mapped[:, column])) <= {0, 1}


@pytest.mark.parametrize("au_map", MAPS.values(), ids=lambda m: f"{m.source}-{m.target}")
def test_full_range_is_reached(au_map):
    """Oracle: everything at its maximum maps to everything observed at its maximum."""
    full = au_map(np.array([VOCABULARIES[au_map.source].high]))
    for rule in au_map.rules:
        column = VOCABULARIES[au_map.target].index(rule.target)
        assert full[0, column] == VOCABULARIES[au_map.target].high[column]


@pytest.mark.parametrize(
    "au_map", [m for m in MAPS.values() if m.source != "arkit52"], ids=lambda m: f"{m.source}-{m.target}"
)
def test_columns_that_map_share_a_facs_number(au_map):
    """Oracle: FACS. Between vocabularies with FACS numbers a target shares one with each source, but for AU25."""
    source, target = VOCABULARIES[au_map.source], VOCABULARIES[au_map.target]
    for rule in au_map.rules:
        numbers = set(target.facs[target.index(rule.target)])
        if numbers != {25}:
            assert all(numbers & set(source.facs[source.index(name)]) for name in rule.sources), rule


def test_feafa_to_openface_by_hand():
    """Oracle: by hand. A smile of 0.6 on both sides is AU12 at 3 and present; on one side 1.5; sucked lips are AU28."""
    both = MAPS["feafa24", "openface35"](one("feafa24", lip_corner_left=0.6, lip_corner_right=0.6))
    assert named("openface35", both) == {"AU12_r": 3.0, "AU12_c": 1.0}
    left = MAPS["feafa24", "openface35"](one("feafa24", lip_corner_left=0.6))
    assert named("openface35", left) == {"AU12_r": 1.5, "AU12_c": 1.0}
    weak = MAPS["feafa24", "openface35"](one("feafa24", chin_raise=0.19))
    assert named("openface35", weak) == {"AU17_r": 0.95}
    suck = MAPS["feafa24", "openface35"](one("feafa24", lower_lip_suck=0.5))
    assert named("openface35", suck) == {"AU28_c": 1.0}


def test_openface_to_feafa_and_libreface_by_hand():
    """Oracle: by hand."""
    blink = MAPS["openface35", "feafa24"](one("openface35", AU45_r=5, AU45_c=1, AU12_c=1))
    assert named("feafa24", blink) == {"eye_close_left": 1.0, "eye_close_right": 1.0}
    both = MAPS["openface35", "libreface24"](one("openface35", AU12_r=2.5, AU12_c=1, AU26_r=1))
    assert named("libreface24", both) == {"au_12": 1.0, "au_12_intensity": 2.5, "au_26_intensity": 1.0}
    assert MAPS["openface35", "libreface24"].unobserved == ("au_24",)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.sampled_from(["lip_corner", "brow_lower", "eye_close", "lid_raise", "brow_raise", "lip_stretch"])))
def test_there_and_back_keeps_symmetric_units(names):
    """Metamorphic: what has no sides and a unit on both ends survives feafa24 -> openface35 -> feafa24."""
    row = one("feafa24", **{f"{name}_{side}": 0.7 for name in names for side in ("left", "right")})
    back = MAPS["openface35", "feafa24"](MAPS["feafa24", "openface35"](row))
    np.testing.assert_allclose(back, row, atol=1e-6)


def test_convert_finds_the_way():
    """Oracle: the maps themselves; a part goes through what holds it; no way is an error that lists all."""
    track = AUTrack(np.full((3, 24), 0.5, np.float32), 25.0, "feafa24")
    assert convert(track, "openface18").vocabulary == "openface18"
    np.testing.assert_array_equal(convert(track, "feafa24").values, track.values)
    np.testing.assert_array_equal(convert(track, "openface17")["AU26_r"], [2.5, 2.5, 2.5])
    np.testing.assert_array_equal(convert(convert(track, "openface35"), "libreface12")["au_12"], [1, 1, 1])
    with pytest.raises(ValueError, match="arkit52 -> feafa24"):
        convert(track, "arkit52")


@pytest.mark.parametrize(
    ("shape", "unit"),
    [
        ("eyeBlinkLeft", "eye_close_left"),
        ("eyeWideRight", "lid_raise_right"),
        ("browDownLeft", "brow_lower_left"),
        ("browOuterUpRight", "brow_raise_right"),
        ("jawOpen", "jaw_drop"),
        ("jawLeft", "jaw_left"),
        ("mouthSmileRight", "lip_corner_right"),
        ("mouthStretchLeft", "lip_stretch_left"),
        ("mouthRollUpper", "upper_lip_suck"),
        ("mouthRollLower", "lower_lip_suck"),
        ("jawForward", "jaw_thrust"),
        ("mouthShrugLower", "chin_raise"),
        ("mouthPucker", "lip_pucker"),
        ("cheekPuff", "cheek_puff"),
    ],
)
def test_one_blendshape_moves_one_unit(shape, unit):
    """Oracle: by hand, ARKit's and FEAFA's descriptions; both name the sides of the person."""
    assert named("feafa24", ARKIT_TO_FEAFA(one("arkit52", **{shape: 1.0}))) == {unit: 1.0}


def test_two_blendshapes_make_one_unit_of_lips_and_nose():
    """Oracle: by hand; FEAFA's raised upper lip, lowered lower lip and wrinkled nose have no sides."""
    for shape, unit in (
        ("mouthUpperUp", "upper_lip_raise"),
        ("mouthLowerDown", "lower_lip_depress"),
        ("noseSneer", "nose_wrinkle"),
    ):
        both = ARKIT_TO_FEAFA.combine(one("arkit52", **{f"{shape}Left": 0.4, f"{shape}Right": 0.8}))
        assert named("feafa24", both) == {unit: 0.6}


# -- the dead zone --------------------------------------------------------------------------------------------------


def test_dead_zone_formula():
    """Oracle: (x - d) / (1 - d) by hand at d, just above it, and 1."""
    zone = ARKIT_TO_FEAFA.dead_zone["jaw_drop"]
    rows = np.concatenate([one("arkit52", jawOpen=x) for x in (zone / 2, zone, (1 + zone) / 2, 1)])
    column = VOCABULARIES["feafa24"].index("jaw_drop")
    np.testing.assert_allclose(ARKIT_TO_FEAFA(rows)[:, column], [0, 0, 0.5, 1], atol=1e-6)
    assert all(zone >= DEAD_ZONE_FLOOR for zone in ARKIT_TO_FEAFA.dead_zone.values())


def test_a_mirrored_face_gives_mirrored_units():
    """Metamorphic: exchanging Left and Right of the blendshapes exchanges left and right of the AUs, bit for bit."""

    def mirror(names, left, right):
        other = {n: n.replace(left, "\0").replace(right, left).replace("\0", right) for n in names}
        return [names.index(other[name]) for name in names]

    values = np.random.default_rng(0).random((20, 52)) ** 3
    arkit = mirror(VOCABULARIES["arkit52"].names, "Left", "Right")
    feafa = mirror(VOCABULARIES["feafa24"].names, "left", "right")
    np.testing.assert_array_equal(ARKIT_TO_FEAFA(values[:, arkit]), ARKIT_TO_FEAFA(values)[:, feafa])


def test_blendshapes_are_never_zero_and_the_dead_zone_makes_them_sparse(grid_blendshapes):
    """Oracle: real neutral speech. 24 of 24 above 0 without the zone; with it 5.3 to 7.8 per clip, 6.9 in the mean."""
    assert len(grid_blendshapes) == 7
    active = []
    for values in grid_blendshapes.values():
        assert len(values) == 75
        assert (ARKIT_TO_FEAFA.combine(values) > 0).all()
        active.append(float((ARKIT_TO_FEAFA(values) > 0).sum(1).mean()))
    assert all(5 <= count <= 12 for count in active), active
    assert np.mean(active) == pytest.approx(6.9, abs=0.3)


def test_the_committed_table_is_what_is_measured(grid_blendshapes):
    """Oracle: the measurement, made again. 0.01 allows for other processors; the zones must come out the same."""
    again = measure(list(grid_blendshapes.values()))
    assert set(again) == set(REST) == {base_name(name) for name in VOCABULARIES["feafa24"].names}
    for name, rest in again.items():
        np.testing.assert_allclose(rest, REST[name], atol=0.01, err_msg=name)
        assert dead_zone_of(rest) == pytest.approx(dead_zone_of(REST[name]), abs=0.0101)


def test_what_it_cannot_see_stays_near_zero(grid_blendshapes):
    """Oracle: the measurement: jaw thrust, puff and nose wrinkle never leave 0 by more than 0.0014."""
    assert ARKIT_TO_FEAFA.unobserved == ("jaw_thrust", "cheek_puff", "nose_wrinkle")
    columns = [VOCABULARIES["feafa24"].index(name) for name in ARKIT_TO_FEAFA.unobserved]
    for values in grid_blendshapes.values():
        assert ARKIT_TO_FEAFA.combine(values)[:, columns].max() < 0.005


def test_the_jaw_follows_the_voice(grid_blendshapes, grid_clips):
    """Oracle: speech. Jaw drop correlates with the loudness of the same frame in every clip, and with another speaker's
    loudness less in the mean."""
    column = VOCABULARIES["feafa24"].index("jaw_drop")
    jaws = [ARKIT_TO_FEAFA(grid_blendshapes[path.name])[:, column] for path in grid_clips]
    voices = [loudness(Clip(path)) for path in grid_clips]
    r = np.array([[np.corrcoef(jaw, voice)[0, 1] for voice in voices] for jaw in jaws])
    own, others = np.diag(r), r[~np.eye(7, dtype=bool)]
    assert (own > JAW_FLOOR).all(), own
    assert own.mean() > others.mean() + 0.1, (own.mean(), others.mean())


def loudness(clip: Clip) -> np.ndarray:
    """Level of every frame's sound in dB, float64 (75,); -80 dB and less is silence."""
    samples = np.zeros(75 * 640)
    samples[: len(clip.audio)] = clip.audio[: len(samples)]
    return 20 * np.log10(np.sqrt((samples.reshape(75, 640) ** 2).mean(1)) + 1e-4)


@pytest.mark.parametrize("suffix", [".csv", ".json"])
def test_a_file_in_another_vocabulary_is_read_through_the_map(tmp_path, suffix):
    track = AUTrack(np.random.default_rng(0).random((9, 24), np.float32), 25.0, "feafa24")
    path = tmp_path / f"track{suffix}"
    au.write(track, path)
    np.testing.assert_array_equal(read(path, "openface35").values, convert(track, "openface35").values)
    np.testing.assert_array_equal(read(path, "feafa24").values, track.values)


def test_a_file_with_both_gives_its_own_columns(tmp_path):
    """Oracle: values that no map could have made."""
    feafa = AUTrack(np.zeros((9, 24), np.float32), 25.0, "feafa24")
    openface = AUTrack(np.full((9, 35), 0.5, np.float32), 25.0, "openface35")
    au.write(feafa, tmp_path / "both.csv", openface)
    np.testing.assert_array_equal(read(tmp_path / "both.csv", "openface35").values, openface.values)
    np.testing.assert_array_equal(read(tmp_path / "both.csv", "feafa24").values, feafa.values)


def test_a_file_that_no_map_leads_from_is_refused(tmp_path):
    au.write(AUTrack(np.zeros((9, 24), np.float32), 25.0, "libreface24"), tmp_path / "track.json")
    with pytest.raises(MediaError, match="track.json: no map from libreface24 to openface35"):
        read(tmp_path / "track.json", "openface35")
    with pytest.raises(MediaError, match="nothing.csv"):
        read(tmp_path / "nothing.csv", "openface35")
