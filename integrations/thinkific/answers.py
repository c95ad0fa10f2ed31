"""Judge Thinkific's answer, or the lack of one: a body, or an error named by Admit's reaction.

Thinkific's OpenAPI file declares no 401, 429 or 5xx. So these are judged by its support pages and
by what any HTTP service behind Cloudflare does.
"""

import json
import re
from collections.abc import Iterator
from datetime import datetime
from typing import Any, NoReturn

from integrations.calls import retry_after
from integrations.calls.exchanges import Answer, CallFault, Reply
from integrations.errors import KeyRejected, LimitReached, OutsideError, Refused, Retry
from integrations.sentences import Said, joined, say
from integrations.thinkific import rate_headers

__all__ = ["Answer", "judge"]

# Answers with these statuses say why in their text, and the caller may know what to do about it.
_TEXT_DECIDES = frozenset({400, 409, 422})
_LATER = frozenset({408, 425})
# An error that names no field and no reason.
_VAGUE = ("", "is invalid")
_MOST_DETAILS, _LONGEST_DETAIL = 20, 300
_ESCAPED = re.compile(r"\\u(?:0000|[dD][89a-fA-F])")
_UNSTORABLE = re.compile(r"[\x00\ud800-\udfff]")


def judge(
    reply: Reply, *, host: str, seconds: float, write: bool, now: datetime
) -> Answer | OutsideError:
    """Judge a reply by its status first and its text second.

    `host` is named in sentences. `seconds` is the deadline that the call had. `write` means that
    the call could change something.
    """
    status, trouble = reply.status, _trouble(reply.fault, host=host, seconds=seconds, write=write)
    if status is None:
        return trouble or Retry(say("Thinkific sent no answer."), in_doubt=write)
    if trouble and (status < 300 or status in _TEXT_DECIDES):
        return Retry(
            trouble.message,
            status=status,
            code=trouble.code,
            in_doubt=write and status < 300,
        )
    if 200 <= status < 300:
        return _success(status, reply.text, write=write)
    return _failure(status, reply, write=write, now=now)


def _trouble(
    cut: CallFault | None, *, host: str, seconds: float, write: bool
) -> OutsideError | None:
    match cut:
        case None:
            return None
        case CallFault.NOT_USABLE:
            return Refused(
                say(
                    "The address of Thinkific's API is not usable. "
                    "Check THINKIFIC_API_URL in the settings."
                )
            )
        case CallFault.TOO_LARGE:
            return Retry(say("Thinkific's answer was too large (more than 1 MiB)."))
        case CallFault.NO_ANSWER_IN_TIME:
            late = say("Thinkific did not answer within {seconds} seconds.", seconds=f"{seconds:g}")
            return Retry(late, in_doubt=write)
        case CallFault.BROKEN_OFF:
            what = say("The connection to Thinkific broke off before its answer was complete.")
            return Retry(what, in_doubt=write)
    return Retry(_unreached(cut, host), code="unreachable", in_doubt=False)


def _unreached(cut: CallFault, host: str) -> str:
    match cut:
        case CallFault.NO_ADDRESS:
            return say("The address of {host} could not be looked up (DNS).", host=host)
        case CallFault.NO_CERTIFICATE:
            return say(
                "The certificate of {host} is not valid; "
                "check this server's clock, and that no firewall opens its secure connections.",
                host=host,
            )
        case CallFault.NOT_IN_TIME:
            return say("{host} could not be reached in time.", host=host)
        case CallFault.NO_TLS:
            return say("No secure connection to {host} could be made (TLS).", host=host)
        case CallFault.CONNECTION_REFUSED:
            return say("{host} refused the connection.", host=host)
    return say("{host} could not be reached from this server.", host=host)


def _success(status: int, text: str, *, write: bool) -> Answer | OutsideError:
    stripped = text.strip()
    if write and stripped in {"", "null"}:
        return Answer(status, None)
    try:
        body = _with_whole_ids(_parse(stripped))
    except (ValueError, RecursionError):
        body = None
    fault = isinstance(body, dict) and (body.get("error") or body.get("errors"))
    usable = isinstance(body, dict) or (isinstance(body, list) and not write)
    if usable and not fault:
        return Answer(status, body)
    what = say("Thinkific sent data that makes no sense.")
    if fault:
        what = say(
            'Thinkific sent the error "{error}" with the status of a success.',
            error=_first_detail(stripped),
        )
    elif not stripped:
        what = say("Thinkific sent an empty answer.")
    elif stripped.startswith("<"):
        what = say("Thinkific sent a web page instead of data.")
    return Retry(what, status=status, code="not_understood", in_doubt=write)


def _failure(status: int, reply: Reply, *, write: bool, now: datetime) -> OutsideError:
    pairs = _blames(reply.text)
    details = tuple(f"{field}: {text}" if field else text for field, text in pairs)
    is_vague = bool(pairs) and all(pair == _VAGUE for pair in pairs)
    said = say("It does not say why.") if is_vague else _says(details)
    match status:
        case 401:
            not_accepted = say(
                "Thinkific does not accept the key: the key or the subdomain is wrong, or the "
                "site's plan may not include the API (Grow or higher is required)."
            )
            alone, then = _refused_alone("")
            return KeyRejected(not_accepted, status=status, alone=alone, then=then)
        case 403:
            denied = say(
                "Thinkific denies access: the site's plan may not include the API (Grow or higher "
                "is required), or the key lacks a permission."
            )
            alone, then = _denied_alone(reply, said)
            return KeyRejected(joined([denied, said]), status=status, alone=alone, then=then)
        case 429:
            seconds = rate_headers.pause_seconds(reply.headers, now)
            used_up = say("Thinkific's limit of calls is used up.")
            return LimitReached(used_up, seconds=seconds, status=status)
    if 300 <= status < 500 and status not in _LATER:
        fields = frozenset(field for field, _ in pairs if field)
        what, then = _refusal(status, said)
        what = not_found(details) if status == 404 and write else what
        if is_vague and then:
            then = say("Retry, or enroll the customer in Thinkific by hand.")
        message = joined([what, then])
        return Refused(message, status=status, details=details, fields=fields, what=what)
    return Retry(
        say("Thinkific answered with an error of its own."),
        status=status,
        code="server_error",
        in_doubt=write,
        seconds=retry_after.seconds(reply.headers, now),
    )


def not_found(details: tuple[str, ...]) -> Said:
    """Return what a change means that is answered with 404; `details` are Thinkific's words."""
    both = say(
        "Thinkific answers that something was not found: it may not know a new student everywhere "
        "yet, or what was asked for may have been deleted."
    )
    return joined([both, _says(details)])


def _says(details: tuple[str, ...]) -> str:
    return say("It says: {words}", words=_ended("; ".join(details[:3]))) if details else ""


def _denied_alone(reply: Reply, said: str) -> tuple[str, str]:
    """Return what happened to this one request, and what to do about it."""
    if not reply.text.lstrip().startswith("<"):
        return _refused_alone(said)
    refused = say(
        "Something in front of Thinkific, such as a firewall, refused what was sent. It sent a web "
        "page instead of data."
    )
    look = say(
        "Look for signs in the customer's name or fields that may look like code to it. Enroll the "
        "customer in Thinkific by hand, or retry."
    )
    return refused, look


def _refused_alone(said: str) -> tuple[str, str]:
    refused = say("Thinkific refused this one request, although the key works.")
    look = say(
        "Look at the student in Thinkific, and at the permissions of the key's owner there. "
        "Then retry."
    )
    return joined([refused, said]), look


def _first_detail(text: str) -> str:
    return next((fault for _, fault in _blames(text)), "")


def _ended(text: str) -> str:
    return text if text.endswith((".", "!", "?")) else f"{text}."


def _refusal(status: int, said: str) -> tuple[str, str]:
    """Return what happened, and what to do about it."""
    if status < 400:
        other = say(
            "Thinkific's API has another address (a redirect), which Admit does not "
            "follow. Check THINKIFIC_API_URL in the settings."
        )
        return other, ""
    if status == 404:
        gone = say("Thinkific does not have what was asked for: it may have been deleted.")
        return joined([gone, said]), ""
    refused = say("Thinkific refused the request.")
    return joined([refused, said]), say("Put that right, then retry.")


def _blames(text: str) -> list[tuple[str, str]]:
    """Return (field or "", fault) for each error, in any shape that Thinkific sends.

    The shapes are `{"error": "…"}`, and `{"errors": …}` with a map of fields to texts, a list of
    texts, or a list of such maps.
    """
    try:
        body = _parse(text)
    except ValueError:
        return []
    said = body
    if isinstance(body, dict):
        said = body.get("errors") or body.get("error") or body.get("message")
    try:
        found = list(_flatten("", said))
    except RecursionError:
        return []
    return found[:_MOST_DETAILS]


def _flatten(field: str, value: Any) -> Iterator[tuple[str, str]]:
    if isinstance(value, dict):
        named = value.get("field_name") or value.get("field")
        if isinstance(named, str) and isinstance(value.get("message"), str):
            value = {named: value["message"]}
        for key, inner in value.items():
            # "base" is Rails for "the record as a whole".
            yield from _flatten(field if key == "base" else _tidy(str(key)), inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _flatten(field, inner)
    elif value is not None and str(value).strip():
        yield field, _tidy(str(value))


def _tidy(text: str) -> str:
    shown = "".join(sign if sign.isprintable() else " " for sign in text[:_LONGEST_DETAIL])
    return " ".join(shown.split())


def _parse(text: str) -> Any:
    """Parse JSON, replacing characters that a database cannot hold. Raises ValueError."""
    try:
        body = json.loads(text, parse_constant=_refuse_constant)
        return _storable(body) if _ESCAPED.search(text) else body
    except RecursionError:
        raise ValueError("nested too deeply") from None


def _with_whole_ids(value: Any, name: str = "") -> Any:
    """Turn IDs into integers. Thinkific's OpenAPI file only says "number", which 501.0 is, too."""
    if isinstance(value, list):
        return [_with_whole_ids(inner, name.removesuffix("s")) for inner in value]
    if isinstance(value, dict):
        return {key: _with_whole_ids(inner, key) for key, inner in value.items()}
    if (name == "id" or name.endswith("_id")) and re.fullmatch(r"[0-9]{1,18}(\.0)?", str(value)):
        return int(str(value).partition(".")[0])
    return value


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _storable(value: Any) -> Any:
    if isinstance(value, str):
        return _UNSTORABLE.sub("\ufffd", value)
    if isinstance(value, list):
        return [_storable(inner) for inner in value]
    if isinstance(value, dict):
        return {_storable(key): _storable(inner) for key, inner in value.items()}
    return value
