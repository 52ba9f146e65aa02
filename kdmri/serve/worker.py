"""One thread for the networks: clients take turns, and what is asked first is answered first."""

import threading
from collections.abc import Callable
from queue import SimpleQueue


class Worker:
    """Runs jobs one after the other; a job handles its own errors."""

    def __init__(self) -> None:
        self._jobs: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._works = False
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def put(self, job: Callable[[], None]) -> None:
        """Add a job."""
        self._jobs.put(job)

    @property
    def is_idle(self) -> bool:
        """Whether it has nothing to do."""
        return self._jobs.empty() and not self._works

    def join(self) -> None:
        """Finish what was put, and end."""
        self._jobs.put(None)
        self._thread.join()

    def _run(self) -> None:
        while (job := self._jobs.get()) is not None:
            self._works = True
            job()
            self._works = False
