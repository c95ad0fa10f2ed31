"""The queue as it stands, for whoever looks after the server. A page without a button."""

from datetime import timedelta

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.utils import timezone

from config.admin import look
from config.admin.menu import SUPERUSER
from config.admin.pages import Page, render
from events import queued
from events.models import Worker


def show(request: HttpRequest) -> HttpResponse:
    now = timezone.now()
    return render(
        request,
        "admin/queue.html",
        title="Queue",
        wake_ups=queued.wake_ups(),
        unread=queued.unread(),
        due=queued.due(),
        later=queued.later(),
        workers=[(worker, *_state(worker)) for worker in queued.workers()],
        silent_after=settings.HEARTBEAT_TIMEOUT,
        running=[
            (run, bool(run.lease_until and run.lease_until < now)) for run in queued.running()
        ],
        sites=queued.sites(),
        most_calls=settings.THINKIFIC_CALLS_PER_MINUTE,
    )


def _state(worker: Worker) -> tuple[str, str]:
    """What the worker is doing, as a word and its colour."""
    if worker.seen_at is None:
        return "Starting", look.AMBER
    if timezone.now() - worker.seen_at > timedelta(seconds=settings.HEARTBEAT_TIMEOUT):
        return "Silent", look.RED
    return ("Stopping", look.AMBER) if worker.stopping else ("Working", look.GREEN)


PAGES = [Page("queue/", "queue", show, SUPERUSER)]
