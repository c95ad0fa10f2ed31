"""The calls we make: each exchange as it was, and each site's budget of calls."""

from django.db import models

from integrations.models.thinkific import Integration


class ApiCall(models.Model):
    """One exchange with a site, secrets masked."""

    integration = models.ForeignKey(
        Integration, models.SET_NULL, null=True, related_name="api_calls"
    )
    # A plain reference: runs belong to an app that this one does not know.
    run_id = models.BigIntegerField(null=True, db_index=True)
    method = models.CharField(max_length=6)
    url = models.TextField()
    request_body = models.TextField(blank=True)
    status = models.PositiveSmallIntegerField(null=True)
    response_body = models.TextField(blank=True)
    error = models.TextField(blank=True)
    milliseconds = models.PositiveIntegerField()
    sent_at = models.DateTimeField(db_index=True)

    class Meta:
        verbose_name = "API call"

    def __str__(self) -> str:
        return f"{self.method} {self.url} {self.status or self.error}"


class SiteAnswer(models.TextChoices):
    """What a site answered when it was asked whether it is open: see `thinkific.site_check`."""

    NONE = "", "Not asked, or being asked"
    OPEN = "open", "Open"
    REFUSED = "refused", "Key refused"
    LIMITED = "limited", "Limit reached"
    UNKNOWN = "unknown", "No answer that tells"


class CallBudget(models.Model):
    """One row per site: when its next call may go out, and why it may not.

    `next_slot` is the theoretical arrival time of GCRA, `blocked_until` ends a pause, `asked_at`
    is when the site was last asked whether it is open: seconds since 1970 by the database's clock.
    `answer` is what it said.
    """

    class Blocked(models.TextChoices):
        NO = "", "Open"
        KEY = "key", "Key rejected"
        LIMIT = "limit", "Limit reached"
        AWAY = "away", "Cannot be reached"

    integration = models.OneToOneField(
        Integration, models.CASCADE, primary_key=True, related_name="budget"
    )
    next_slot = models.FloatField(default=0)
    blocked = models.CharField(
        max_length=5, choices=Blocked.choices, default=Blocked.NO, blank=True
    )
    blocked_until = models.FloatField(default=0)
    asked_at = models.FloatField(default=0)
    answer = models.CharField(
        max_length=7, choices=SiteAnswer.choices, default=SiteAnswer.NONE, blank=True
    )

    def __str__(self) -> str:
        return f"Budget of {self.integration}"
