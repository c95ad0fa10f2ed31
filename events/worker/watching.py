"""What `manage.py up` does beside its work to be watched: the ping, and the canary.

Not a worker, for it must go on, or stay away, where none runs.
"""

from events.worker import canary, ping
from events.worker.beside import Beside

PING = Beside("ping", ping.due, lambda until: ping.send(), tasks=1)
CANARY = Beside("canary", lambda: canary.due() is not None, lambda until: canary.go_on(), tasks=2)


def tick() -> None:
    """Begin the ping and the canary when they are due; waits for neither."""
    PING.begin()
    CANARY.begin()
