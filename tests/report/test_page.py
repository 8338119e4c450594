"""Pages without a browser. Oracles: what HTML says, arrays written here."""

from __future__ import annotations

import re

import numpy as np
import pytest

from bench.report.curves import POINTS, curves
from bench.report.failures import _kind
from bench.report.numbers import panels, size_text
from bench.report.page import TEMPLATES, self_contained, slug
from bench.table import Cell, Column, Row, Table


@pytest.mark.parametrize("text", ["a/b", "../../etc/passwd", "", ".", "é", "CON", "x" * 500, 'q"<>', "a b"])
def test_a_slug_is_a_plain_file_name(text):
    assert re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_-]{0,60}", slug(text))


def test_different_texts_have_different_slugs():
    """Also where what is plain in them is the same, and on systems that do not tell small from capital letters."""
    texts = ["a/b", "a-b", "a b", "A b", "a.b", "", "-", "/"]
    assert len({slug(text).lower() for text in texts}) == len(texts)


def test_every_template_is_made_for_escaping():
    """Nothing but our own stylesheet and script is taken as it is, no text of a run stands in a script, and no template asks
    for anything from outside."""
    for path in TEMPLATES.glob("*.html"):
        text = path.read_text("utf-8")
        assert not re.findall(r"\|\s*safe", text.replace("inline.style|safe", "").replace("inline.script|safe", "")), (
            path
        )
        assert "autoescape" not in text and not re.search(r'(href|src)="https?:|//cdn', text), path
        assert not re.findall(r"""<[^>]*\s[\w-]+=(?:'[^'>]*)?\{\{""", text), (
            f"{path}: an attribute outside double quotes"
        )


def test_a_page_in_one_file_runs_its_own_script_only():
    """Oracle: the policy names the digest of the one script."""
    clip = {
        "name": "<b>&", "fps": 25.0, "frames": 1, "vocabulary": "feafa24", "source": "</script>", "sha256": "0",
        "names": [], "values": [[]], "high": [], "download": "x",
    }  # fmt: skip
    text = self_contained("inspect.html", clip=clip, shows=[], note="", plots=[], units=[], shape=1.0)
    import base64
    import hashlib

    script = re.search(r"<script>(.*?)</script>", text, re.S)[1]
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"script-src &#39;sha256-{digest}&#39;;" in text and "'unsafe-inline'" not in text.split("style-src")[0]
    assert "<b>" not in re.sub(r"<(style|script).*?</\1>", "", text, flags=re.S) and text.count("</script>") == 2


def test_curves_are_the_values_and_break_where_there_is_no_face():
    """Oracle: the arrays: y = 100 (1 - value)."""
    values = np.zeros((5, 24), np.float32)
    values[:, 8] = [0, 0.5, np.nan, 1, 0.25]
    values[2] = np.nan
    found = curves({3: values}, "feafa24", {3: "me"})
    assert found[0].name == "jaw_drop" and found[0].about == "AU8 Jaw Drop" and found[0].width == 4
    assert found[0].lines[0].path == "M0 100.0L1 50.0M3 0.0L4 75.0" and found[0].lines[0].series == 3
    assert found[0].spoken == "jaw_drop over time: me 0.00 to 1.00"
    long = curves({0: np.zeros((10 * POINTS, 24), np.float32)}, "feafa24", {0: "me"})
    assert all(curve.lines[0].path.count("L") < POINTS for curve in long)


def test_places_on_a_panel_keep_order_and_proportion():
    """Oracle: zero, ends and values by linear interpolation."""
    column = Column("psnr", "@frame", "dB", True)
    cells = [
        Cell(2.0, (1.0, 3.0), 4, mark="better"),
        Cell(-1.0, (-1.0, 0.5), 4, mark="not shown"),
        Cell(missing="none"),
    ]
    rows = tuple(
        Row(f"{name} minus base minus base", {"psnr@frame": cell}) for name, cell in zip("abc", cells, strict=True)
    )
    (panel,) = panels(Table("", "pairwise", (column,), rows), "base")
    a, b, c = panel.whiskers
    assert [a.label, b.label] == ["a minus base", "b minus base"] and c.text is None and c.about == "none"
    unit = (a.high - panel.zero) / 3
    assert b.low == pytest.approx(panel.zero - unit, abs=0.02) and a.value == pytest.approx(
        panel.zero + 2 * unit, abs=0.02
    )
    assert 0 < b.low < panel.zero < a.high < 100 and a.text == "+2.00" and b.interval == "[\u22121.00, +0.50]"


def test_reasons_are_alike_but_for_names_and_numbers():
    assert _kind("x/a: has 3 frames", "x/a") == _kind("x/b: has 77 frames", "x/b") != _kind("no face", "x/a")


def test_sizes_are_decimal():
    assert [size_text(n) for n in (999, 12_345, 1_000_000, 25_500_000)] == ["1 kB", "12 kB", "1.0 MB", "25.5 MB"]
