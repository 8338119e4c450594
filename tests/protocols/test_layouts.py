"""Official layouts. Oracles: trees of empty files made here, names and numbers written out by hand, and the data sets' own
tables read a second time by plain string handling."""

import shutil

import pytest

from bench.media.errors import UserError
from protocols.case_list import listed_clips
from protocols.layouts import crema, hdtf, mead
from protocols.layouts.source import Found, Window


def touch(root, *names):
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def skipped(found: Found) -> dict[str, str]:
    return {one.source: one.reason for one in found.broken}


# -- MEAD -------------------------------------------------------------------------------------------------------------


def test_mead_names_are_read_from_the_path(tmp_path):
    """Oracle: one clip written out by hand; other views and hidden files are no clips."""
    touch(
        tmp_path,
        "W009/video/front/angry/level_2/017.mp4",
        "W009/video/left_30/angry/level_2/017.mp4",
        "W009/video/front/angry/level_2/._017.mp4",
        "W009/audio/angry/level_2/017.m4a",
        "readme.txt",
    )
    found = mead.find(tmp_path)
    assert [source.model_dump() for source in found.sources] == [
        {
            "id": "W009/angry/level_2/017", "video": "W009/video/front/angry/level_2/017.mp4",
            "audio": "W009/audio/angry/level_2/017.m4a", "soundtrack": False, "start": 0.0, "stop": None, "crop": "face",
            "identity": "W009", "emotion": "angry", "level": 2, "sentence": "017",
        }
    ]  # fmt: skip
    assert not found.broken and not found.left_out


def test_mead_speech_beside_the_video(tmp_path):
    """Oracle: by hand: m4a before wav, wav where there is no m4a, none where there is neither."""
    folder = "M003/{}/happy/level_1/{}"
    touch(tmp_path, *(folder.format("video/front", f"00{i}.mp4") for i in (1, 2, 3)))
    touch(tmp_path, *(folder.format("audio", name) for name in ("001.m4a", "001.wav", "002.wav")))
    assert [source.audio and source.audio.rpartition("/")[2] for source in mead.find(tmp_path).sources] == [
        "001.m4a",
        "002.wav",
        None,
    ]


def test_mead_says_what_is_no_clip(tmp_path):
    """Oracle: one entry per cause, by hand."""
    front = "M003/video/front/"
    touch(
        tmp_path,
        f"{front}angry/level_1/001.mp4",
        f"{front}angry/level_1/001.mov",
        f"{front}angry/level_4/001.mp4",
        f"{front}angry/level_1/take2.mp4",
        f"{front}bored/level_1/001.mp4",
        f"{front}neutral/level_2/001.mp4",
        "M009/video.tar",
        "M011/video/left_30/angry/level_1/001.mp4",
    )
    found = mead.find(tmp_path)
    assert [source.video for source in found.sources] == [f"{front}angry/level_1/001.mp4"]
    reasons = skipped(found)
    assert {source: reasons[source].split(":")[0].split(",")[0] for source in reasons} == {
        f"{front}angry/level_1/001.mov": "duplicate",
        f"{front}angry/level_4": "not a level",
        f"{front}angry/level_1/take2.mp4": "its name is not a sentence number of three digits",
        f"{front}bored": "not an emotion of MEAD",
        f"{front}neutral/level_2": "not a level",
        "M009": "has no video/front (video.tar is still packed)",
        "M011": "has no video/front",
    }


def test_mead_missing_names_absent_test_identities(tmp_path):
    """Oracle: EAMM's four test identities minus those prepared, by hand."""
    assert mead.missing(tmp_path, set()) == ("M003", "M030", "W009", "W015")
    assert mead.missing(tmp_path, {"M003/x", "W015/x", "M005/x"})[:2] == ("M030", "W009")


def test_mead_missing_names_clips_of_the_published_lists(assets, tmp_path):
    """Oracle: EAT's list of 100 as its authors wrote it (W015_W015_sad_3_005), spelled out here."""
    emotions = {emotion[:3]: emotion for emotion in mead.EMOTIONS}
    lines = (assets / "splits" / "eat_rand_sample_mead100.txt").read_text("utf-8").split()
    parts = [line.split("_")[1:] for line in lines]
    eat = {f"{who}/{emotions[emotion]}/level_{level}/{number}" for who, emotion, level, number in parts}
    assert len(eat) == 100
    of_one = {id for id in mead.missing(tmp_path, {"M030/x"}) if "/" in id}
    assert {id for id in eat if id.startswith("M030")} <= of_one
    assert all(id.startswith("M030/") for id in of_one)
    assert mead.missing(tmp_path, listed_clips("mead") - {"M030/angry/level_1/001"} | {min(eat)}) == ()
    assert mead.missing(tmp_path, listed_clips("mead") - {min(eat)}) == (min(eat),)


@pytest.mark.parametrize(
    ("given", "expected"),
    [("MEAD/M003", "found video/"), (".", "found MEAD/"), ("MEAD/M003/video", "found front/"), ("nowhere", "no such")],
)
def test_mead_wrong_root(tmp_path, given, expected):
    """Oracle: the root of the tree, which the message must name where the root given is near it."""
    touch(tmp_path, "MEAD/M003/video/front/angry/level_1/001.mp4")
    with pytest.raises(UserError, match=expected) as error:
        mead.find(tmp_path / given)
    assert given == "nowhere" or f"--root {tmp_path / 'MEAD'} looks right" in str(error.value)
    assert given == "nowhere" or "video/front/EMOTION/level_N/NNN.mp4" in str(error.value)


# -- CREMA-D ----------------------------------------------------------------------------------------------------------


def test_crema_names(tmp_path):
    """Oracle: by hand."""
    touch(tmp_path, "VideoFlash/1015_IEO_ANG_HI.flv", "VideoFlash/1091_DFA_NEU_XX.flv", "AudioWAV/1015_IEO_ANG_HI.wav")
    first, second = crema.find(tmp_path).sources
    assert (first.id, first.identity, first.sentence, first.emotion, first.level, first.audio) == (
        "1015_IEO_ANG_HI", "1015", "IEO", "ANG", 3, "AudioWAV/1015_IEO_ANG_HI.wav",
    )  # fmt: skip
    assert (second.identity, second.sentence, second.emotion, second.level, second.audio) == (
        "1091", "DFA", "NEU", None, None,
    )  # fmt: skip


def test_crema_says_what_is_no_clip(tmp_path):
    """Oracle: one entry per cause, by hand."""
    touch(
        tmp_path,
        *(
            f"VideoFlash/{name}"
            for name in (
                "1001_IEO_ANG_HI.flv", "1001_IEO_ANG_HI.mp4", "0999_IEO_ANG_HI.flv", "1001_ABC_ANG_HI.flv",
                "1001_IEO_SUR_HI.flv", "1001_IEO_ANG_X.flv", "1001_IEO_ANG_HI_2.flv", "holiday.flv",
            )
        ),
    )  # fmt: skip
    found = crema.find(tmp_path)
    assert [source.video for source in found.sources] == ["VideoFlash/1001_IEO_ANG_HI.flv"]
    reasons = {source.removeprefix("VideoFlash/"): reason.split(";")[0] for source, reason in skipped(found).items()}
    assert reasons == {
        "1001_IEO_ANG_HI.mp4": "duplicate: 1001_IEO_ANG_HI is taken from VideoFlash/1001_IEO_ANG_HI.flv",
        "0999_IEO_ANG_HI.flv": "no actor '0999' from 1001 to 1091",
        "1001_ABC_ANG_HI.flv": "unknown sentence 'ABC'",
        "1001_IEO_SUR_HI.flv": "unknown emotion 'SUR'",
        "1001_IEO_ANG_X.flv": "unknown level 'X'",
        "1001_IEO_ANG_HI_2.flv": "unknown ending '2'",
        "holiday.flv": "no actor 'holiday' from 1001 to 1091",
    }


def test_crema_table_against_the_layout(assets, tmp_path):
    """Oracle: SentenceFilenames.csv, cut by hand: every name of it is a clip, and the test actors' names are missing until
    they are prepared."""
    table = tmp_path / "SentenceFilenames.csv"
    shutil.copyfile(assets / "splits" / "cremad_SentenceFilenames.csv", table)
    names = [line.split('"')[1] for line in table.read_text("utf-8").splitlines()[1:]]
    assert len(names) == 7442
    (tmp_path / "VideoFlash").mkdir()
    touch(tmp_path, *(f"VideoFlash/{name}.flv" for name in names))
    found = crema.find(tmp_path)
    assert sorted(source.id for source in found.sources) == sorted(names) and not found.broken
    wanted = {name for name in names if name[:4] in crema.TEST_ACTORS}
    assert len(wanted) == 820
    assert crema.missing(tmp_path, set(names)) == ()
    assert crema.missing(tmp_path, set(names) - {"1033_DFA_SAD_XX", "1002_DFA_SAD_XX"}) == ("1033_DFA_SAD_XX",)
    of_one = {name for name in wanted if name.startswith("1015")}
    assert crema.missing(tmp_path, of_one) == crema.TEST_ACTORS[1:]


def test_crema_wrong_root_or_table(tmp_path):
    """Oracle: the tree made here."""
    touch(tmp_path, "CREMA-D/VideoFlash/1001_IEO_ANG_HI.flv")
    with pytest.raises(UserError, match=f"--root {tmp_path / 'CREMA-D'} looks right"):
        crema.find(tmp_path / "CREMA-D" / "VideoFlash")
    (tmp_path / "CREMA-D" / "SentenceFilenames.csv").write_text("a,b\n1,2\n")
    with pytest.raises(UserError, match="no column Filename"):
        crema.missing(tmp_path / "CREMA-D", set())


# -- HDTF -------------------------------------------------------------------------------------------------------------


@pytest.fixture
def lists(assets, tmp_path):
    """A root that holds the official lists and no video."""
    folder = tmp_path / "HDTF_dataset"
    folder.mkdir()
    for path in (assets / "splits").glob("hdtf_*.txt"):
        shutil.copyfile(path, folder / path.name.removeprefix("hdtf_"))
    return tmp_path


def test_hdtf_parts_against_the_lists(lists):
    """Oracle: the lines of the lists counted as text: every part has a line in crop_wh or is left out for the want of
    one, and the five whose rectangle does not fit are those found by hand."""
    ranges = crops = 0
    for path in (lists / "HDTF_dataset").glob("*.txt"):
        lines = [line.split() for line in path.read_text("utf-8-sig").splitlines() if line.strip()]
        ranges += sum(len(line) - 1 for line in lines) if "annotion_time" in path.name else 0
        crops += len(lines) if "crop_wh" in path.name else 0
    assert (ranges, crops) == (436, 421)
    found = hdtf.find(lists)
    assert not found.sources and not found.broken
    without = [one for one in found.left_out if "gives no rectangle" in one.reason]
    misfit = [one.source.split()[0] for one in found.left_out if "does not fit" in one.reason]
    assert len(without) == ranges - crops
    assert misfit == ["WDA_MaggieHassan", "WDA_MazieHirono1", *["WRA_KevinMcCarthy1"] * 2, "WRA_PeterKing"]
    missing = hdtf.missing(lists, {"RD_Radio11_001"})
    assert len(missing) == crops - len(misfit) - 1
    assert listed_clips("hdtf") <= {*missing, "RD_Radio11_001"}
    assert "RD_Radio11_000" in missing and "RD_Radio11_001" not in missing


def test_hdtf_forms_of_a_video(lists):
    """Oracle: the lines `Radio11.mp4 00:30-01:00 01:30-02:30`, `Radio11_1.mp4 557 478 0 478`, `Radio11.mp4 720` and the
    README's naming, by hand; the whole video wins over its parts."""
    window = Window(left=557, top=0, width=478, height=478, of_height=720)
    forms = {
        "videos/Radio11.mp4": (90.0, 150.0, window),
        "_videos_raw/RD_Radio11.webm": (90.0, 150.0, window),
        "split/Radio11_1.mp4": (0.0, None, window),
        "RD_Radio11_001.mp4": (0.0, None, "whole"),
    }
    for name in reversed(forms):
        touch(lists, name)
        source = next(source for source in hdtf.find(lists).sources if source.id == "RD_Radio11_001")
        assert (source.video, (source.start, source.stop, source.crop)) == (name, forms[name])
        assert source.soundtrack and source.audio is None and source.emotion is None
    assert source.name == "videos/Radio11.mp4 01:30-02:30"


def test_hdtf_people_and_duplicates(lists):
    """Oracle: by hand: numbered videos of a politician are one person, numbered radio addresses are not."""
    touch(lists, "AmyKlobuchar0.mp4", "AmyKlobuchar1.mp4", "Radio8.mp4", "Radio9.mp4", "more/Radio9.mkv")
    found = hdtf.find(lists)
    assert {source.identity for source in found.sources} == {"WDA_AmyKlobuchar", "RD_Radio8", "RD_Radio9"}
    assert sum(source.identity == "WDA_AmyKlobuchar" for source in found.sources) == 5
    assert skipped(found) == {"more/Radio9.mkv": "duplicate: Radio9 is taken from Radio9.mp4"}


def test_hdtf_wrong_root_and_damaged_lists(lists):
    """Oracle: the tree made here."""
    with pytest.raises(UserError, match=f"--root {lists} looks right"):
        hdtf.find(lists / "HDTF_dataset")
    times = lists / "HDTF_dataset" / "RD_annotion_time.txt"
    times.write_text("Radio11.mp4 00:30-00:20 01:30-02:30\n")
    with pytest.raises(UserError, match="RD_Radio11_000: time range '00:30-00:20'"):
        hdtf.find(lists)
    (lists / "HDTF_dataset" / "RD_crop_wh.txt").unlink()
    with pytest.raises(UserError, match="RD_crop_wh.txt: absent"):
        hdtf.find(lists)
