"""The buttons of an action, and which actions show each of them."""

from django.utils.translation import gettext_lazy as _

from config.admin.parts.badges import brief
from config.admin.parts.buttons import Button
from events.access.ledger import Judgment
from events.execution import gone_destinations, retry_reasons
from events.models import RuleRun
from integrations.sentences import say
from rules.actions.notify import NO_BODY

Status = RuleRun.Status
# Codes of messages that failed through no fault of the receiver.
NOT_THE_RECEIVER = {NO_BODY, "broken", "deleted", "worker_stopped", "queued", "database_busy"}


def misses_its_course(run: RuleRun) -> bool:
    """Return whether it failed, and the course or bundle that it gives is gone."""
    return run.status == Status.FAILED and gone_destinations.is_gone(run)


def was_not_taken(run: RuleRun) -> bool:
    """Return whether it passes on what SamCart sent, and the receiver did not accept it."""
    stands = run.status == Status.FAILED or (run.status == Status.WAITING and run.attempts > 0)
    return run.spec.passes_on and stands and run.code not in NOT_THE_RECEIVER


def _rule_may_end(run: RuleRun) -> bool:
    failed = run.status == Status.FAILED and was_not_taken(run)
    return failed and run.rule is not None and run.rule.enabled


BUTTONS = (
    Button(
        "retry",
        _("Retry"),
        "events.retry_rulerun",
        fits=lambda run: run.status == Status.FAILED and not retry_reasons.why_not(run),
    ),
    Button(
        "try_now",
        _("Try now"),
        "events.retry_rulerun",
        fits=lambda run: run.waits_to_retry,
    ),
    Button(
        "release",
        _("Release"),
        "events.retry_rulerun",
        fits=lambda run: (
            run.status == Status.HELD and not run.is_pending and not retry_reasons.why_not(run)
        ),
    ),
    Button(
        "do_anyway",
        _("Do it anyway"),
        "events.retry_rulerun",
        fits=lambda run: (
            run.status == Status.SKIPPED and not retry_reasons.why_not(run, anyway=True)
        ),
        # Where there was nothing to end, it was right to skip it.
        quiet=lambda run: run.code == Judgment.GAVE_NOTHING,
    ),
    Button(
        "run_again",
        _("Run again"),
        "events.retry_rulerun",
        fits=lambda run: not retry_reasons.why_not_again(run),
        in_row=False,
    ),
    Button(
        "dismiss",
        _("Dismiss"),
        "events.dismiss_rulerun",
        fits=lambda run: run.status in {Status.FAILED, Status.HELD} and not run.is_pending,
    ),
    Button(
        "end_now",
        _("End it now"),
        "events.retry_rulerun",
        fits=lambda run: run.is_pending,
        confirm=lambda run: say(
            "This access to {course} ends now. The course stays if something else gives it.",
            course=brief(run.destination_name),
        ),
    ),
    Button(
        "keep",
        _("Keep it without an end"),
        "events.dismiss_rulerun",
        fits=lambda run: run.is_pending,
        confirm=lambda run: say(
            "The access to {course} stays, and nothing ends it on its day.",
            course=brief(run.destination_name),
        ),
    ),
    Button(
        "refresh",
        _("Refresh"),
        "integrations.change_integration",
        fits=misses_its_course,
        in_row=False,
    ),
    Button(
        "turn_rule_off",
        _("Turn the rule off"),
        "rules.change_rule",
        fits=_rule_may_end,
        in_row=False,
    ),
)
