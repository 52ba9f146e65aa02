"""Processes that run cases, and are killed, replaced and outlived."""

import multiprocessing
import signal
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path

from tests.fuzz.judging import Finding, Verdict
from tests.fuzz.trial import Trials, format_of

SECONDS = 30.0
"""A case that takes longer is run once more; the second time it is a finding."""

CASES = 250
"""A process is replaced after so many cases."""

Run = Callable[[int], Verdict]
Begin = Callable[[int, Path, Path], Run]


@dataclass
class _Worker:
    process: BaseProcess
    pipe: Connection
    case: int | None = None
    since: float = 0.0
    done: int = 0

    def give(self, case: int) -> None:
        self.case, self.since = case, time.monotonic()
        self.pipe.send(case)

    def is_spent(self) -> bool:
        return self.case is not None or self.done >= CASES or not self.process.is_alive()

    def end(self) -> None:
        self.process.kill()
        self.process.join()
        self.pipe.close()


def run(
    cases: Iterable[int],
    processes: int,
    seed: int,
    folders: tuple[Path, Path],
    begin: Begin = Trials,
    seconds: float = SECONDS,
) -> Iterator[Verdict]:
    """Run cases in processes of their own.

    Args:
        cases: their numbers.
        processes: how many run at once.
        seed: of all cases.
        folders: templates and scratch, for `begin`.
        begin: makes in each process what runs a case.
        seconds: after which a case is given up.

    Yields:
        Verdicts as they come; a process that dies or hangs is a finding of its case.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.fuzz.trial"])  # torch is imported once

    def start() -> _Worker:
        here, there = context.Pipe()
        process = context.Process(target=_serve, args=(there, begin, seed, *folders), daemon=True)
        process.start()
        there.close()
        return _Worker(process, here)

    waiting, workers = iter(cases), [start() for _ in range(processes)]
    again: list[int] = []
    slow: set[int] = set()
    try:
        while workers:
            ready = wait([worker.pipe for worker in workers], timeout=0.5)
            for worker in list(workers):
                verdict = None
                if worker.pipe in ready:
                    verdict = _received(worker)
                elif worker.case is None or time.monotonic() - worker.since <= seconds:
                    continue
                elif worker.case in slow:
                    text = f"took more than {seconds:g} s twice"
                    verdict = _failed(worker, Finding("timeout", text), seconds)
                else:
                    slow.add(worker.case)  # other programs may have had the processors
                    again.append(worker.case)
                if verdict is not None:
                    yield verdict
                if worker.is_spent():
                    worker.end()
                    workers[workers.index(worker)] = start()  # it says when it is ready
                    continue
                case = again.pop() if again else next(waiting, None)
                if case is None:
                    worker.end()
                    workers.remove(worker)
                else:
                    worker.give(case)
    finally:
        for worker in workers:
            worker.end()


def _received(worker: _Worker) -> Verdict | None:
    """Take a verdict; None where the process has just become ready."""
    began, case = worker.since, worker.case
    try:
        verdict = worker.pipe.recv()
    except (EOFError, ConnectionResetError):
        worker.process.join(5)
        if case is None:
            raise RuntimeError(f"a process ended at once, {_ending(worker)}") from None
        return _failed(worker, Finding("crash", _ending(worker)), time.monotonic() - began)
    worker.case = None
    if verdict is not None:
        worker.done += 1
        verdict.seconds = time.monotonic() - began
    return verdict


def _failed(worker: _Worker, finding: Finding, seconds: float) -> Verdict:
    assert worker.case is not None
    return Verdict(worker.case, format_of(worker.case), False, [finding], seconds)


def _ending(worker: _Worker) -> str:
    code = worker.process.exitcode
    if code is not None and code < 0:
        return f"the process died of {signal.Signals(-code).name}"
    return f"the process ended with exit code {code}"


def _serve(pipe: Connection, begin: Begin, seed: int, templates: Path, scratch: Path) -> None:
    """Run the cases that come through a pipe, until it is closed."""
    trials = begin(seed, templates, scratch)
    pipe.send(None)
    while True:
        try:
            case = pipe.recv()
        except EOFError:
            return
        pipe.send(trials(case))
