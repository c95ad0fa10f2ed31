"""What an event keeps of the verdicts on the rules that were looked at."""

from collections.abc import Collection, Sequence
from typing import Any

from events.models import EventLog
from rules.engine import Reason, Verdict
from rules.models import Rule


def with_new(
    event: EventLog, verdicts: Sequence[Verdict], only: Collection[Rule] | None
) -> list[list[Any]]:
    """Return the event's verdicts with the new ones of all rules, or of `only` these.

    The verdict of a rule that ran stays, even if today's rules decide otherwise.
    """
    asked = {each.rule.pk for each in verdicts if only is None or each.rule in only}
    before = [
        [rule, why]
        for rule, why in event.verdicts
        if why == Reason.RUN or (only is not None and rule not in asked)
    ]
    new_ones = asked - {rule for rule, _ in before}
    now = [[each.rule.pk, each.why.value] for each in verdicts if each.rule.pk in new_ones]
    return before + now
