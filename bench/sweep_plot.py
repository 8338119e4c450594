"""The figure of a sweep: one panel per metric, the swept setting on the x axis, bars for the 95 % intervals."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from protocols.plan_spec import PlanRow, PlanSpec

PANELS = ("fid", "acc_emo", "au_mae", "au_pcc", "lse_c", "psnr")
"""Bare names in the order of the panels, each in the variant that the protocol names first: what AUHead's Fig. 3 shows, then
correlation, since a scale can lower the error and the correlation together, then what a scale may cost."""


def draw_sweep(plan: PlanSpec, rows: Sequence[tuple[PlanRow, dict[str, Any]]], path: Path) -> Path:
    """Draw a sweep. A point whose run lacks a metric is missing in its panel.

    Args:
        plan: its `axis` is the swept setting.
        rows: (row, summary.json) of every point.
        path: PNG file to write.
    """
    import matplotlib
    from matplotlib.figure import Figure

    assert plan.axis is not None
    points = sorted((float(row.settings[plan.axis]), summary["metrics"]) for row, summary in rows)
    known = dict.fromkeys(key for _, metrics in points for key in metrics)
    keys = [next((key for key in known if key.partition("@")[0] == name), None) for name in PANELS]
    with matplotlib.rc_context({"font.size": 8, "axes.spines.top": False, "axes.spines.right": False}):
        figure = Figure(figsize=(8, 4.6), layout="constrained")
        for panel, key in zip(figure.subplots(2, 3).flat, filter(None, keys), strict=False):
            _panel(panel, key, [(x, metrics[key]) for x, metrics in points if key in metrics])
            panel.set_xlabel(plan.axis)
        marks = " (synthetic faces)" if rows[0][1]["synthetic"] else ""
        figure.suptitle(f"{plan.title}{marks}, n = {rows[0][1]['n']}", fontsize=9)
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path, dpi=150, metadata={"Software": None})
    return path


def _panel(panel, key: str, points: Sequence[tuple[float, dict[str, Any]]]) -> None:
    """points: (setting, the metric's object in summary.json)."""
    shown = [(x, block) for x, block in points if block["value"] is not None]
    xs, values = [x for x, _ in shown], [block["value"] for _, block in shown]
    panel.plot(xs, values, "o-", color="black", markersize=3, linewidth=0.8)
    for x, block in shown:
        if block["ci95"]:
            panel.plot([x, x], block["ci95"], color="0.6", linewidth=0.8)
    arrow = {True: "higher is better", False: "lower is better", None: ""}[points[0][1]["higher_is_better"]]
    panel.set_title(f"{key}: {arrow}", fontsize=8)
