"""Tally a study: which row people prefer, how sure that is, and whether they agree (AUHead Table 4).

| number | what it respects |
|---|---|
| binomial interval (Clopper and Pearson 1934) | nothing: as if every rating came from another person |
| interval over raters | that one person's ratings resemble each other (bench.statistics.mean_interval, a rater is a cluster) |
| first minus second | the same, for the difference of the two shares |

The clips are taken as given: none of the intervals speaks of other clips. A file that cannot be trusted is refused whole, with
the reason, and counted; it is never repaired.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from bench.media.errors import UserError
from bench.statistics import CONFIDENCE, Interval, mean_interval
from bench.store import write_atomically
from bench.study.agreement import krippendorff_alpha
from bench.study.make import STUDIES
from bench.study.spec import CHECKED, QUESTIONS, Answers, Key, KeyPair, digest, layout

SAME = "no difference"


class _Result(BaseModel):
    model_config = ConfigDict(frozen=True)


class Share(_Result):
    """Part of the ratings, or a difference of two such parts."""

    value: float
    binomial: tuple[float, float] | None
    """95 % interval as if all ratings were independent; None for a difference."""
    raters: tuple[float, float] | None
    """95 % interval clustered on raters; None with one rater."""


class Preference(_Result):
    """One question about one pair of rows."""

    ratings: int
    first: Share
    second: Share
    same: Share
    difference: Share
    """First minus second."""
    verdict: str
    """The row that is preferred where the interval over raters excludes 0, else "not shown"."""
    alpha: float | None
    """Krippendorff's alpha, nominal; None where it is not defined."""


class Comparison(_Result):
    """Two rows."""

    first: str
    second: str
    clips: int
    questions: dict[str, Preference]


class Refusal(_Result):
    """A file that is not counted."""

    file: str
    reason: str


class Tally(_Result):
    """What a study came to."""

    study: str
    protocol: str
    synthetic: bool
    raters: int
    refused: list[Refusal]
    pairs: list[Comparison]


def tally_files(files: Sequence[Path], key_file: Path | None = None) -> Tally:
    """Tally the files raters sent back; tally.json is written beside the key.

    Args:
        files: of one study.
        key_file: the study's key; None looks for it in results/studies by the study the first file names.

    Raises:
        UserError: there is no key, or no file can be counted.
    """
    key_file = key_file or _find_key(files)
    key = _read_key(key_file)
    counted, refused = accept(files, key)
    if not counted:
        reasons = "; ".join(f"{one.file}: {one.reason}" for one in refused)
        raise UserError(f"study {key.study}: no file can be counted: {reasons}")
    found = tally(key, counted, refused)
    write_atomically(key_file.with_name("tally.json"), found.model_dump_json(indent=1) + "\n")
    return found


def accept(files: Sequence[Path], key: Key) -> tuple[list[Answers], list[Refusal]]:
    """The files that count, and why each other does not."""
    refused: list[Refusal] = []
    read: dict[Path, Answers] = {}
    for file in dict.fromkeys(files):
        answers, reason = _read_answers(file, key)
        if reason:
            refused.append(Refusal(file=file.name, reason=reason))
        elif answers:
            read[file] = answers
    reasons = _duplicates(read)
    refused += [Refusal(file=file.name, reason=reason) for file, reason in reasons.items()]
    return [answers for file, answers in read.items() if file not in reasons], refused


def tally(key: Key, counted: Sequence[Answers], refused: Sequence[Refusal] = ()) -> Tally:
    """Shares and agreement over files that were accepted."""
    pairs: dict[tuple[str, str], list[KeyPair]] = defaultdict(list)
    rows = list(key.runs)
    for pair in key.pairs:
        if pair.ruined is None:
            first, second = sorted(pair.rows, key=rows.index)
            pairs[first, second].append(pair)
    return Tally(
        study=key.study, protocol=key.protocol, synthetic=key.synthetic, raters=len(counted), refused=list(refused),
        pairs=[_compare(*names, pairs[names], counted) for names in sorted(pairs, key=lambda two: [*map(rows.index, two)])],
    )  # fmt: skip


def as_markdown(found: Tally) -> str:
    """Tables in the layout of AUHead's Table 4, one per pair of rows."""
    parts = []
    for two in found.pairs:
        world = ", synthetic faces" if found.synthetic else ""
        first, second = _in_cell(two.first), _in_cell(two.second)
        lines = [
            f"### {first} or {second}? {found.protocol}{world}: {found.raters} raters, {two.clips} clips",
            "",
            f"| | {first} | {second} | {SAME} | first minus second | preferred | alpha |",
            "| :-- | --: | --: | --: | --: | :-- | --: |",
        ]
        for name, one in two.questions.items():
            shares = " | ".join(_shown(share) for share in (one.first, one.second, one.same, one.difference))
            alpha = "–" if one.alpha is None else f"{one.alpha:.2f}"
            lines.append(f"| {QUESTIONS[name][0]} | {shares} | {_in_cell(one.verdict)} | {alpha} |")
        parts.append("\n".join(lines))
    notes = [
        "- share of the ratings; [binomial 95 % interval, as if all ratings were independent]; (95 % interval over raters); "
        "preferred: the interval of the difference over raters excludes 0",
        "- alpha: Krippendorff's, nominal; 1 perfect agreement, 0 chance",
        *(f"- refused: {one.file}: {one.reason}" for one in found.refused),
    ]
    return "\n\n".join([*parts, "\n".join(notes)])


# -- which files count --------------------------------------------------------------------------------------------------


def _find_key(files: Sequence[Path]) -> Path:
    for file in files:
        try:
            study = str(json.loads(file.read_text("utf-8"))["study"])
        except (OSError, ValueError, LookupError, TypeError):
            continue
        if study.isalnum() and (STUDIES / study / "key.json").is_file():
            return STUDIES / study / "key.json"
    raise UserError(f"no key for these files below {STUDIES}: give --key, the key.json that `study make` wrote")


def _read_key(path: Path) -> Key:
    try:
        return Key.model_validate_json(path.read_bytes())
    except (OSError, ValidationError) as error:
        raise UserError(f"--key {path}: is no key of a study ({error})") from error


def _read_answers(file: Path, key: Key) -> tuple[Answers | None, str | None]:
    """A rater's file, or why it does not count."""
    try:
        answers = Answers.model_validate_json(file.read_bytes())
    except OSError as error:
        return None, f"cannot be read ({error.strerror})"
    except ValidationError as error:
        return None, _missing_or_odd(error)
    if answers.study != key.study:
        return None, f"belongs to study {answers.study[:40]}, this is {key.study}"
    if digest(answers) != answers.sha256:
        return None, "was edited after the page wrote it: its digest does not fit"
    return answers, _wrong_pairs(answers, key) or _inattentive(answers, key)


def _missing_or_odd(error: ValidationError) -> str:
    first = error.errors()[0]
    where = ".".join(map(str, first["loc"])) or "file"
    if first["type"] == "missing":
        return f"incomplete: {where} is missing"
    return f"is not a file of the study page: {where}: {first['msg']}"


def _wrong_pairs(answers: Answers, key: Key) -> str | None:
    """Every pair once, in the order and on the sides this rater was shown."""
    expected = layout(key.study, answers.rater, key.pairs)
    shown = [(rating.pair, rating.left, rating.right) for rating in answers.ratings]
    if lacking := {pair for pair, *_ in expected} - {pair for pair, *_ in shown}:
        return f"incomplete: {len(lacking)} of {len(expected)} pairs have no answer"
    if shown != expected:
        return "was edited: pairs, order or sides are not those that the page showed to this code"
    return None


def _inattentive(answers: Answers, key: Key) -> str | None:
    """Attention checks that were not passed: where a side is ruined, the other must be preferred."""
    ruined = {pair.id: pair.ruined for pair in key.pairs if pair.ruined}
    intact = {pair.id: next(clip for clip in pair.clips if clip != pair.ruined) for pair in key.pairs if pair.ruined}
    failed = [
        rating.pair
        for rating in answers.ratings
        if rating.pair in ruined and any(rating.preferred(question) != intact[rating.pair] for question in CHECKED)
    ]
    return f"failed {len(failed)} of {len(ruined)} attention checks" if failed else None


def _duplicates(read: Mapping[Path, Answers]) -> dict[Path, str]:
    """Files that repeat another: the same file twice counts once, two different ones of one code count neither."""
    by_rater, by_content = defaultdict(list), defaultdict(list)
    for file, answers in read.items():
        by_rater[answers.rater].append(file)
        said = [(r.pair, r.ms, *(r.preferred(question) for question in QUESTIONS)) for r in answers.ratings]
        by_content[json.dumps(sorted(said))].append(file)
    reasons = {}
    for rater, files in by_rater.items():
        same = all(read[file] == read[files[0]] for file in files)
        for file in files[1:] if same else files:
            others = ", ".join(other.name for other in files if other != file)
            reasons[file] = f"duplicate: code {rater} is also in {others}" + ("" if same else ", with other answers")
    for files in by_content.values():
        for file in files[1:]:
            reasons.setdefault(
                file, f"duplicate: the same answers in the same times as {files[0].name}, under another code"
            )
    return reasons


# -- numbers ------------------------------------------------------------------------------------------------------------


def _compare(first: str, second: str, pairs: Sequence[KeyPair], counted: Sequence[Answers]) -> Comparison:
    rows = {pair.id: dict(zip(pair.clips, pair.rows, strict=True)) for pair in pairs}
    said = [(answers.rater, rating) for answers in counted for rating in answers.ratings if rating.pair in rows]
    raters = [rater for rater, _ in said]
    questions = {}
    for question in QUESTIONS:
        chosen = [rows[rating.pair].get(rating.preferred(question), SAME) for _, rating in said]
        units = defaultdict(list)
        for (_, rating), row in zip(said, chosen, strict=True):
            units[rating.pair].append(row)
        difference = mean_interval([(row == first) - (row == second) for row in chosen], raters, bounds=(-1, 1))
        verdict = (first if difference.value > 0 else second) if difference.excludes_zero else "not shown"
        questions[question] = Preference(
            ratings=len(chosen), first=_share(chosen, first, raters), second=_share(chosen, second, raters),
            same=_share(chosen, SAME, raters), difference=_as_share(difference, None), verdict=verdict,
            alpha=krippendorff_alpha(units.values()),
        )  # fmt: skip
    return Comparison(first=first, second=second, clips=len(pairs), questions=questions)


def _share(chosen: Sequence[str], row: str, raters: Sequence[str]) -> Share:
    hits = [float(one == row) for one in chosen]
    return _as_share(mean_interval(hits, raters, bounds=(0, 1)), binomial_interval(round(sum(hits)), len(hits)))


def binomial_interval(count: int, n: int) -> tuple[float, float]:
    """Exact 95 % interval of a proportion (Clopper and Pearson 1934)."""
    from scipy.stats import binomtest

    interval = binomtest(count, n).proportion_ci(CONFIDENCE, method="exact")
    return float(interval.low), float(interval.high)


def _as_share(interval: Interval, binomial: tuple[float, float] | None) -> Share:
    ends = None if interval.low is None or interval.high is None else (interval.low, interval.high)
    return Share(value=interval.value, binomial=binomial, raters=ends)


def _in_cell(text: str) -> str:
    return text.replace("|", "\\|")


def _shown(share: Share) -> str:
    """64.6 % [60.9, 68.2] (58.0, 71.1)."""
    text = f"{100 * share.value:.1f} %"
    if share.binomial:
        text += f" [{100 * share.binomial[0]:.1f}, {100 * share.binomial[1]:.1f}]"
    return text + (f" ({100 * share.raters[0]:.1f}, {100 * share.raters[1]:.1f})" if share.raters else "")
