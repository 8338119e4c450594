"""Pool: several devices of one machine fed from one queue. A device that is done takes the next case, whatever it is."""

from __future__ import annotations

import multiprocessing
import os
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from pathlib import Path

from bench.media.errors import UserError
from bench.plan import Plan
from bench.store import Record
from bench.weights import Weights
from bench.worker import Task, Worker


@dataclass
class _Member:
    device: str
    process: multiprocessing.process.BaseProcess
    pipe: Connection
    task: Task | None = None


def work(
    plan: Plan, folder: Path, weights: Weights, devices: list[str], tasks: Iterable[Task]
) -> Iterator[Record | dict]:
    """Process tasks; yield a record per task in order of completion, then {"facts": ...} per worker.

    One device works in this process, and so does scoring from the cache, which is over before processes have started.
    Several get a process each; if one dies, its case is recorded as failed and a new
    process takes over, so that one bad case cannot end a run.
    """
    tasks = list(tasks)
    if len(devices) == 1 or len(tasks) == 1 or all(task.known for task in tasks):
        worker = Worker(plan, folder, weights, devices[0])
        for task in tasks:
            yield worker.process(task)
        yield {"facts": worker.facts()}
        return
    yield from _work_side_by_side(plan, folder, weights, devices, deque(tasks))


def _work_side_by_side(plan: Plan, folder: Path, weights: Weights, devices: list[str], queue: deque[Task]) -> Iterator:
    threads = max(1, (os.cpu_count() or 1) // len(devices))
    members = [_start(plan, folder, weights, device, threads) for device in devices[: len(queue)]]
    try:
        for member in members:
            _give(member, queue)
        while members:
            for pipe in wait([member.pipe for member in members]):
                member = next(member for member in members if member.pipe is pipe)
                try:
                    answer = pipe.recv()
                except (EOFError, ConnectionResetError):
                    member.process.join()
                    yield _lost(member)
                    members.remove(member)
                    if queue:
                        members.append(_start(plan, folder, weights, member.device, threads))
                        _give(members[-1], queue)
                    continue
                if isinstance(answer, UserError):
                    raise answer
                yield answer
                if "facts" in answer:
                    member.process.join()
                    members.remove(member)
                else:
                    _give(member, queue)
    finally:
        for member in members:
            member.process.terminate()


def _start(plan: Plan, folder: Path, weights: Weights, device: str, threads: int) -> _Member:
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(
        target=_serve, args=(theirs, plan, folder, weights, device, threads), name=f"worker {device}", daemon=True
    )
    process.start()
    theirs.close()
    return _Member(device, process, ours)


def _give(member: _Member, queue: deque[Task]) -> None:
    member.task = queue.popleft() if queue else None
    member.pipe.send(member.task)


def _lost(member: _Member) -> Record:
    if member.task is None:
        return {"facts": {}}
    case = member.task.case
    code = member.process.exitcode
    cause = f"killed by signal {-code}, often for lack of memory" if code and code < 0 else f"exit code {code}"
    return {
        "case": case.id, "identity": case.identity, "emotion": case.emotion, "level": case.level,
        "status": "failed", "reason": f"the worker process on {member.device} died ({cause})", "metrics": {},
    }  # fmt: skip


def _serve(pipe: Connection, plan: Plan, folder: Path, weights: Weights, device: str, threads: int) -> None:
    os.environ.setdefault("OMP_NUM_THREADS", str(threads))  # Read by torch when it is first imported.
    try:
        worker = Worker(plan, folder, weights, device)
        while (task := pipe.recv()) is not None:
            pipe.send(worker.process(task))
        pipe.send({"facts": worker.facts()})
    except UserError as error:
        pipe.send(error)
    except KeyboardInterrupt:
        pass
