"""The queue as it stands, for the person who looks after the server."""

from datetime import timedelta

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.utils import timezone

from config.admin.parts import badges
from config.admin.parts.page import Page, render
from events.models import Worker
from events.reports.system import queue
from integrations import app_registry
from integrations.models import Integration
from integrations.sentences import say
from integrations.who import OWNERS_ONLY


def show(request: HttpRequest) -> HttpResponse:
    now = timezone.now()
    return render(
        request,
        "admin/queue.html",
        title=say("Queue"),
        wake_ups=queue.wake_ups(),
        unread=queue.unread(),
        due=queue.due(),
        later=queue.later(),
        endings=queue.endings(),
        workers=[(worker, *_state(worker)) for worker in queue.workers()],
        silent_after=settings.HEARTBEAT_TIMEOUT,
        running=[(run, bool(run.lease_until and run.lease_until < now)) for run in queue.running()],
        sites=[(site, *_of_app(site.integration)) for site in queue.sites()],
    )


def _of_app(integration: Integration) -> tuple[int, bool]:
    """Return how many calls a minute it may get, and whether a question ends its pause."""
    app = app_registry.of(integration)
    return app.calls_per_minute(), app.question is not None


def _state(worker: Worker) -> tuple[str, str]:
    """Return the worker's state as a word, and the color for it."""
    if worker.seen_at is None:
        return say("Starting"), badges.AMBER
    if timezone.now() - worker.seen_at > timedelta(seconds=settings.HEARTBEAT_TIMEOUT):
        return say("Silent"), badges.RED
    if worker.stopping:
        return say("Stopping"), badges.AMBER
    return say("Working"), badges.GREEN


PAGES = [Page("queue/", "queue", show, OWNERS_ONLY)]
