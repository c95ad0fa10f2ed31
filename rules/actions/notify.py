"""The action Send HTTP POST: post what SamCart sent to a Notify URL, byte for byte."""

from collections.abc import Generator

from django.utils.translation import gettext_lazy as _

from integrations.calls.exchanges import Answer
from integrations.errors import Refused
from integrations.models import Integration
from integrations.notify_url.calls import HttpPost
from integrations.sentences import say
from integrations.thinkific.attempt import Attempt
from rules.actions.spec import ActionInput, ActionOutcome, ActionSpec, Effect, PlannedCall

NO_BODY = "no_body"


def send_http_post(
    attempt: Attempt, action_input: ActionInput
) -> Generator[HttpPost, Answer, ActionOutcome]:
    """Post the body. The receiver recognizes a repeated message by its number."""
    message = action_input.message
    if message is None:
        raise Refused(
            say(
                "What SamCart sent is not kept anymore, so nothing was sent to {place}.",
                place=action_input.destination,
            ),
            code=NO_BODY,
        )
    yield HttpPost(
        message_id=message.number,
        body=message.body,
        content_type=message.content_type,
        content_encoding=message.content_encoding,
        headers={"admit-trigger": message.trigger, "admit-event": str(message.event)},
    )
    return ActionOutcome("posted", say("Sent to {place}.", place=action_input.destination))


def _planned_calls(*, site: str = "", **__: bool) -> list[PlannedCall]:
    return [PlannedCall(_("Send what SamCart sent"), f"POST {site}".rstrip())]


SPEC = ActionSpec(
    key="send_http_post",
    label=_("Send HTTP POST"),
    app=Integration.App.NOTIFY_URL,
    effect=Effect.NONE,
    target=None,
    run=send_http_post,
    in_words=_("send an HTTP POST to {place}"),
    in_short=_("send HTTP POST to {name}"),
    planned_calls=_planned_calls,
    passes_on=True,
)
