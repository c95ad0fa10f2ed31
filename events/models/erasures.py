"""Keyed hashes of erased persons, so that no replay brings them back."""

from django.db import models
from django.db.models import Q
from django.db.models.functions import Now


class Erasure(models.Model):
    """A keyed hash of an erased person's address, or of one of that person's sales.

    It does not reveal the person; `events.access.erasures` compares it with what comes in.
    """

    digest = models.CharField(max_length=64, unique=True)
    erased_at = models.DateTimeField(db_default=Now(), editable=False)

    def __str__(self) -> str:
        return f"Erased {self.erased_at}"


class ErasureKey(models.Model):
    """The one key of the hashes, sealed. It stays the same when the keys that seal it change."""

    ONLY = 1

    sealed = models.TextField(editable=False)

    class Meta:
        constraints = [models.CheckConstraint(condition=Q(pk=1), name="erasure_key_only_one")]

    def __str__(self) -> str:
        return "The key of erasures"
