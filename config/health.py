"""`/healthz`: the process answers. `/readyz`: it can do its work, shown by a test write."""

import shutil
import threading
import time
import uuid
from collections.abc import Callable, Iterator

from django.conf import settings
from django.db import DatabaseError, Error, connection, transaction
from django.db.migrations.executor import MigrationExecutor
from django.db.migrations.loader import MigrationLoader
from django.http import HttpRequest, HttpResponse
from django.utils import timezone, translation
from django.utils.translation import gettext_lazy as _

from config import metrics
from config.models import Session
from events.receiving import disk, spool
from integrations import secrets
from integrations.database.database_timeout import DatabaseTimeout
from integrations.models import Integration, WebhookSecret

OUTDATED = "The database is older than the program: run manage.py migrate."
OVERTAKEN = (
    "The program is older than the database, which a newer Admit has migrated. Install that "
    "version again: this one would break what it wrote."
)
RECEIVES_ONLY = _("Admit is being updated. What SamCart sends is kept, and comes in afterwards.")
UNREACHABLE = "The database cannot be reached."
WRONG_KEYS = "FIELD_ENCRYPTION_KEYS do not open the stored secrets."
READ_ONLY = "The database takes no write: it is locked, its disk is full, or it may only be read."
NO_SPOOL = "The spool folder takes no file: what the database cannot take would be lost."
PLAIN = "text/plain; charset=utf-8"
GetResponse = Callable[[HttpRequest], HttpResponse]

_one_at_a_time = threading.Lock()
# When readiness was last checked, in monotonic seconds, and the problems found.
_proved = float("-inf"), ""


def answer_first(get_response: GetResponse) -> GetResponse:
    """Middleware that answers monitors before Django checks the host name.

    Monitors call the server by its IP address, which is not an allowed host.
    """
    views = {"/healthz": alive, "/readyz": ready, "/metrics": metrics.show}

    def answer(request: HttpRequest) -> HttpResponse:
        view = views.get(request.path_info)
        if view is None:
            return get_response(request)
        # Machines get English: the thread may still have the language of the last person's request.
        with translation.override(None):
            return view(request)

    return answer


def alive(request: HttpRequest) -> HttpResponse:
    """Answer 200, as long as the process answers at all."""
    return HttpResponse("alive\n", content_type=PLAIN)


def ready(request: HttpRequest) -> HttpResponse:
    """Answer 200 when database, migrations, keys, spool and disks are usable, else 503.

    A 503 has a sentence for each fault. Strangers may ask as well: they learn no path, and can make
    a process check only once in READY_SECONDS.
    """
    problems = _lately()
    return HttpResponse(
        f"{problems or 'ready'}\n", status=503 if problems else 200, content_type=PLAIN
    )


def outdated() -> bool:
    """Return whether migrations are missing; False also when the database cannot be reached."""
    try:
        return _lacks_migrations()
    except DatabaseError:
        connection.close()
        return False


def overtaken() -> bool:
    """Return whether a newer program migrated the database; False when it cannot be reached."""
    try:
        loader = MigrationLoader(connection)
    except DatabaseError:
        connection.close()
        return False
    newest: dict[str, str] = {}
    for app, name in loader.disk_migrations or ():
        newest[app] = max(newest.get(app, ""), name)
    # An unknown migration with an older name was squashed.
    return any(name > newest.get(app, name) for app, name in loader.applied_migrations or ())


def only_receiving(get_response: GetResponse) -> GetResponse:
    """Middleware: 503 for everything but the webhook and `/healthz`, without the database."""

    def answer(request: HttpRequest) -> HttpResponse:
        if request.path_info == "/healthz":
            return alive(request)
        with translation.override(translation.get_language_from_request(request)):
            text = f"{RECEIVES_ONLY}\n"
        response = HttpResponse(text, status=503, content_type=PLAIN)
        response["Retry-After"] = "30"
        return response

    return answer


def _lately() -> str:
    """Return the problems, one a line, checked at most READY_SECONDS ago."""
    global _proved
    with _one_at_a_time:
        at, problems = _proved
        if time.monotonic() - at >= settings.READY_SECONDS:
            problems = "\n".join(filter(None, [_of_database(), _of_spool(), *_of_room()]))
            _proved = time.monotonic(), problems
        return problems


def _of_database() -> str:
    problem = UNREACHABLE
    try:
        with DatabaseTimeout(settings.STORE_SECONDS):
            if _lacks_migrations():
                return OUTDATED
            _open_secrets()
            problem = READ_ONLY
            _write()
    except Error:
        # The server may still work on our query, or hang: Django must not use this connection again
        # at the end of the request.
        connection.close()
        return problem
    except secrets.SecretUnreadable:
        return WRONG_KEYS
    return ""


def _lacks_migrations() -> bool:
    executor = MigrationExecutor(connection)
    return bool(executor.migration_plan(executor.loader.graph.leaf_nodes()))


def _open_secrets() -> None:
    """Open every stored secret. Raises SecretUnreadable when one cannot be opened."""
    for model, field in ((Integration, "sealed_secret"), (WebhookSecret, "sealed")):
        for sealed in model._default_manager.values_list(field, flat=True):
            if sealed:
                secrets.reveal(sealed)


def _write() -> None:
    """Commit a write that leaves nothing behind: a session that is deleted right away."""
    session = Session(session_key=uuid.uuid4().hex, expire_date=timezone.now())
    with transaction.atomic():
        session.save(force_insert=True)
        session.delete()


def _of_spool() -> str:
    try:
        spool.prove()
    except OSError:
        return NO_SPOOL
    return ""


def _of_room() -> Iterator[str]:
    for what, folder in disk.folders().items():
        if not folder.is_dir():
            continue  # reported already
        if shutil.disk_usage(folder).free < settings.READY_FREE_MB * 1024 * 1024:
            yield f"Less than {settings.READY_FREE_MB} MB are free on the disk of {what}."
