"""The published protocols over manifests made here. Oracles: the designs of MEAD and CREMA-D, the data sets' and other
authors' own lists, the papers' text, and counts done by hand."""

import csv
import json
import pickle
import re
from collections import Counter
from pathlib import Path

import pytest

from bench import registry
from bench.media.errors import UserError
from protocols import iuface182, published
from protocols.case_list import LISTS, OF_OTHERS, listed_clips, read_list
from protocols.describe import ORDER, fixed, section
from protocols.layouts import crema, mead
from protocols.published import SPECS, Published, read_spec
from tests.protocols.prepared import MEAD_TEST, crema_clip, crema_ids, hdtf_clip, mead_clip, mead_ids, prepare

NAMES = tuple(sorted(path.stem for path in SPECS.glob("*.toml")))
ROOT = Path(published.__file__).parent


@pytest.fixture(scope="module")
def full_mead(tmp_path_factory):
    """The test subjects as MEAD's design has them, one training subject, all clips of 100 frames."""
    ids = mead_ids(*MEAD_TEST, "M005")
    return prepare(tmp_path_factory.mktemp("mead"), "mead", [mead_clip(id) for id in ids])


@pytest.fixture(scope="module")
def full_crema(tmp_path_factory):
    """The ten test actors and another one."""
    ids = crema_ids(*crema.TEST_ACTORS, "1001")
    return prepare(tmp_path_factory.mktemp("crema"), "crema", [crema_clip(id) for id in ids])


def protocol(name):
    return registry.protocol(name)()


# -- specs ------------------------------------------------------------------------------------------------------------


def test_every_spec_has_its_class_and_its_place_in_the_readme():
    """Oracle: the files under specs/, the registry, the page's sections."""
    classes = {name: registry.protocol(name) for name in registry.PROTOCOLS}
    assert tuple(sorted(name for name, one in classes.items() if issubclass(one, Published))) == NAMES
    assert tuple(sorted(ORDER)) == NAMES
    page = (ROOT / "README.md").read_text("utf-8")
    assert fixed() in page, "README.md: print the table again with python -m protocols.describe"
    for name in NAMES:
        assert section(name) in page + "\n", f"README.md: print `{name}` again with python -m protocols.describe"
        assert re.search(rf"^\| `{name}` \|", page, re.MULTILINE)


@pytest.mark.parametrize("name", NAMES)
def test_specs_name_things_that_exist(name):
    """Oracle: the registry's metrics and protocols, the lists on disk; every spec has words and readings."""
    spec, one = read_spec(name), protocol(name)
    assert one.metrics == spec.published + spec.also
    assert len({registry.metric_key(registry.metric(metric)) for metric in one.metrics}) == len(one.metrics)
    assert spec.counterpart is None or registry.protocol(spec.counterpart)().synthetic
    assert all((LISTS / f"{stem}.txt").is_file() for stem in (spec.clips, spec.first) if stem)
    assert spec.words and spec.reading and not one.synthetic
    assert (one.fps, one.size) == (5.0 if one.output == "aus" else 25.0, (512, 512))
    if spec.default_limit:
        assert str(spec.default_limit) in spec.default_subset
    assert pickle.loads(pickle.dumps(one)) == one


def paper_of(name: str) -> str:
    return "iuface" if read_spec(name).paper.startswith("IUFace") else "auhead"


def test_figures_and_places_are_the_papers(papers):
    """Oracle: the paper's text, its headings and tables. Every `[words]` entry ends with its place."""
    number = re.compile(r"(?<![\w.])\d+(?:,\d{3})*(?:\.\d+)?")
    headings = {"section": r"^#* ?{}\.? [A-Z]", "supplement": r"^{}\. [A-Z]", "Table": r"^Table {}[.:]"}
    for name in NAMES:
        text = (papers / f"{paper_of(name)}.md").read_text("utf-8")
        printed = set(number.findall(text))
        for topic, entry in read_spec(name).words.items():
            said, places = re.fullmatch(r"(.+) \(([^()]+)\)", entry).groups()
            figures = number.findall(said.replace("x", " x "))  # As in 512x512.
            assert set(figures) <= printed, f"{name}, {topic}: {set(figures) - printed}"
            found = re.findall(r"(section|supplement|Table) ([\w.]+)", places)
            assert found, f"{name}, {topic}: no place"
            for kind, place in found:
                heading = headings[kind].format(re.escape(place))
                assert re.search(heading, text, re.MULTILINE), f"{name}, {topic}: no {kind} {place}"


def test_sentences_are_our_own(papers):
    """Oracle: the papers' text. No eight words in a row, case and punctuation aside, are anywhere in protocols/."""

    def runs(path: Path) -> set[str]:
        words = re.findall(r"[^\W_]+", path.read_text("utf-8").casefold())
        return {" ".join(words[n : n + 8]) for n in range(len(words) - 7)}

    theirs = runs(papers / "auhead.md") | runs(papers / "iuface.md")
    ours = [path for path in ROOT.rglob("*") if path.suffix in (".toml", ".py", ".md")]
    assert len(ours) > 30 and len(theirs) > 10_000
    assert {str(path.relative_to(ROOT)): shared for path in ours if (shared := runs(path) & theirs)} == {}


def test_gpu_hours(papers):
    """Oracle: IUFace's seconds per 81 frames times the clips, MEMO's second a frame times clips of 100 and 63 frames."""
    seconds = float(
        re.search(r"IUFace \(Ours\)\t1\.89\t31\.44\t([\d.]+)", (papers / "iuface.md").read_text("utf-8"))[1]
    )
    costs = (ROOT / "README.md").read_text("utf-8").partition("\n## ")[0]
    rows = {cells[1].strip("` "): cells[4:6] for line in costs.splitlines() if len(cells := line.split("|")) == 7}
    hours = {name: [float(re.match(r" *([\d.]+)", cell)[1]) for cell in rows[name]] for name in ORDER[:6]}
    iuface = {"mead_std_iuface": (182, 182), "mead_disentangle": (182, 182), "hdtf_generalise": (77, 416)}
    for name, counts in iuface.items():
        assert hours[name] == pytest.approx([count * seconds / 3600 for count in counts], rel=0.03)
    memo = {"mead_std": (88, 2293, 100), "mead_std_eat100": (100, 100, 100), "crema_std": (60, 820, 63)}
    for name, (default, everything, frames) in memo.items():
        assert hours[name] == pytest.approx([n * frames / 3600 for n in (default, everything)], rel=0.05)


# -- which cases ------------------------------------------------------------------------------------------------------


def test_subjects_are_those_of_others_code(assets):
    """Oracle: split facts gathered from EAT, EDTalk and DAWN, and the layouts' own constants."""
    facts = json.loads((assets / "splits" / "splits_summary.json").read_text())
    for name in ("mead_std", "mead_stage1"):
        assert list(read_spec(name).identities) == facts["mead_test_ids"]["ids"] == list(mead.TEST_IDENTITIES)
        counts = re.findall(r"([MW]\d{3}) (\d{3})", facts["mead_test_ids"]["source"])
        assert read_spec(name).expected == {who: int(count) for who, count in counts}
    for name in ("crema_std", "crema_stage1"):
        assert list(read_spec(name).identities) == [str(id) for id in facts["cremad_test_ids_sda_dawn"]["ids"]]
        assert read_spec(name).identities == crema.TEST_ACTORS
    assert not set(iuface182.SUBJECTS) & set(facts["mead_train_ids"]["ids"])


def test_crema_names_and_counts(assets, full_crema):
    """Oracle: the data set's own table of 7,442 names."""
    with open(assets / "splits" / "cremad_SentenceFilenames.csv", newline="") as file:
        names = {row["Filename"] for row in csv.DictReader(file)}
    actors = read_spec("crema_std").identities
    official = {name for name in names if name.split("_")[0] in actors}
    assert {case.id for case in protocol("crema_std").cases(full_crema)} == official
    assert read_spec("crema_std").expected == Counter(name.split("_")[0] for name in official)
    assert sum(read_spec("crema_std").expected.values()) == 820


def test_lists_are_those_of_their_authors(assets):
    """Oracle: EAT's array and EDTalk's list as text; every id is one that MEAD's design has."""
    words = {word[:3]: word for word in mead.EMOTIONS}
    eat = []
    for line in (assets / "splits" / "eat_rand_sample_mead100.txt").read_text().split():
        subject, again, emotion, level, sentence = line.split("_")
        assert subject == again
        eat.append(f"{subject}/{words[emotion]}/level_{level}/{sentence}")
    assert [id for (id,) in read_list("mead_eat100")] == eat and len(eat) == 100
    assert set(eat) <= set(mead_ids(*MEAD_TEST))
    facts = json.loads((assets / "splits" / "splits_summary.json").read_text())
    assert [id for (id,) in read_list("hdtf_edtalk77")] == facts["hdtf_test_ids_edtalk"]
    assert {"mead_iuface182", *(name for names in OF_OTHERS.values() for name in names)} == {
        path.stem for path in LISTS.glob("*.txt")
    }
    assert (listed_clips("mead"), listed_clips("crema")) == (set(eat), set())


def test_mead_std_takes_all_clips_of_the_test_subjects(full_mead):
    """Oracle: MEAD's design, 670 clips a subject; the first 88 are one of each emotion and level of each subject."""
    cases = protocol("mead_std").cases(full_mead)
    assert {case.id for case in cases} == set(mead_ids(*MEAD_TEST)) and len(cases) == 4 * 670
    first = cases[: read_spec("mead_std").default_limit]
    assert set(Counter((case.identity, case.emotion, case.level) for case in first).values()) == {1}
    assert len(first) == 4 * (7 * 3 + 1)
    assert all(case.reference == case.driving == case.target for case in cases)
    assert cases[0].target == full_mead / f"clips/{cases[0].id}.mkv"


def test_stage1_sees_the_clips_of_the_video_protocols(full_mead, full_crema):
    """Oracle: the video protocols' cases in their order."""
    for stage1, video, data in (("mead_stage1", "mead_std", full_mead), ("crema_stage1", "crema_std", full_crema)):
        assert protocol(stage1).cases(data) == protocol(video).cases(data)
        assert (protocol(stage1).output, protocol(video).output) == ("aus", "video")


def test_the_default_of_crema_is_one_clip_of_each_emotion_of_each_actor(full_crema):
    """Oracle: a count by hand, 10 x 6."""
    first = protocol("crema_std").cases(full_crema)[: read_spec("crema_std").default_limit]
    assert Counter((case.identity, case.emotion) for case in first) == Counter(
        {(actor, emotion): 1 for actor in crema.TEST_ACTORS for emotion in crema.EMOTIONS}
    )


def test_the_order_of_cases_is_the_manifests_alone(tmp_path, full_mead):
    """Oracle: the same clips in another folder."""
    other = prepare(tmp_path, "mead", [mead_clip(id) for id in reversed(mead_ids(*MEAD_TEST, "M005"))])
    for name in ("mead_std", "mead_std_iuface", "mead_disentangle", "mead_std_eat100"):
        assert [case.id for case in protocol(name).cases(other)] == [c.id for c in protocol(name).cases(full_mead)]


def test_hdtf_starts_with_the_listed_parts_and_takes_long_enough_ones(tmp_path):
    """Oracle: EDTalk's list; one part of 80 frames, of 81 that are needed."""
    listed = [id for (id,) in read_list("hdtf_edtalk77")]
    others = [f"WDA_Somebody{n}_000" for n in range(5)]
    clips = [hdtf_clip(id) for id in [*others, *listed[1:]]] + [hdtf_clip(listed[0], frames=80)]
    data = prepare(tmp_path, "hdtf", clips, complete=False, missing=("RD_Radio10_000",))
    cases = protocol("hdtf_generalise").cases(data)
    assert {case.id for case in cases[:76]} == set(listed[1:])
    assert {case.id for case in cases[76:]} == set(others)
    assert {case.id[:2] for case in cases[:10]} > {"WD"}  # The list is alphabetical, the cases are not.
    assert protocol("hdtf_generalise").incomplete(data).startswith("82 of 416 clips are here; missing: RD_Radio10_000")


# -- the 182 ----------------------------------------------------------------------------------------------------------


def test_the_182_follow_their_rule():
    """Oracle: the rule, run again; counts over emotions, levels and subjects by hand."""
    targets = iuface182.targets()
    assert targets == iuface182.derive()
    assert len({target.clip for target in targets}) == 182
    cells = [target.clip.split("/")[:3] for target in targets]
    subjects, emotions, levels = (Counter(column) for column in zip(*cells, strict=True))
    assert sorted(subjects.values()) == [45, 45, 46, 46] and set(subjects) == set(MEAD_TEST)
    assert set(emotions.values()) == {26} and set(emotions) == set(mead.EMOTIONS) - {"neutral"}
    assert sorted(levels.values()) == [60, 61, 61]
    assert set(Counter(map(tuple, cells)).values()) == {2, 3}
    assert set(Counter(map(tuple, cells[:84])).values()) == {1}
    assert {id for target in targets for id in target} <= set(mead_ids(*MEAD_TEST))
    assert all(t.neutral.startswith(f"{t.clip.split('/')[0]}/neutral/") for t in targets)


def test_both_iuface_protocols_have_the_same_182_targets(full_mead):
    """Oracle: the list; the neutral reference is the one stored beside the target."""
    standard, disentangled = (protocol(name).cases(full_mead) for name in ("mead_std_iuface", "mead_disentangle"))
    assert [case.id for case in standard] == [case.id for case in disentangled] == [t[0] for t in iuface182.targets()]
    assert [case.target for case in standard] == [case.target for case in disentangled]
    assert all(case.reference == case.target for case in standard)
    assert [case.reference for case in disentangled] == [
        full_mead / f"clips/{target.neutral}.mkv" for target in iuface182.targets()
    ]
    assert all(case.driving == case.target != case.reference for case in disentangled)
    assert protocol("mead_disentangle").frames == 81


def test_stand_ins_for_absent_and_short_clips(tmp_path):
    """Oracle: two listed clips of one cell, one absent, one of 80 frames; every other clip is there."""
    listed = [target.clip for target in iuface182.targets()]
    absent = listed[0]
    short = next(id for id in listed[1:] if id.split("/")[:3] == absent.split("/")[:3])
    clips = [mead_clip(id, 80 if id == short else 81) for id in mead_ids(*MEAD_TEST) if id != absent]
    data = prepare(tmp_path, "mead", clips)
    for name in ("mead_std_iuface", "mead_disentangle"):
        ids = [case.id for case in protocol(name).cases(data)]
        changed = {old: new for old, new in zip(listed, ids, strict=True) if old != new}
        assert set(changed) == {absent, short} and len(set(ids)) == 182
        assert all(new.rsplit("/", 1)[0] == old.rsplit("/", 1)[0] for old, new in changed.items())


def test_lacking_clips_of_the_182(tmp_path):
    """Oracle: a subject with as many clips as others count lacks nothing, whatever the list names; one with fewer lacks
    what is absent, but not what is short."""
    listed = [target.clip for target in iuface182.targets()]
    absent, short = listed[:2]
    subject = absent.split("/")[0]
    spare = [id for id in mead_ids(subject) if id not in listed]
    whole = [mead_clip(id, 80 if id == short else 81) for id in mead_ids(*MEAD_TEST) if id != absent]
    assert protocol("mead_std_iuface").incomplete(prepare(tmp_path / "whole", "mead", whole)) is None
    part = prepare(tmp_path / "part", "mead", [clip for clip in whole if clip.id not in spare[:400]])
    for name in ("mead_std_iuface", "mead_disentangle"):
        line = protocol(name).incomplete(part)
        assert line.startswith("181 of 182 listed clips are here") and absent in line and short not in line


def test_a_cell_that_does_not_exist_borrows_from_the_nearest_level_of_the_subject():
    """Oracle: by hand: without level 3 of an emotion, level 2 stands in before level 1; another subject never does."""
    cell = ("M030", "contempt", 3)
    listed = [t.clip for t in iuface182.targets()]
    missing = [id for id in listed if id.startswith("M030/contempt/level_3/")]
    present = set(mead_ids(*MEAD_TEST)) - set(iuface182.in_cell(*cell))
    chosen = iuface182.choose(listed, present)
    assert all(chosen[id].startswith("M030/contempt/level_2/") for id in missing)
    assert len(set(chosen.values())) == 182
    present -= {id for id in present if id.startswith("M030/contempt/")}
    assert set(listed) - set(iuface182.choose(listed, present)) == {
        id for id in listed if id.startswith("M030/contempt/")
    }


# -- partial data, no data --------------------------------------------------------------------------------------------


def test_a_part_of_the_list_is_a_protocol_marked_incomplete(tmp_path):
    """Oracle: 61 of EAT's 100 clips, in the list's order."""
    listed = [id for (id,) in read_list("mead_eat100")]
    data = prepare(tmp_path, "mead", [mead_clip(id) for id in listed[:61]], complete=False)
    one = protocol("mead_std_eat100")
    assert [case.id for case in one.cases(data)] == listed[:61]
    line = one.incomplete(data)
    assert line.startswith(f"61 of 100 listed clips are here; missing: {', '.join(listed[61:66])}, and 34 more; ")
    assert line.endswith("; report.md of the prepared folder has all of it") and "\n" not in line


def test_a_part_of_the_subjects(tmp_path):
    """Oracle: one whole subject and ten clips of another, of the public counts by subject."""
    ids = mead_ids("M003") + mead_ids("W009")[:10]
    data = prepare(tmp_path, "mead", [mead_clip(id) for id in ids])
    assert len(protocol("mead_std").cases(data)) == 680
    assert (
        protocol("mead_std")
        .incomplete(data)
        .startswith("677 of 2293 clips are here: M030 0 of 306, W009 10 of 656, W015 0 of 664")
    )
    targets = [t.clip for t in iuface182.targets() if t.clip.startswith("M003/")]
    assert [case.id for case in protocol("mead_std_iuface").cases(data) if case.identity == "M003"] == targets


def test_disentangle_without_neutral_clips_of_a_subject(tmp_path):
    """Oracle: W015's neutral clips are not there, so its targets are no cases and the line says why."""
    ids = [id for id in mead_ids(*MEAD_TEST) if not id.startswith("W015/neutral")]
    data = prepare(tmp_path, "mead", [mead_clip(id) for id in ids])
    cases = protocol("mead_disentangle").cases(data)
    assert {case.identity for case in cases} == {"M003", "M030", "W009"}
    assert "no neutral clip of W015" in protocol("mead_disentangle").incomplete(data)
    assert len(protocol("mead_std_iuface").cases(data)) == 182
    assert protocol("mead_std_iuface").incomplete(data) is None


def test_complete_data_is_not_marked(full_mead, full_crema):
    """Oracle: the designs' full clips."""
    for name in NAMES:
        if read_spec(name).dataset != "hdtf":
            assert protocol(name).incomplete(full_mead if name.startswith("mead") else full_crema) is None


def test_another_size_is_said(tmp_path):
    """Oracle: the manifest's size beside the protocol's."""
    data = prepare(tmp_path, "crema", [crema_clip(id) for id in crema_ids(*crema.TEST_ACTORS)], size=(128, 128))
    assert "128x128 and 512x512" in protocol("crema_std").incomplete(data)


@pytest.mark.parametrize("name", NAMES)
def test_no_data_and_wrong_data(name, tmp_path, full_mead, full_crema):
    """Oracle: the command that a person needs, and the two data sets' names."""
    dataset = read_spec(name).dataset
    for call in (protocol(name).cases, protocol(name).incomplete):
        with pytest.raises(UserError, match=f"--data DIR.*bench prepare {dataset} --root"):
            call(None)
        with pytest.raises(UserError, match=f"bench prepare {dataset}"):
            call(tmp_path)
        with pytest.raises(UserError, match=f"holds .*needs {dataset}"):
            call(full_crema if dataset != "crema" else full_mead)


@pytest.mark.parametrize("name", NAMES)
def test_data_without_any_case_is_refused(name, tmp_path):
    """Oracle: a manifest with one clip that no list and no split names, too short for a benchmark of 81 frames."""
    dataset = read_spec(name).dataset
    clip = {"mead": mead_clip("M005/happy/level_1/001"), "crema": crema_clip("1001_DFA_HAP_XX")}.get(dataset)
    prepare(tmp_path, dataset, [clip or hdtf_clip("WDA_Somebody_000", frames=80)])
    with pytest.raises(UserError, match=f"no case of protocol {name}"):
        protocol(name).cases(tmp_path)


# -- what methods are trained on --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [name for name in NAMES if name.startswith(("mead", "crema"))])
def test_nobody_who_is_tested_is_trained_on(name, full_mead, full_crema):
    data, other, each = (full_mead, "M005", 40 + 7 * 3 * 30) if name.startswith("mead") else (full_crema, "1001", 82)
    cases = protocol(name).training_cases(data)
    assert {case.identity for case in cases} == {other} and len(cases) == each
    assert all(case.reference == case.driving == case.target for case in cases)
    neutral = protocol(name).neutral_cases(data)
    assert all("/neutral/" in case.id or "_NEU_" in case.id for case in neutral)
    assert len(neutral) == (40 if name.startswith("mead") else 12)


def test_a_protocol_that_tests_everybody_has_nothing_to_train_on(tmp_path):
    data = prepare(tmp_path, "mead", [mead_clip(id) for id in mead_ids("M003")])
    with pytest.raises(UserError, match="tests everybody whose clips are here: "):
        protocol("mead_std").training_cases(data)
    with pytest.raises(UserError, match="folder has no clips to train on"):
        protocol("folder").training_cases(data)
