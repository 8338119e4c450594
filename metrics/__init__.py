"""Metrics for talking heads: pure formulas, the networks that feed them, and torchmetrics classes on top of both.

`metrics/functional/X.py` holds the formula and its metadata, `metrics/X.py` the torchmetrics class,
`tests/metrics/test_X.py` its analytic, oracle and metamorphic tests; `metrics/extractors/` the networks and detectors.
"""
