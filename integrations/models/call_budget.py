"""The call budget of each site: when its next call may go out, and why it may not."""

from django.db import models
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy

from integrations.models.integration import Integration


class SiteAnswer(models.TextChoices):
    """A site's answer to the question whether it is open: see `thinkific.site_check`."""

    NONE = "", _("Not asked, or being asked")
    OPEN = "open", pgettext_lazy("integration", "Open")
    REFUSED = "refused", _("Key refused")
    LIMITED = "limited", _("Limit reached")
    UNKNOWN = "unknown", _("No answer that tells")


class CallBudget(models.Model):
    """One site's call budget: when its next call may go out, and why it may not.

    Times are seconds since 1970 by the database's clock. `next_slot` is the theoretical arrival
    time of GCRA, `blocked_until` the end of a pause, `asked_at` when the site was last asked
    whether it is open, and `answer` what it said.
    """

    class Blocked(models.TextChoices):
        NO = "", pgettext_lazy("integration", "Open")
        KEY = "key", _("Key rejected")
        LIMIT = "limit", _("Limit reached")
        AWAY = "away", _("Cannot be reached")

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
