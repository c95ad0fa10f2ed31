"""The log of calls that Admit made."""

from django.db import models
from django.utils.translation import gettext_lazy as _

from integrations import sealed
from integrations.models.integration import Integration
from integrations.sentences import SentenceField


class ApiCall(models.Model):
    """One exchange with an integration, without secrets.

    The bodies are sealed; read them by `request_text` and `response_text`.
    """

    integration = models.ForeignKey(
        Integration, models.SET_NULL, null=True, related_name="api_calls"
    )
    # Not a foreign key, because runs are in the app `events`, which this app must not import.
    run_id = models.BigIntegerField(null=True, db_index=True)
    method = models.CharField(max_length=6)
    url = models.TextField()
    request_body = models.TextField(blank=True)
    status = models.PositiveSmallIntegerField(null=True)
    response_body = models.TextField(blank=True)
    error = SentenceField(blank=True)
    milliseconds = models.PositiveIntegerField()
    sent_at = models.DateTimeField(db_index=True)

    class Meta:
        verbose_name = _("API call")

    @property
    def request_text(self) -> str:
        """The request's body, or a sentence if our keys do not open it."""
        return sealed.reveal_text(self.request_body)

    @property
    def response_text(self) -> str:
        """The answer's body, or a sentence if our keys do not open it."""
        return sealed.reveal_text(self.response_body)

    def __str__(self) -> str:
        return f"{self.method} {self.url} {self.status or self.error}"
