"""`/healthz`: the process answers. `/readyz`: it could do its work."""

from django.db import DatabaseError, connection
from django.db.migrations.executor import MigrationExecutor
from django.http import HttpRequest, HttpResponse

from integrations import secrets
from integrations.models import Integration, WebhookSecret


def alive(request: HttpRequest) -> HttpResponse:
    """200 as long as the process answers at all."""
    return HttpResponse("alive\n", content_type="text/plain")


def ready(request: HttpRequest) -> HttpResponse:
    """200 when database, migrations and keys are usable; else 503 and a sentence."""
    problem = _problem()
    return HttpResponse(
        f"{problem or 'ready'}\n", status=503 if problem else 200, content_type="text/plain"
    )


def _problem() -> str:
    try:
        executor = MigrationExecutor(connection)
        if executor.migration_plan(executor.loader.graph.leaf_nodes()):
            return "The database is older than the program: run manage.py migrate."
        for model, field in ((Integration, "sealed_secret"), (WebhookSecret, "sealed")):
            newest = model._default_manager.order_by("-pk").values_list(field, flat=True).first()
            if newest:
                secrets.reveal(newest)
    except DatabaseError:
        return "The database cannot be reached."
    except secrets.SecretUnreadable:
        return "FIELD_ENCRYPTION_KEYS do not open the stored secrets."
    return ""
