"""The words by which people look for global rules, which run for every product."""

from django.utils.translation import gettext_lazy as _

# Separated by commas. The first one is how a rule says it.
WORDS = _("every product, all products, any product, global, global rule, by global rules")
# Shorter beginnings of these words mean something else.
SHORTEST = 5


def means_every_product(typed: str) -> bool:
    """Return whether this, in any capitals, begins one of the words for every product."""
    begun = " ".join(typed.casefold().split())
    known = (each.strip() for each in str(WORDS).casefold().split(","))
    return len(begun) >= SHORTEST and any(each.startswith(begun) for each in known)
