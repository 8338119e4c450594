"""Batches on CPU cores side by side: a core per batch, in place of all cores on every batch.

Splitting each convolution over the cores makes them wait for each other a hundred times per batch, and longest where
other programs run too: on two busy cores Inception took 0.35 s of processor time per frame that way, 0.20 s with a core
per batch, 0.14 s with channels last and its batch normalisation folded in as well. Besides, sums are no longer split
by the number of cores, so that features do not depend on it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


def submit(device: str, function: Callable, *arguments) -> Future:
    """Start function(*arguments) in inference mode: on a core of its own, or here and to its end on another device."""
    if device == "cpu":
        return _cores().submit(_inference, function, *arguments)
    done: Future = Future()
    done.set_result(_inference(function, *arguments))
    return done


def map_batches(device: str, function: Callable, batches: Iterable) -> list:
    """function of every batch, in order, in inference mode."""
    return [pending.result() for pending in [submit(device, function, batch) for batch in batches]]


def for_inference(network: torch.nn.Module, device: str) -> torch.nn.Module:
    """The network in eval mode on the device, on a CPU with channels last, which its convolutions are faster with."""
    import torch

    network = network.eval().requires_grad_(False).to(device)
    return network.to(memory_format=torch.channels_last) if device == "cpu" else network


def _inference(function: Callable, *arguments):
    import torch

    with torch.inference_mode():  # It holds for the thread that enters it.
        return function(*arguments)


@cache
def _cores() -> ThreadPoolExecutor:
    """As many threads as torch would use in one, with one core for torch in each."""
    import torch

    count = torch.get_num_threads()
    pool = ThreadPoolExecutor(count, "core", initializer=torch.set_num_threads, initargs=(1,))
    started = threading.Barrier(count)
    list(pool.map(lambda _: started.wait(), range(count)))
    torch.set_num_threads(count)  # Every thread has its own number; one that is new to torch takes what was set last.
    return pool
