"""How the cluster looks for wake-ups in the database: when it is told to, and now and then."""

from django_q.brokers.orm import ORM

from events import bell


class Broker(ORM):  # type: ignore[misc]  # untyped
    """django-q2's broker of rows, which listens for the bell where it would sleep.

    Twenty looks a second cost more than all else that an idle Admit does (measured), and the
    first call still came later than by the bell.
    """

    def dequeue(self) -> list[tuple[int, str]] | None:
        found: list[tuple[int, str]] | None = super().dequeue()
        if not found:
            bell.listen()
        return found
