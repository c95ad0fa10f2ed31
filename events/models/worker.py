"""Worker clusters: which ones there are, and when each last showed life."""

from django.db import models
from django.db.models.functions import Now


class Worker(models.Model):
    """One cluster, started by one `manage.py up`."""

    name = models.CharField(max_length=100, unique=True)
    seen_at = models.DateTimeField(null=True)
    # Its `up` was told to stop: no new run is claimed.
    stopping = models.BooleanField(default=False)
    started_at = models.DateTimeField(db_default=Now())

    def __str__(self) -> str:
        return self.name
