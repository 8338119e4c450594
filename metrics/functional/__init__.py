"""The formulas, on numpy arrays. Nothing here imports torch: cached results are aggregated without it."""
