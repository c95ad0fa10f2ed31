"""The threads of one process, each with a database connection of its own."""

import logging
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait

from django.db import close_old_connections

log = logging.getLogger(__name__)


class Crew:
    """So many threads that carry out one job each; no job ever raises into its caller."""

    def __init__(self, threads: int) -> None:
        self.threads = threads
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="run")
        self._busy: set[Future[None]] = set()

    def free(self) -> int:
        """How many more jobs find a thread at once."""
        return self.threads - len(self._under_way())

    def begin(self, job: Callable[[], None]) -> None:
        """Carry the job out in one of the threads."""
        self._busy.add(self._pool.submit(_safely, job))

    def pause(self, seconds: float) -> bool:
        """Wait until a job has ended, at most so long; False when none is under way."""
        busy = self._under_way()
        if busy:
            wait(busy, timeout=seconds, return_when=FIRST_COMPLETED)
        return bool(busy)

    def _under_way(self) -> set[Future[None]]:
        self._busy = {job for job in self._busy if not job.done()}
        return self._busy


def _safely(job: Callable[[], None]) -> None:
    close_old_connections()
    try:
        job()
    except Exception as error:
        # Its lease runs out, and the run is taken up again. The error's text may quote a row.
        log.error("run_without_result", extra={"error": type(error).__name__})
    finally:
        close_old_connections()
