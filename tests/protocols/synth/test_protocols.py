"""The three synthetic protocols. Oracles: counts from the definition, and sets compared with each other."""

from collections import Counter
from pathlib import Path

import pytest

from bench import registry
from bench.media.clip import Clip
from bench.media.errors import UserError
from bench.plan import make_plan
from protocols.synth.emotions import EXPRESSIONS
from protocols.synth.protocols import TRAINING_PEOPLE, SynthDisentangle, SynthGeneralise, SynthStd
from protocols.synth.world import ClipSpec, identities, make_clip, sentences

FOLDER = Path("world")
SPLITS = ("train", "test", "general")


def test_every_person_has_every_expression_once():
    cases = SynthStd().cases(FOLDER)
    assert Counter((c.identity, c.emotion, c.level) for c in cases) == {
        (who, *expression): 1 for who in identities("test") for expression in EXPRESSIONS
    }
    assert len({case.id for case in cases}) == 264


@pytest.mark.parametrize("protocol", [SynthStd, SynthDisentangle, SynthGeneralise])
def test_the_default_subset_is_balanced(protocol):
    chosen = protocol().cases(FOLDER)[: protocol().default_limit]
    people = Counter(case.identity for case in chosen)
    assert len(people) == 12 and max(people.values()) - min(people.values()) <= 1
    emotions = Counter(case.emotion for case in chosen if case.emotion != "neutral")
    assert len(emotions) == 7 and max(emotions.values()) - min(emotions.values()) <= 4
    assert len({case.level for case in chosen}) == 3


def test_disentangle_shares_its_targets_with_std_but_for_neutral_ones():
    std = {case.id: case for case in SynthStd().cases(FOLDER)}
    disentangle = {case.id: case for case in SynthDisentangle().cases(FOLDER)}
    assert set(disentangle) == {id for id, case in std.items() if case.emotion != "neutral"}
    for id, case in disentangle.items():
        assert case.target == case.driving == std[id].target
        assert case.reference != case.target
        assert case.reference.parts[-4:-1] == (case.identity, "neutral", "level_1")
        assert case.content != std[id].content


def test_splits_share_neither_people_nor_sentences():
    people = [set(identities(split)) for split in SPLITS]
    assert not people[0] & people[1] and not people[0] & people[2] and not people[1] & people[2]
    assert len(people[1]) >= 12
    assert not set(sentences("L01")) & set(sentences("T01"))


def test_generalise_shows_other_people_before_other_backgrounds():
    case = SynthGeneralise().cases(FOLDER)[0]
    assert case.identity in identities("general")
    assert case.target.parts[1].endswith("outdoor")


def test_frames_leave_room_for_a_video_autoencoder():
    assert SynthDisentangle().frames % 4 == 1


def test_without_a_folder_the_protocol_says_so():
    with pytest.raises(UserError, match="--data"):
        SynthStd().cases(None)


def test_fingerprint_does_not_depend_on_the_folder_or_on_what_is_rendered(tmp_path, weights):
    """The data digest follows names and the world's version, so no file is read to make a plan."""
    plans = [
        make_plan(method="still_image", protocol="synth_std", data=folder, weights=weights, metrics=["psnr"])
        for folder in (None, tmp_path / "elsewhere")
    ]
    assert plans[0].fingerprint == plans[1].fingerprint
    assert len(plans[0].cases) == 24 and len(plans[0].all_cases) == 264
    assert not (tmp_path / "elsewhere").exists()


def test_every_metric_exists():
    for key in SynthStd().metrics:
        registry.metric(key)


def test_people_to_train_on_are_many_balanced_and_in_no_protocol():
    cases = SynthStd().training_cases(FOLDER)
    assert len({case.identity for case in cases}) == len({case.id for case in cases}) == len(cases) == TRAINING_PEOPLE
    shown = Counter((case.emotion, case.level) for case in cases)
    assert set(shown) == set(EXPRESSIONS) and max(shown.values()) - min(shown.values()) <= 2
    outdoor = Counter((c.emotion, c.level) for c in cases if "outdoor" in c.driving.parts[1])
    assert sum(outdoor.values()) == TRAINING_PEOPLE / 4 and max(outdoor.values()) - min(outdoor.values()) <= 2
    tested = {case.identity for kind in (SynthStd, SynthGeneralise) for case in kind().cases(FOLDER)}
    assert not tested & {case.identity for case in cases}
    assert all(case.reference == case.driving == case.target for case in cases)
    assert SynthGeneralise().training_cases(FOLDER) == SynthDisentangle().training_cases(FOLDER) == cases


def test_clips_to_train_on_are_rendered_before_their_own_backgrounds(tmp_path):
    """Oracle: the world's own clip of that name and family."""
    cases = SynthStd().training_cases(tmp_path)[:2]
    SynthStd().make_ready(cases)
    for case, family in zip(cases, ("outdoor", "studio"), strict=True):
        sentence = int(case.driving.stem) - 1
        made = make_clip(ClipSpec(case.identity, case.emotion, case.level, sentence, family))
        assert (Clip(case.driving).frames == made.frames).all()


def test_neutral_clips_are_of_the_same_people_and_of_no_clip_to_train_on():
    """IUFace, Eq. 3: a neutral frame of the same subject. Oracle: names; the exact AUs of both clips."""
    cases, neutral = SynthStd().training_cases(FOLDER), SynthStd().neutral_cases(FOLDER)
    assert [case.identity for case in neutral] == [case.identity for case in cases]
    assert {(case.emotion, case.level) for case in neutral} == {("neutral", 1)}
    assert not {case.id for case in neutral} & {case.id for case in cases}
    assert [case.driving.parts[1] for case in neutral] == [case.driving.parts[1] for case in cases]  # background
    spec = SynthStd()._spec(neutral[1].driving)
    strong = ClipSpec(spec.identity, "angry", 3, spec.sentence)
    calm, angry = (make_clip(one, num_frames=20).aus.values.max(0) for one in (spec, strong))
    assert angry.max() > 0.5
    assert (calm[angry > 0.5] < angry[angry > 0.5]).all()
