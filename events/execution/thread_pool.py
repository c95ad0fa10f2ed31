"""The threads of one process, each with a database connection of its own."""

import logging
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait

from django.db import close_old_connections

log = logging.getLogger(__name__)


class ThreadPool:
    """So many threads that carry out one job each; no job ever raises into its caller."""

    def __init__(self, threads: int) -> None:
        self.threads = threads
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="run")
        self._busy: dict[Future[None], int] = {}

    def free(self) -> int:
        """How many more jobs find a thread at once."""
        return self.threads - len(self._under_way())

    def busy(self) -> Counter[int]:
        """How many jobs are under way for each site."""
        return Counter(self._under_way().values())

    def begin(self, job: Callable[[], object], *, site: int) -> None:
        """Carry the job out in one of the threads; `site` is whom it calls."""
        self._busy[self._pool.submit(_safely, job)] = site

    def pause(self, seconds: float, *, gather: float = 0.0) -> bool:
        """Wait until a job has ended, at most so long; False when none is under way.

        Then wait on for so long at most, until half of the jobs have ended.
        """
        busy = self._under_way()
        if not busy:
            return False
        ended, _ = wait(busy, timeout=seconds, return_when=FIRST_COMPLETED)
        until = time.monotonic() + gather
        while ended and len(self._under_way()) > len(busy) // 2:
            left = until - time.monotonic()
            if left <= 0:
                break
            wait(self._busy, timeout=left, return_when=FIRST_COMPLETED)
        return True

    def _under_way(self) -> dict[Future[None], int]:
        self._busy = {job: site for job, site in self._busy.items() if not job.done()}
        return self._busy


def _safely(job: Callable[[], object]) -> None:
    close_old_connections()
    try:
        job()
    except Exception as error:
        # Its lease runs out, and the run is taken up again. The error's text may quote a row.
        log.error("run_without_result", extra={"error": type(error).__name__})
    finally:
        close_old_connections()
