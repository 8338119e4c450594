"""ACC_emo: share of clips whose emotion a classifier of faces recognises, in percent.

One decision per clip: the classifier's class with the highest probability for the whole clip, compared with the
emotion label of the case; the score is 100 times correct over clips (micro accuracy), `macro_recall` the mean over
the occurring classes. This is yuangan/evaluation_eat, code/_acc_test.py, which EAT and AUHead report. A classifier
has its own errors on real clips (the checkpoint's name gives 84.4 % on MEAD), so 100 % is not what a perfect
generator scores.

Variants name the classifier and the classes:
- `@emotion_fan`: emotion-FAN fine-tuned on MEAD by EAT, 8 classes, one decision from attention over the frames.
- `@emotion_fan_crema6`: the same with contempt and surprise ruled out, for the six emotions of CREMA-D (a commented
  line of _acc_test.py).
- `@hsemotion`: HSEmotion EfficientNet-B0 (AffectNet, 8 classes), probabilities averaged over the frames.
- `@answer`: no classifier: the emotion that the first stage of AUHead answers audio with (its Table 1).
- `@synth`: the classifier of `metrics.synth.emotion`, 8 classes, one decision from attention over the frames.

Labels are spelled in many ways; ALIASES is the one table of them. A label outside the classes of a variant has no
value.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np

from bench.media.errors import Undefined
from metrics.functional.coverage import usable_frames
from metrics.metric import Metric, Needs

EMOTIONS = ("angry", "contempt", "disgusted", "fear", "happy", "neutral", "sad", "surprised")
"""The canonical labels, spelled as the folders of MEAD; also the order of the statistics."""

ALIASES: dict[str, str] = {
    # MEAD folders; MEAD in EAT's file names and CREMA-D's codes (lower case here); AffectNet and HSEmotion; other forms
    **{alias: "angry" for alias in ("angry", "ang", "anger")},
    **{alias: "contempt" for alias in ("contempt", "con", "contemptuous")},
    **{alias: "disgusted" for alias in ("disgusted", "dis", "disgust")},
    **{alias: "fear" for alias in ("fear", "fea", "fearful", "afraid")},
    **{alias: "happy" for alias in ("happy", "hap", "happiness", "joy")},
    **{alias: "neutral" for alias in ("neutral", "neu")},
    **{alias: "sad" for alias in ("sad", "sadness")},
    **{alias: "surprised" for alias in ("surprised", "sur", "surprise")},
}
"""Spelling in lower case -> canonical label. CREMA-D writes ANG DIS FEA HAP NEU SAD."""

EMOTION_FAN_CLASSES = ("happy", "angry", "disgusted", "fear", "sad", "neutral", "surprised", "contempt")
"""Outputs of EAT's checkpoint, in order (evaluation_eat, emotionfan_basiccode/load.py, `MEAD`)."""
HSEMOTION_CLASSES = EMOTIONS
"""Outputs of HSEmotion's 8-class models, in order: Anger, Contempt, Disgust, Fear, Happiness, Neutral, Sadness,
Surprise (av-savchenko/hsemotion-onnx, facial_emotions.py)."""

SYNTH_CLASSES = ("neutral", "angry", "contempt", "disgusted", "fear", "happy", "sad", "surprised")
"""Outputs of `metrics.synth.emotion`, in order: that of the emotions of the synthetic world."""

CLASSES: dict[str, tuple[str, ...]] = {
    "emotion_fan": EMOTION_FAN_CLASSES,
    "emotion_fan_crema6": EMOTION_FAN_CLASSES,
    "hsemotion": HSEMOTION_CLASSES,
    "synth": SYNTH_CLASSES,
}
RULED_OUT: dict[str, tuple[str, ...]] = {
    "emotion_fan": (),
    "emotion_fan_crema6": ("surprised", "contempt"),
    "hsemotion": (),
    "synth": (),
}


def canonical_emotion(label: str) -> str:
    """The canonical spelling of a label.

    Raises:
        Undefined: the label is empty or not in ALIASES.
    """
    if not label:
        raise Undefined("the case has no emotion label")
    try:
        return ALIASES[label.strip().lower()]
    except KeyError:
        raise Undefined(f"emotion label {label!r} is not one of {', '.join(EMOTIONS)} or their aliases") from None


def emotion_statistics(probabilities: np.ndarray, label: str, classifier: str) -> np.ndarray:
    """What one clip adds to the score.

    Args:
        probabilities: float (C,) of the clip, in the order of CLASSES[classifier].
        label: true emotion, in any spelling of ALIASES.
        classifier: a key of CLASSES.

    Returns:
        float64 (16,): per canonical emotion 1 if the clip has it and was recognised; then 1 if the clip has it.

    Raises:
        Undefined: the label is not a class of the classifier.
    """
    emotion = canonical_emotion(label)
    allowed = [name for name in CLASSES[classifier] if name not in RULED_OUT[classifier]]
    if emotion not in allowed:
        raise Undefined(f"emotion label {label!r} is not among the classes of {classifier}: {', '.join(allowed)}")
    scores = dict(zip(CLASSES[classifier], np.asarray(probabilities, np.float64), strict=True))
    predicted = max(allowed, key=scores.__getitem__)
    correct, total = np.zeros(len(EMOTIONS)), np.zeros(len(EMOTIONS))
    correct[EMOTIONS.index(emotion)] = predicted == emotion
    total[EMOTIONS.index(emotion)] = 1
    return np.concatenate([correct, total])


def answer_statistics(answer: str, label: str) -> np.ndarray:
    """As emotion_statistics, for an answer in words; one that is no emotion is wrong, not left out."""
    emotion = canonical_emotion(label)
    correct, total = np.zeros(len(EMOTIONS)), np.zeros(len(EMOTIONS))
    correct[EMOTIONS.index(emotion)] = ALIASES.get(answer.strip().lower()) == emotion
    total[EMOTIONS.index(emotion)] = 1
    return np.concatenate([correct, total])


def micro_accuracy(statistics: np.ndarray) -> float:
    """Percent of clips recognised, from the sum float64 (16,) of `emotion_statistics`."""
    correct, total = _split(statistics)
    return float(100 * correct.sum() / total.sum())


def macro_recall(statistics: np.ndarray) -> float:
    """Mean over the emotions that occur of the percent of their clips recognised (also called balanced accuracy)."""
    correct, total = _split(statistics)
    occurs = total > 0
    return float(100 * (correct[occurs] / total[occurs]).mean())


def _split(statistics: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    correct, total = np.split(np.asarray(statistics, np.float64), 2)
    if not total.sum():
        raise Undefined("no clip with an emotion label")
    return correct, total


def mean_probabilities(probabilities: np.ndarray) -> np.ndarray:
    """Mean over frames float (T, C) -> float64 (C,), without the frames that are NaN because they have no face.

    Raises:
        Undefined: too few frames have a face.
    """
    usable = usable_frames(prediction=np.isfinite(probabilities).all(-1))
    return np.asarray(probabilities, np.float64)[usable].mean(0)


def _emotion_fan_probabilities(needs: Needs) -> np.ndarray:
    features = needs["prediction:emotion_fan"]
    usable_frames(prediction=np.isfinite(features["alpha"]))
    return features["probabilities"]


def _hsemotion_probabilities(needs: Needs) -> np.ndarray:
    return mean_probabilities(needs["prediction:hsemotion"]["probabilities"])


def _synth_probabilities(needs: Needs) -> np.ndarray:
    return needs["prediction:synth_emotion"]["probabilities"]


def _case(needs: Needs, read: Callable[[Needs], np.ndarray], classifier: str) -> np.ndarray:
    label = needs["case:label"]["emotion"].tobytes().decode("utf-8")
    return emotion_statistics(read(needs), label, classifier)


def _answer_case(needs: Needs) -> np.ndarray:
    answer, label = (bytes(needs[name]["emotion"]).decode("utf-8") for name in ("case:answer", "case:label"))
    if not answer:
        raise Undefined("the method did not say an emotion")
    return answer_statistics(answer, label)


def _metric(classifier: str, extractor: str, read: Callable[[Needs], Sequence], paper: str, note: str) -> Metric:
    return Metric(
        name="acc_emo",
        variant=f"@{classifier}",
        kind="pooled",
        needs=(f"prediction:{extractor}", "case:label"),
        case=partial(_case, read=read, classifier=classifier),
        finish=micro_accuracy,
        per_case=micro_accuracy,
        unit="%",
        higher_is_better=True,
        paper=paper,
        note=note,
        bounds=(0.0, 100.0),
    )


METRICS: tuple[Metric, ...] = (
    _metric(
        "emotion_fan",
        "emotion_fan",
        _emotion_fan_probabilities,
        "emotion-FAN (Meng et al., 2019) as in yuangan/evaluation_eat; EAT, AUHead",
        "8 classes; face crops from mediapipe points instead of dlib's",
    ),
    _metric(
        "emotion_fan_crema6",
        "emotion_fan",
        _emotion_fan_probabilities,
        "emotion-FAN (Meng et al., 2019) as in yuangan/evaluation_eat",
        "contempt and surprise ruled out, for CREMA-D",
    ),
    _metric(
        "hsemotion",
        "hsemotion",
        _hsemotion_probabilities,
        "HSEmotion (Savchenko, 2022), enet_b0_8_best_vgaf",
        "AffectNet classes; mean of the per-frame probabilities",
    ),
    _metric(
        "synth",
        "synth_emotion",
        _synth_probabilities,
        "this suite",
        "8 classes; synthetic experts: valid on synth_* only",
    ),
    Metric(
        name="acc_emo",
        variant="@answer",
        kind="pooled",
        needs=("case:answer", "case:label"),
        case=_answer_case,
        finish=micro_accuracy,
        per_case=micro_accuracy,
        unit="%",
        higher_is_better=True,
        paper="AUHead, Table 1",
        note="the emotion a method answers audio with, against the case's label",
        bounds=(0.0, 100.0),
    ),
)
