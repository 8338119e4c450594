"""Krippendorff's alpha for nominal answers: do raters agree more than by chance?

alpha = 1 - D_o / D_e over the pairable answers (Krippendorff 2011, "Computing Krippendorff's Alpha-Reliability"): 1 is perfect
agreement, 0 what chance gives, below 0 systematic disagreement. Raters may have left units out. For complete data it differs
from Fleiss' kappa only by a correction for small samples.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence


def krippendorff_alpha(units: Iterable[Sequence[str]]) -> float | None:
    """Agreement over units.

    Args:
        units: for each thing that was judged, the answers it got, in any order; one answer alone is left out.

    Returns:
        None where nothing was judged twice, or every answer is the same: then there is no chance to disagree.
    """
    counts = [Counter(answers) for answers in units if len(answers) > 1]
    totals = sum(counts, Counter())
    n = totals.total()
    expected = n * n - sum(count * count for count in totals.values())
    if expected == 0:
        return None
    observed = sum((unit.total() ** 2 - sum(c * c for c in unit.values())) / (unit.total() - 1) for unit in counts)
    return 1 - (n - 1) * observed / expected
