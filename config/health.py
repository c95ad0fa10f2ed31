"""`/healthz`: the process answers. `/readyz`: it could do its work."""

from collections.abc import Callable

from django.db import DatabaseError, connection
from django.db.migrations.executor import MigrationExecutor
from django.http import HttpRequest, HttpResponse

from integrations import secrets
from integrations.models import Integration, WebhookSecret

OUTDATED = "The database is older than the program: run manage.py migrate."
GetResponse = Callable[[HttpRequest], HttpResponse]


def answer_first(get_response: GetResponse) -> GetResponse:
    """Middleware: whoever watches the server calls it by its number, not by an allowed host."""
    views = {"/healthz": alive, "/readyz": ready}

    def answer(request: HttpRequest) -> HttpResponse:
        return views.get(request.path_info, get_response)(request)

    return answer


def alive(request: HttpRequest) -> HttpResponse:
    """200 as long as the process answers at all."""
    return HttpResponse("alive\n", content_type="text/plain")


def ready(request: HttpRequest) -> HttpResponse:
    """200 when database, migrations and keys are usable; else 503 and a sentence."""
    problem = _problem()
    return HttpResponse(
        f"{problem or 'ready'}\n", status=503 if problem else 200, content_type="text/plain"
    )


def outdated() -> bool:
    """Whether migrations are missing; False also when the database cannot be reached."""
    try:
        return _lacks_migrations()
    except DatabaseError:
        connection.close()
        return False


def _problem() -> str:
    try:
        if _lacks_migrations():
            return OUTDATED
        for model, field in ((Integration, "sealed_secret"), (WebhookSecret, "sealed")):
            for sealed in model._default_manager.values_list(field, flat=True):
                if sealed:
                    secrets.reveal(sealed)
    except DatabaseError:
        connection.close()
        return "The database cannot be reached."
    except secrets.SecretUnreadable:
        return "FIELD_ENCRYPTION_KEYS do not open the stored secrets."
    return ""


def _lacks_migrations() -> bool:
    executor = MigrationExecutor(connection)
    return bool(executor.migration_plan(executor.loader.graph.leaf_nodes()))
