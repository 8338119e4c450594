"""A calibration as Markdown, and as the few lines that a terminal shows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

Document = Mapping[str, Any]


def markdown(document: Document, figures: Mapping[str, str]) -> str:
    """The report.

    Args:
        document: as `calibrate` returns it.
        figures: degradation (or `bias`) -> file name of its figure.
    """
    parts = [
        "# Calibration",
        f"{document['clips']} clips of {document['frames']} frames of the synthetic world, version {document['world']}; "
        f"curves over the first {document['people']}, one of each person. Numbers of rendered faces: they say how the "
        "suite behaves, nothing about real ones. Definitions: `bench/calibration`.",
        "```\n" + summary(document) + "\n```",
        _expected(document["expected"]),
        _estimators(document["estimators"]),
        _curves(document, figures),
        _bias(document["bias"], figures),
    ]
    return "\n\n".join(parts) + "\n"


def summary(document: Document) -> str:
    """One line per question."""
    lines = [
        ("expected values", _expected_line(document["expected"])),
        *_estimator_lines(document["estimators"]),
        ("degradations", _claims_line(document["curves"])),
        ("bias against n", _bias_line(document["bias"]["holds"])),
        *_missing_line(document["expected"]),
    ]
    return "\n".join(f"{name:<16}{text}" for name, text in lines)


def _missing_line(expected: Document) -> list[tuple[str, str]]:
    reasons = dict.fromkeys(row["missing"].split(": ", 1)[-1] for row in expected["rows"] if row["missing"])
    return [("missing", "; ".join(reasons))] if reasons else []


# -- expected values ----------------------------------------------------------------------------------------------------


def _expected_line(expected: Document) -> str:
    verdicts = [row["verdict"] for row in expected["rows"]]
    text = f"{verdicts.count('ok')} of {len(verdicts)} ok"
    for verdict in dict.fromkeys(v for v in verdicts if v != "ok"):
        text += f"; {verdict}: {', '.join(row['metric'] for row in expected['rows'] if row['verdict'] == verdict)}"
    return text + (f". {expected['note']}" if expected["note"] else "")


def _expected(expected: Document) -> str:
    rows = [
        (
            f"`{row['metric']}`", _number(row["value"], 6), _number(row["expected"], 6), _number(row["tolerance"], 2),
            row["verdict"], row["missing"] or "",
        )
        for row in expected["rows"]
    ]  # fmt: skip
    text = "The metrics of one spoilt version of the set (`degradations.mixture`), here and as pinned."
    head = ("metric", "here", "pinned", "tolerance", "verdict", "missing")
    return "\n\n".join(["## Expected values", text, *_note(expected["note"]), _table(head, rows)])


def _note(note: str | None) -> list[str]:
    return [f"**{note}**"] if note else []


# -- estimators ---------------------------------------------------------------------------------------------------------


def _estimator_lines(found: Document) -> list[tuple[str, str]]:
    zero = found["predict_zero"]
    aus = "; ".join(
        f"{name} {one['mae']:.3f}, union {one['mae_union']:.3f}" if "mae" in one else f"{name} {_why_briefly(one)}"
        for name, one in found["aus"].items()
    )
    points = "; ".join(
        f"{name} {one['error']:.2f} % of eye distance, floor M-LMD {one['m_lmd']:.2f}, F-LMD {one['f_lmd']:.2f}"
        if one.get("error") is not None
        else f"{name} {_why_briefly(one)}"
        for name, one in found["landmarks"].items()
    )
    offset, identity, emotion = found["offset"], found["identity"], found["emotion"]
    return [
        ("AU error", f"{aus}; always 0: {zero['mae']:.3f}, union {zero['mae_union']:.3f}"),
        ("landmark error", points),
        (
            "sync offset",
            _why_briefly(offset)
            if "missing" in offset
            else f"{offset['within_1']:.1%} within 1 frame, {offset['exact']:.1%} exact, mean {offset['mean_abs']:.2f} frames",
        ),
        (
            "identity",
            _why_briefly(identity) if "missing" in identity else f"equal error rate {identity['eer']:.2%}",
        ),
        (
            "emotion",
            _why_briefly(emotion) if "missing" in emotion else f"{emotion['correct']} of {emotion['clips']} clips",
        ),
    ]


def _why(one: Document) -> str:
    return f"skipped: {one['missing']}" if "missing" in one else "sees no face"


def _why_briefly(one: Document) -> str:
    return "skipped" if "missing" in one else "sees no face"


def _estimators(found: Document) -> str:
    return "\n\n".join(
        [
            "## Estimators against the exact truth",
            _au_table(found),
            _point_table(found["landmarks"]),
            _offset_table(found["offset"]),
            _identity_text(found["identity"]),
            _emotion_table(found["emotion"]),
        ]
    )


def _au_table(found: Document) -> str:
    usable = {name: one for name, one in found["aus"].items() if "mae" in one}
    zero = found["predict_zero"]
    head = ["AU", "always 0", *(f"{name} {what}" for name in usable for what in ("error", "r"))]
    rows = [
        [name, _number(zero["mae_per_au"][i]), *(_number(one[kind][i]) for one in usable.values() for kind in _PER_AU)]
        for i, name in enumerate(found["au_names"])
    ]
    for label, key in (("all", "mae"), ("active on either side", "mae_union")):
        rows.append(
            [f"**{label}**", _number(zero[key]), *(v for one in usable.values() for v in (_number(one[key]), ""))]
        )
    text = (
        "Action Units: mean absolute error on [0, 1], and correlation over all frames (– where an AU never moves). "
        f"{zero['active_share']:.0%} of the entries are active. A is `synth_face`, B `synth_au`."
    )
    skipped = [f"{name}: {_why(one)}." for name, one in found["aus"].items() if name not in usable]
    seen = [f"{name} sees a face in {one['frames_seen']:.0%} of the frames." for name, one in usable.items()
            if one["frames_seen"] < 1]  # fmt: skip
    return "\n\n".join(["### Action Units", " ".join([text, *skipped, *seen]), _table(head, rows)])


_PER_AU = ("mae_per_au", "r_per_au")


def _point_table(found: Document) -> str:
    rows = [
        (name, _number(one["error"]), _number(one["m_lmd"]), _number(one["f_lmd"]), f"{one['frames_seen']:.0%}")
        if "missing" not in one
        else (name, "", "", "", _why(one))
        for name, one in found.items()
    ]
    text = (
        "Percent of the distance of the outer eye corners. M-LMD and F-LMD of estimated against exact points of the same "
        "frames are what the metric says of a perfect clip if only one side is estimated; `m_lmd@synth` and "
        "`f_lmd@synth` estimate both sides, and are 0 on equal frames."
    )
    return "\n\n".join(
        ["### Landmarks", text, _table(("estimator", "error", "M-LMD floor", "F-LMD floor", "frames seen"), rows)]
    )


def _offset_table(found: Document) -> str:
    if "missing" in found:
        return f"### Audio-visual offset\n\nSkipped: {found['missing']}."
    rows = [
        (f"{row['shift']:+d}", f"{row['within_1']:.0%}", f"{row['exact']:.0%}", _number(row["mean_abs"]))
        for row in found["per_shift"]
    ]
    head = ("speech late by, frames", "within 1 frame", "exact", "mean error, frames")
    return "\n\n".join(["### Audio-visual offset", _table(head, rows)])


def _identity_text(found: Document) -> str:
    if "missing" in found:
        return f"### Identity\n\nSkipped: {found['missing']}."
    return (
        "### Identity\n\n"
        f"Verification of single frames across clips, one of them before another background: equal error rate "
        f"{found['eer']:.2%}. Mean cosine of {found['pairs_same']} pairs of one person {_number(found['same'])}, of "
        f"{found['pairs_different']} pairs of two people {_number(found['different'])}."
    )


def _emotion_table(found: Document) -> str:
    if "missing" in found:
        return f"### Emotion\n\nSkipped: {found['missing']}."
    rows = [(row["level"], f"{row['correct']} of {row['clips']}") for row in found["per_level"]]
    mistakes = [f"{truth} (level {level}) taken for {taken}" + (f", {n} times" if n > 1 else "")
                for truth, taken, level, n in found["confusions"]]  # fmt: skip
    text = "Mistakes: " + ("; ".join(mistakes) if mistakes else "none") + "."
    return "\n\n".join(["### Emotion", _table(("level", "recognised"), rows), text])


# -- degradations -------------------------------------------------------------------------------------------------------


def _claims_line(curves: Sequence[Document]) -> str:
    claimed = [curve for curve in curves if curve["direction"] != "shown"]
    failed = [f"{curve['metric']} under {curve['degradation']}" for curve in claimed if curve["holds"] is False]
    lacking = sorted({curve["metric"] for curve in claimed if curve["holds"] is None})
    text = f"{sum(curve['holds'] is True for curve in claimed)} of {len(claimed)} claims hold"
    text += f"; do NOT hold: {', '.join(failed)}" if failed else ""
    return text + (f"; no value: {', '.join(lacking)}" if lacking else "")


_VERDICT = {True: "yes", False: "**NO**", None: "–"}


def _curves(document: Document, figures: Mapping[str, str]) -> str:
    text = (
        "Each metric of the spoilt clips against the clean ones. `up`, `down`: it must go this way with the amount and "
        "never back; `flat`: it cannot see this, by definition; `shown`: nothing is claimed."
    )
    parts = ["## Metrics under known degradation", text]
    for name, about in document["degradations"].items():
        own = [curve for curve in document["curves"] if curve["degradation"] == name]
        if own:
            parts += [_curve_table(name, about, own), *_figure(figures, name)]
    return "\n\n".join(parts)


def _curve_table(name: str, about: Document, own: Sequence[Document]) -> str:
    head = ("metric", *(f"{amount:g}" for amount in own[0]["amounts"]), "claim", "holds")
    rows = [
        (f"`{curve['metric']}`", *map(_number, curve["values"]), curve["direction"], _VERDICT[curve["holds"]])
        for curve in own
    ]
    missing = dict.fromkeys(f"`{curve['metric']}`: {curve['missing']}." for curve in own if curve["missing"])
    return "\n\n".join([f"### {about['what']} ({about['unit']})", _table(head, rows), *missing])


# -- bias ---------------------------------------------------------------------------------------------------------------


def _bias_line(holds: Mapping[str, bool]) -> str:
    expected = {"fid": "falls with n", "fvd": "falls with n", "kid": "is 0 at every n"}
    return (
        "; ".join(f"{name} {expected[name]}: {'yes' if held else 'NO'}" for name, held in holds.items()) or "no value"
    )


def _bias(bias: Document, figures: Mapping[str, str]) -> str:
    text = (
        "Two halves of the same clean clips: the true distance is 0. Mean over random cuts, with its standard error; n is "
        "the size of a half, in rows (frames; windows of 16 frames for FVD) or in whole clips."
    )
    rows = [
        (f"`{name}`", unit, point["n"], _number(point["mean"]), _number(point["error"], 2))
        for name, both in bias["points"].items()
        for unit, points in both.items()
        for point in points
    ]
    table = _table(("metric", "n counts", "n", "value", "standard error"), rows)
    return "\n\n".join(["## Bias of set metrics", text, table, *_figure(figures, "bias")])


# -- Markdown -----------------------------------------------------------------------------------------------------------


def _figure(figures: Mapping[str, str], name: str) -> list[str]:
    return [f"![{name}]({figures[name]})"] if name in figures else []


def _number(value: float | None, digits: int = 4) -> str:
    return "–" if value is None else f"{value:.{digits}g}"


def _table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines)
