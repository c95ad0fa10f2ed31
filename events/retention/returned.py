"""Erased persons who are back because an older backup of the database was restored."""

from events.access import erasures
from events.models import EventLog
from events.reports.personal_data import person
from events.reports.personal_data.person import Person, sale_of
from integrations.models import Customer
from integrations.secrets import SecretUnreadable


def find() -> tuple[Person, list[Customer]]:
    """Return the erased who came back with a restored database, and those who bought again since.

    Merges the list's file with the database first. Raises ValueError with a sentence.
    """
    try:
        known = erasures.restore()
    except (OSError, SecretUnreadable) as error:
        kind = type(error).__name__
        raise ValueError(
            f"The list of the erased cannot be read ({kind}): look at ERASED_FILE, and put the key "
            "of its time into FIELD_ENCRYPTION_KEYS."
        ) from None
    listed = [each for each in Customer.objects.iterator() if known.has(each.email)]
    again = [each for each in listed if _bought_since(person.of([each]), known)]
    unusable = EventLog.objects.filter(customer=None).exclude(email_as_sent="")
    texts = unusable.values_list("email_as_sent", flat=True).distinct()
    back = person.of(
        [each for each in listed if each not in again],
        [text for text in texts if known.has(text.strip().lower())],
    )
    return back, again


def _bought_since(somebody: Person, known: erasures.ErasureList) -> bool:
    """Whether SamCart sent a sale of this person that is not on the list."""
    sent = somebody.events().exclude(delivery=None).select_related("delivery")
    (address,) = somebody.keys
    return any(
        not known.has_sale(address, sale_of(event)) for event in sent.defer("delivery__sealed_body")
    )
