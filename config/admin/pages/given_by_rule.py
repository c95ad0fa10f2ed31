"""Who got a course or bundle through a rule, for the person who takes the rule back."""

from datetime import datetime
from urllib.parse import urlencode

from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from events.models import RuleRun
from integrations.sentences import say, say_count
from rules import actions
from rules.listing import listed

# The list of actions takes their numbers by this: when a rule is gone, they no longer name it.
NUMBERS = "id__in"
# So many of the newest are named: an address has room for no more.
MOST = 200
NAMED = 3


def sentence(rule: int, since: datetime | None = None) -> SafeString | None:
    """How many buyers the rule of this number gave access since then, with the way to them.

    None where it gave none. Ask before the rule is deleted.
    """
    gave = RuleRun.objects.filter(
        rule=rule, status=RuleRun.Status.DONE, action__in=actions.giving_access()
    ).exclude(code="already_enrolled")
    if since is not None:
        gave = gave.filter(received_at__gte=since)
    runs = list(gave.order_by("-received_at", "-pk")[: MOST + 1])
    if not runs:
        return None
    more, runs = "+" if len(runs) > MOST else "", runs[:MOST]
    text = say_count(
        len({run.customer_id for run in runs}),
        "1 buyer got {courses} through this rule, and keeps it.",
        "{number}{more} buyers got {courses} through this rule, and keep it.",
        courses=listed([*dict.fromkeys(run.destination_name for run in runs)], NAMED),
        more=more,
    )
    numbers = urlencode({NUMBERS: ",".join(str(run.pk) for run in runs)}, safe=",")
    page = f"{reverse('admin:events_rulerun_changelist')}?{numbers}"
    return format_html('{} <a href="{}">{}</a>', text, page, say("See the actions"))
