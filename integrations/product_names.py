"""The names that products had before they were renamed, by SamCart or a person."""

from collections.abc import Collection

from django.db.models import BigIntegerField, Q, QuerySet
from django.db.models.functions import Cast

from integrations.audit import Act
from integrations.models import AuditEntry, Product


def formerly_named(word: str) -> Q:
    """Return the condition for products that once had a name with this word."""
    numbered = _renamed(word).annotate(product=Cast("number", BigIntegerField()))
    return Q(pk__in=numbered.values("product"))


def former_names(word: str, products: Collection[Product]) -> dict[int, str]:
    """Return {product ID: its newest former name with this word}. One query, none for none."""
    if not products:
        return {}
    entries = _renamed(word).filter(number__in=[str(each.pk) for each in products])
    found = entries.order_by("pk").values_list("number", "before")
    return {int(number): str((before or {})["name"]) for number, before in found}


def _renamed(word: str) -> QuerySet[AuditEntry]:
    return AuditEntry.objects.filter(
        act=Act.PRODUCT_CHANGED, kind=Product._meta.model_name, before__name__icontains=word
    )
