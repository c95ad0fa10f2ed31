"""Worker clusters: which there are, and when each showed life; the round of tidying; canaries."""

from django.db import models
from django.db.models.functions import Now

from integrations.models import Marketplace


class Worker(models.Model):
    """One cluster, started by one `manage.py up`."""

    name = models.CharField(max_length=100, unique=True)
    seen_at = models.DateTimeField(null=True)
    # Its `up` was told to stop: no new run is claimed.
    stopping = models.BooleanField(default=False)
    started_at = models.DateTimeField(db_default=Now())

    def __str__(self) -> str:
        return self.name


class Tidying(models.Model):
    """The one row of housekeeping: when it goes on, and where it stopped."""

    ONLY = 1

    # While a worker is at it: when another one takes it for dead.
    next_at = models.DateTimeField()
    # The retention task under way, and the last row that it looked at.
    chore = models.CharField(max_length=20, blank=True)
    reached_at = models.DateTimeField(null=True)
    reached_id = models.BigIntegerField(default=0)

    class Meta:
        constraints = [models.CheckConstraint(condition=models.Q(pk=1), name="tidying_only_one")]

    def __str__(self) -> str:
        return f"Tidying, next at {self.next_at}"


class Canary(models.Model):
    """The canary of one account: when the next one goes, and what became of the last one.

    `digest` is of its body, and `read_at` is when a worker read it. `failures` counts those since
    the last one that passed; `step` and `detail` say where the newest of them failed.
    """

    class Step(models.TextChoices):
        PASSED = "", "Passed"
        ADDRESS = "address", "The address could not be opened"
        DNS = "dns", "The name was not found"
        CERTIFICATE = "certificate", "No secure connection"
        CONNECTION = "connection", "No connection"
        ANSWER = "answer", "Another answer than Admit's"
        SECRET = "secret", "The address was not known"
        ARRIVAL = "arrival", "It did not arrive"
        WORKER = "worker", "No worker read it"
        RULES = "rules", "The rules could not be looked at"

    marketplace = models.OneToOneField(
        Marketplace, models.CASCADE, primary_key=True, related_name="canary"
    )
    # While one is under way: when it is taken for lost.
    next_at = models.DateTimeField()
    digest = models.CharField(max_length=64, blank=True)
    read_at = models.DateTimeField(null=True)
    passed_at = models.DateTimeField(null=True)
    step = models.CharField(max_length=11, choices=Step.choices, blank=True)
    detail = models.CharField(max_length=100, blank=True)
    failures = models.PositiveIntegerField(default=0)

    def __str__(self) -> str:
        return f"Canary of {self.marketplace}"
