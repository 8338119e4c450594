"""Runs one torchmetrics class in several processes that share their states through gloo."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import torch
import torch.distributed
import torch.multiprocessing


def values_after_sync(
    build: Callable[[], torch.nn.Module], shards: Sequence[Sequence[tuple]], folder: Path
) -> list[torch.Tensor]:
    """What `compute()` gives in every process after each has seen only its shard.

    Args:
        build: makes the metric; a class or module-level function, since processes are spawned.
        shards: per process the arguments of its `update` calls, tensors or numbers.
        folder: an empty folder, for the rendezvous and the results.

    Returns:
        compute() of every process, in order of rank.
    """
    arguments = (build, shards, folder)
    torch.multiprocessing.spawn(_process, args=arguments, nprocs=len(shards), join=True)
    return [torch.load(folder / f"{rank}.pt", weights_only=True) for rank in range(len(shards))]


def _process(rank: int, build: Callable[[], torch.nn.Module], shards: Sequence[Sequence[tuple]], folder: Path) -> None:
    torch.set_num_threads(1)
    rendezvous = f"file://{folder / 'rendezvous'}"
    torch.distributed.init_process_group("gloo", init_method=rendezvous, rank=rank, world_size=len(shards))
    metric = build()
    for arguments in shards[rank]:
        metric.update(*arguments)
    torch.save(metric.compute(), folder / f"{rank}.pt")
    torch.distributed.destroy_process_group()
