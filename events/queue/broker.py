"""How the cluster takes wake-ups from the database: when it is told to, and now and then."""

from django.utils import timezone
from django_q.brokers.orm import ORM

from events.queue import wake_pipe


class Broker(ORM):  # type: ignore[misc]  # untyped
    """django-q2's broker for database rows, which deletes a wake-up when it is taken.

    The original keeps each one until the cluster's monitor has acknowledged it. When a monitor was
    killed, all of them stayed and came back every few minutes forever (measured). We need no second
    delivery: the rows are the queue, and a lost wake-up costs a second.

    It waits at the wake pipe where django-q2 would sleep. Looking twenty times a second costs more
    than everything else that an idle Admit does (measured), and is still slower than the pipe.
    """

    def dequeue(self) -> list[tuple[int, str]] | None:
        queue = self.get_connection()
        waiting = queue.filter(key=self.list_key, lock__lte=timezone.now()).order_by("pk")
        for pk, payload in waiting.values_list("pk", "payload")[:1]:
            taken, _ = queue.filter(pk=pk).delete()
            if taken:  # not by another cluster
                return [(pk, payload)]
        wake_pipe.wait()
        return None

    def acknowledge(self, task_id: int) -> None:
        """Do nothing: a wake-up that was taken is deleted already."""
