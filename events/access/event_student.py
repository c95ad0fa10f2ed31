"""Whose access a sale is about: usually the payer's, or that of a student whom the order names."""

from collections.abc import Callable, Sequence

from events.access.sale import BySale, Sale, near
from events.models import EventLog, Grant
from integrations.models import Customer, Integration
from integrations.samcart.custom_fields import answers
from integrations.samcart.normalize import examine_email, strip_invisible
from integrations.sentences import Said, joined, say
from rules.triggers import Trigger

# The code of a run that failed because the student's address is unusable.
STUDENT_EMAIL = "student_email"
QUOTED = 100  # characters of the entered text to quote
Log = Callable[[Sale], Sequence[EventLog]]
# Finds the customer of an e-mail address, given as it is compared and as it was entered.
Find = Callable[[str, str], Customer]


class BadStudentEmail(ValueError):
    """The custom field holds `entered`, which is not an e-mail address.

    `message` names the field and says why.
    """

    def __init__(self, message: Said, entered: str) -> None:
        super().__init__(message)
        self.message = message
        self.entered = entered


def resolve(
    event: EventLog, integration: Integration, rows: Sequence[Grant], log: Log, find: Find
) -> Customer | None:
    """Return the student at the integration; `rows` are the grants of the event's purchase.

    Raises BadStudentEmail if the integration's student field holds no usable address.
    """
    here = [row for row in rows if row.integration_id == integration.pk]
    # An ending that came before its purchase did not have the order's fields, so it named no
    # student.
    named = [row for row in here if row.opened_at or not integration.student_field]
    if named:
        return named[0].customer
    if integration.student_field:
        email, entered = _address(_first(event, log), integration.student_field)
        if email:
            return find(email, entered)
    return payer(event, [row for row in rows if not row.integration.student_field], log)


def payer(event: EventLog, rows: Sequence[Grant], log: Log) -> Customer | None:
    """Return the student if no field names one: the customer of the purchase's first event."""
    if rows:
        return rows[0].customer
    known = (each.customer for each in _before(event, log) if each.customer is not None)
    return next(known, event.customer)


def known(events: Sequence[EventLog]) -> dict[int, Customer]:
    """Return {event ID: the student of its purchase} where grants of the purchase tell.

    Grants for a student whom the order names are left out: that depends on the integration. Takes
    one query.
    """
    if not events:
        return {}
    rows = Grant.objects.filter(near(events), integration__student_field="")
    grants = BySale(rows.select_related("customer").order_by("pk"))
    found = {event.pk: grants.of(event) for event in events}
    return {pk: of_sale[0].customer for pk, of_sale in found.items() if of_sale}


def names_another(event: EventLog, integration: Integration) -> bool:
    """Whether the event fills the integration's student field, so the payer may not be meant."""
    return bool(integration.student_field and _entered(event, integration.student_field))


def find_or_make(email: str, entered: str) -> Customer:
    """Return the customer with this address. A new one gets no name: the event has the payer's."""
    customer, _ = Customer.objects.get_or_create(email=email, defaults={"email_as_sent": entered})
    return customer


def _first(event: EventLog, log: Log) -> EventLog:
    return next(iter(_before(event, log)), event)


def _before(event: EventLog, log: Log) -> Sequence[EventLog]:
    """Return the log of the purchase that the event continues; empty if it starts one."""
    sale = Sale.of(event)
    if event.trigger == Trigger.PRODUCT_PURCHASED or not sale.is_named:
        return ()
    return log(sale)


def _address(event: EventLog, name: str) -> tuple[str, str]:
    """Return the field's address as compared and as entered; both are "" if it is blank."""
    entered = _entered(event, name)
    if not entered:
        return "", ""
    email, problem = examine_email(entered)
    if problem:
        said = say('The custom field "{field}" says "{text}".', field=name, text=entered[:QUOTED])
        raise BadStudentEmail(joined([said, problem]), entered)
    return email, entered


def _entered(event: EventLog, name: str) -> str:
    return strip_invisible(answers(event.custom_fields).get(name.strip().casefold(), ""))
