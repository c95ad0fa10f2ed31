"""Worker clusters, and what they do when idle: tidying, sealing old rows, canaries."""

from datetime import datetime, timedelta

from django.db import models
from django.db.models import DurationField, ExpressionWrapper, F, Max
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from integrations.models import Marketplace

# After so long without a sign of a worker, pages and alerts say that none runs.
SILENT_AFTER = timedelta(minutes=2)


class WorkerQuerySet(models.QuerySet["Worker"]):
    """When any of these clusters was last seen, by the database's clock, which sets `seen_at`."""

    def last_seen(self) -> datetime | None:
        """Return when one of them was last seen; None if none ever was."""
        seen: datetime | None = self.aggregate(seen=Max("seen_at"))["seen"]
        return seen

    def silence(self) -> float | None:
        """Return the seconds since one of them was seen; None if none ever was."""
        silent = ExpressionWrapper(Now() - F("seen"), output_field=DurationField())
        row = self.aggregate(seen=Max("seen_at"), silent=silent)
        return row["silent"].total_seconds() if row["seen"] else None

    def are_silent(self) -> bool:
        """Whether none of them was seen for two minutes, or ever."""
        silence = self.silence()
        return silence is None or silence > SILENT_AFTER.total_seconds()


class Worker(models.Model):
    """One cluster, started by one `manage.py up`."""

    name = models.CharField(max_length=100, unique=True)
    seen_at = models.DateTimeField(null=True)
    # Its `up` was told to stop: no new run is claimed.
    stopping = models.BooleanField(default=False)
    started_at = models.DateTimeField(db_default=Now())

    objects = WorkerQuerySet.as_manager()

    def __str__(self) -> str:
        return self.name


class Tidying(models.Model):
    """The one row of housekeeping: when it continues, and where it stopped."""

    ONLY = 1

    # When housekeeping continues; while a worker does it, when others take that worker for dead.
    next_at = models.DateTimeField()
    # The retention task under way, and the last row that it looked at.
    chore = models.CharField(max_length=20, blank=True)
    reached_at = models.DateTimeField(null=True)
    reached_id = models.BigIntegerField(default=0)

    class Meta:
        constraints = [models.CheckConstraint(condition=models.Q(pk=1), name="tidying_only_one")]

    def __str__(self) -> str:
        return f"Tidying, next at {self.next_at}"


class Unsealed(models.Model):
    """How far the sealing of a table's old bodies has come.

    The row is deleted when all of them are sealed.
    """

    class Table(models.TextChoices):
        DELIVERIES = "deliveries", _("Deliveries")
        EXCHANGES = "exchanges", _("Exchanges")

    table = models.CharField(max_length=10, choices=Table.choices, unique=True)
    # All rows up to `reached_id` are sealed, and so are those after `last_id`.
    reached_id = models.BigIntegerField(default=0)
    last_id = models.BigIntegerField()

    def __str__(self) -> str:
        return f"{self.get_table_display()} up to {self.last_id}"


class Canary(models.Model):
    """The canary of one account: when the next one goes, and what became of the last one.

    `digest` is that of its body, and `read_at` is when a worker read it. `failures` counts the
    failures since the last success; `step` and `detail` say where the newest one failed.
    """

    class Step(models.TextChoices):
        PASSED = "", _("Passed")
        ADDRESS = "address", _("The address could not be opened")
        DNS = "dns", _("The name was not found")
        CERTIFICATE = "certificate", _("No secure connection")
        CONNECTION = "connection", _("No connection")
        ANSWER = "answer", _("Another answer than Admit's")
        SECRET = "secret", _("The address was not known")
        ARRIVAL = "arrival", _("It did not arrive")
        WORKER = "worker", _("No worker read it")
        RULES = "rules", _("The rules could not be looked at")

    marketplace = models.OneToOneField(
        Marketplace, models.CASCADE, primary_key=True, related_name="canary"
    )
    # When the next one goes; while one is under way, when it is taken for lost.
    next_at = models.DateTimeField()
    digest = models.CharField(max_length=64, blank=True)
    read_at = models.DateTimeField(null=True)
    passed_at = models.DateTimeField(null=True)
    step = models.CharField(max_length=11, choices=Step.choices, blank=True)
    detail = models.CharField(max_length=100, blank=True)
    failures = models.PositiveIntegerField(default=0)

    def __str__(self) -> str:
        return f"Canary of {self.marketplace}"
