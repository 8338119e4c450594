"""Relative errors of our tensors against reference ones, collected under names."""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

TOLERANCE = 1e-4
"""Largest relative error that passes. A port on other library versions reaches about 1e-6; 1e-3 is an error of logic."""

NO_MATCH = sys.float_info.max
"""Error of a tensor with another shape or without finite values: the largest number JSON can hold."""


@dataclass
class Report:
    """What was compared, and what the folder did not hold."""

    backbone: str
    errors: dict[str, float] = field(default_factory=dict)
    """Name of a tensor -> relative error, in the order of the checks."""
    remarks: dict[str, str] = field(default_factory=dict)
    """Name of a tensor -> what is wrong with it beyond a number."""
    unchecked: list[str] = field(default_factory=list)
    """What was absent, or present and of unknown meaning."""

    def compare(self, name: str, ours, reference) -> None:
        """Record ||ours - reference||_2 / ||reference||_2; array-likes of any real dtype."""
        ours, reference = _array(ours), _array(reference)
        if ours.shape != reference.shape:
            self.mismatch(name, f"shape {ours.shape}, the reference has {reference.shape}")
            return
        self.errors[name] = relative_error(ours, reference)

    def compare_all(self, ours: Mapping[str, Any], reference: Mapping[str, Any], prefix: str = "") -> None:
        """Compare every reference entry; one that `ours` lacks is noted as unchecked."""
        for name, expected in reference.items():
            if name in ours:
                self.compare(prefix + name, ours[name], expected)
            else:
                self.unchecked.append(f"{prefix}{name}: nothing of ours has this name")

    def mismatch(self, name: str, remark: str) -> None:
        """Record a tensor that cannot even be compared."""
        self.errors[name] = NO_MATCH
        self.remarks[name] = remark

    @property
    def worst(self) -> str:
        return max(self.errors, key=self.errors.__getitem__)

    @property
    def max_error(self) -> float:
        return self.errors[self.worst]

    @property
    def passed(self) -> bool:
        return self.max_error <= TOLERANCE

    def document(self) -> dict:
        """The JSON document; `unchecked` and a tensor's `remark` go beyond what every consumer may rely on."""
        tensors = [
            {"name": name, "rel_error": error} | ({"remark": self.remarks[name]} if name in self.remarks else {})
            for name, error in self.errors.items()
        ]
        return {
            "backbone": self.backbone,
            "max_rel_error": self.max_error,
            "worst": self.worst,
            "tensors": tensors,
            "unchecked": self.unchecked,
        }


def relative_error(ours: np.ndarray, reference: np.ndarray) -> float:
    """||ours - reference||_2 / ||reference||_2 in float64; the plain norm of `ours` where the reference is zero."""
    norm = float(np.linalg.norm(reference))
    error = float(np.linalg.norm(ours - reference)) / (norm or 1.0)
    return error if math.isfinite(error) else NO_MATCH


def _array(values) -> np.ndarray:
    if hasattr(values, "detach"):
        values = values.detach().cpu().double().numpy()
    return np.asarray(values, np.float64)
