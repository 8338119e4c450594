"""Calibration: how well estimators and metrics behave where the truth is known, on a small fixed set of rendered clips.

| file | holds |
|---|---|
| `material.py` | the fixed set: its clips with their exact truth |
| `degradations.py` | known ways to spoil a clip, by a known amount |
| `measure.py` | metrics of spoilt clips and features of clean ones, side by side in processes |
| `curves.py` | which metric must answer which degradation, in which direction, and whether it does |
| `estimators.py` | errors of the experts against the exact truth |
| `bias.py` | what FID, FVD and KID say about two samples of the same distribution, against their size |
| `expected.py` | the pinned value of every metric, `expected.toml` |
| `calibrate.py` | all of it, as one document |
| `report.py`, `plots.py` | the document as Markdown and as figures |
"""
