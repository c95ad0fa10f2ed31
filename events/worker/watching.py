"""What `manage.py up` does in threads so that it can be watched: the ping and the canary.

This is not a worker's part, because it must go on, or stay away, where no worker runs.
"""

from events.worker import canary, ping
from events.worker.background import BackgroundWork

PING = BackgroundWork("ping", ping.due, lambda until: ping.send(), task_times=1)
CANARY = BackgroundWork(
    "canary", lambda: canary.due() is not None, lambda until: canary.go_on(), task_times=2
)


def tick() -> None:
    """Begin the ping and the canary if they are due, without waiting for them."""
    PING.begin()
    CANARY.begin()
