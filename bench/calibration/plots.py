"""Figures of a calibration: one per degradation, a panel per metric, and one of the bias against n."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

CLAIMED, SHOWN, BROKEN = "black", "0.6", "tab:red"
"""Colours of a curve with a claim, without one, and of one whose claim fails; the first two print in grey."""
CAP = {"psnr": 100.0}
"""Values of equal frames that would squash the rest of a curve: written, not drawn."""
COLUMNS = 6
_STYLE = {
    "font.size": 7, "axes.titlesize": 7.5, "axes.spines.top": False, "axes.spines.right": False, "axes.linewidth": 0.6,
    "xtick.major.width": 0.6, "ytick.major.width": 0.6, "xtick.major.size": 2.5, "ytick.major.size": 2.5,
}  # fmt: skip


def draw(document: Mapping[str, Any], out: Path) -> dict[str, str]:
    """Draw all figures into a folder.

    Returns:
        Degradation, or `bias` -> file name.
    """
    import matplotlib

    files = {}
    with matplotlib.rc_context(_STYLE):
        for name, about in document["degradations"].items():
            if own := [c for c in document["curves"] if c["degradation"] == name and None not in c["values"]]:
                files[name] = _save(_degradation(own, about, document["units"]), out, name)
        if document["bias"]["points"]:
            files["bias"] = _save(_bias(document["bias"]["points"]), out, "bias")
    return files


def _save(figure, out: Path, name: str) -> str:
    out.mkdir(parents=True, exist_ok=True)
    figure.savefig(out / f"{name}.png", dpi=150, metadata={"Software": None})
    return f"{name}.png"


def _degradation(curves: Sequence[Mapping[str, Any]], about: Mapping[str, str], units: Mapping[str, str]):
    """Panels of the metrics, those with a claim first; amounts are evenly spaced and labelled."""
    ordered = sorted(curves, key=lambda curve: curve["direction"] == "shown")
    figure, panels = _panels(len(ordered))
    for panel, curve in zip(panels, ordered, strict=True):
        _curve(panel, curve, units[curve["metric"]])
    figure.suptitle(f"{about['what']} ({about['unit']}); grey: nothing claimed", x=0.01, ha="left", fontsize=9)
    return figure


def _panels(count: int):
    """A figure of rows of COLUMNS panels, the unused ones gone."""
    from matplotlib.figure import Figure

    columns = min(count, COLUMNS)
    rows = -(-count // columns)
    figure = Figure(figsize=(max(1.55 * columns, 4.5), 1.35 * rows + 0.35), layout="constrained")
    panels = figure.subplots(rows, columns, squeeze=False).ravel()
    for panel in panels[count:]:
        panel.remove()
    return figure, panels[:count]


def _curve(panel, curve: Mapping[str, Any], unit: str) -> None:
    at, values = list(range(len(curve["values"]))), curve["values"]
    colour = SHOWN if curve["direction"] == "shown" else (BROKEN if curve["holds"] is False else CLAIMED)
    capped = CAP.get(curve["metric"]) == values[0] and values[-1] != values[0]
    panel.plot(at[capped:], values[capped:], "o-", color=colour, markersize=2.5, linewidth=1)
    if capped:
        panel.annotate(f"{values[0]:g}", (-0.2, 1), xycoords=("data", "axes fraction"), fontsize=6, va="top")
    panel.set_title(curve["metric"] + (f" ({unit})" if unit else ""))
    panel.set_xticks(at, [f"{amount:g}" for amount in curve["amounts"]])
    panel.set_xlim(-0.3, at[-1] + 0.3)
    if max(values) - min(values) < 1e-6:
        panel.set_ylim(values[0] - 1, values[0] + 1)  # Else the axis would show rounding errors as a curve.
    panel.ticklabel_format(axis="y", useOffset=False)
    panel.locator_params(axis="y", nbins=4)


def _bias(points: Mapping[str, Mapping[str, Any]]):
    """A panel per metric: rows drawn singly, and whole clips at the number of rows they hold."""
    figure, panels = _panels(len(points))
    for panel, (name, both) in zip(panels, points.items(), strict=True):
        per_clip = both["rows"][-1]["n"] / both["clips"][-1]["n"]
        for kind, style, colour in (("rows", "o-", CLAIMED), ("clips", "s--", SHOWN)):
            scale = per_clip if kind == "clips" else 1
            n = [point["n"] * scale for point in both[kind]]
            means, errors = ([point[key] for point in both[kind]] for key in ("mean", "error"))
            panel.errorbar(n, means, errors, fmt=style, color=colour, markersize=2.5, linewidth=1)
        panel.axhline(0, color="0.8", linewidth=0.6, zorder=0)
        panel.set_xscale("log", base=2)
        ticks = [point["n"] for point in both["rows"]]
        panel.set_xticks(ticks, [f"{n:g}" for n in ticks])
        panel.set_title(name)
        panel.set_xlabel("rows in a half")
    title = "Halves of one distribution, truly 0 apart; black: single rows, grey: whole clips"
    figure.suptitle(title, x=0.01, ha="left", fontsize=8)
    return figure
