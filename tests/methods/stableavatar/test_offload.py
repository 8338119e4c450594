"""Offloading. Oracle: what is asked of a transformer that keeps a record, since there may be no accelerator to move to."""

import pytest
import torch

from methods.stableavatar.config import StableAvatarConfig
from methods.stableavatar.evaluator import Evaluator


class Recorder:
    def __init__(self):
        self.asked = []

    def to(self, device):
        self.asked.append(str(device))

    def enable_group_offload(self, device, **settings):
        self.asked.append((str(device), settings))

    def enable_cache(self, config): ...


def evaluator(**settings) -> Evaluator:
    return Evaluator(Recorder(), StableAvatarConfig(**settings), torch.device("cuda"))


def test_the_transformer_is_on_the_device_while_it_works():
    made = evaluator(offload="model")
    assert made.transformer.asked == []
    with made.at_work():
        assert made.transformer.asked == ["cuda"]
    assert made.transformer.asked == ["cuda", "cpu"]
    with pytest.raises(ZeroDivisionError), made.at_work():
        1 / 0  # noqa: B018
    assert made.transformer.asked[-1] == "cpu"


def test_without_offloading_it_stays():
    made = evaluator()
    with made.at_work():
        pass
    assert made.transformer.asked == ["cuda"]


@pytest.mark.parametrize("profile", ["exact", "cached"])
def test_groups_are_fetched_ahead_where_no_block_is_skipped(profile):
    ((device, settings),) = evaluator(offload="group", profile=profile).transformer.asked
    assert device == "cuda" and settings["use_stream"] == (profile == "exact")
