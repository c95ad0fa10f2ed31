"""Restore a product that was deleted, or its former name, from what the audit kept of it."""

from collections.abc import Collection, Iterable

from django.db import transaction

from integrations import audit
from integrations.audit import Act
from integrations.models import AuditEntry, Marketplace, Product
from integrations.sentences import say


def known(number: int) -> Product | None:
    """Return the product that has or had this number.

    If it was deleted, return the product that has its SamCart ID now or, if there is none, the
    product as it was, unsaved. None if the audit does not know it, or if its account is gone.
    """
    there = Product.objects.filter(pk=number).first()
    entry = None if there else _deletion(number)
    if entry is None:
        return there
    kept = entry.before or {}
    account = Marketplace.objects.filter(pk=kept["marketplace"]["number"]).first()
    key = {"marketplace": account, "kind": kept["kind"], "external_id": kept["external_id"]}
    if account is None:
        return None
    return Product.objects.filter(**key).first() or Product(pk=number, name=kept["name"], **key)


def is_again(product: Product, entry: AuditEntry) -> bool:
    """Return whether the product has the SamCart ID of the one that this entry deleted."""
    kept = entry.before or {}
    account = (kept.get("marketplace") or {}).get("number")
    key = (product.marketplace_id, product.kind, product.external_id)
    return key == (account, kept.get("kind"), kept.get("external_id"))


def missing(numbers: Collection[int]) -> set[int]:
    """Return those of these products that were deleted, do not exist again, and can be restored.

    Takes the same few queries for any number.
    """
    gone = set(numbers) - set(Product.objects.filter(pk__in=numbers).values_list("pk", flat=True))
    if not gone:
        return set()
    entries = AuditEntry.objects.filter(
        act=Act.PRODUCT_DELETED,
        kind=Product._meta.model_name,
        number__in=[str(number) for number in gone],
    )
    last = {int(entry.number): entry.before or {} for entry in entries.order_by("pk")}
    known_ids = [kept.get("external_id") for kept in last.values()]
    again = set(
        Product.objects.filter(external_id__in=known_ids).values_list(
            "marketplace", "kind", "external_id"
        )
    )
    accounts = set(Marketplace.objects.values_list("pk", flat=True))
    return {
        number
        for number, kept in last.items()
        if (account := kept["marketplace"]["number"]) in accounts
        and (account, kept["kind"], kept["external_id"]) not in again
    }


def restore(product: Product) -> None:
    """Save a product that `known` returned unsaved, and record it as the undo of its deletion."""
    entry = _deletion(product.pk)
    product.save(force_insert=True)
    undoes = entry.pk if entry else None
    audit.record_difference(Act.PRODUCT_ADDED, product, {}, audit.values(product), undoes=undoes)


def restore_all(numbers: Iterable[int]) -> list[Product]:
    """Restore those of these products that are missing, and return them."""
    found = [known(number) for number in dict.fromkeys(numbers)]
    missing = [product for product in found if product is not None and product._state.adding]
    for product in missing:
        restore(product)
    return missing


def number_in(entry: AuditEntry) -> int | None:
    """Return the number of the product that a deleted rule was for, or that was deleted."""
    if entry.act == Act.PRODUCT_DELETED:
        return int(entry.number)
    kept = (entry.before or {}).get("product")
    return int(kept["number"]) if isinstance(kept, dict) else None


def why_not_renamed(entry: AuditEntry) -> str:
    """Return why the product cannot have the name again that it had before this change, or ""."""
    product = Product.objects.filter(pk=int(entry.number)).first()
    if product is None:
        return say("{name} is not there any more.", name=entry.name)
    if not is_renaming(entry):
        return say("Only the name of a product can be undone.")
    if not is_named_by(product, entry):
        return say("The product was renamed since. Undo the later change first, or rename it.")
    return ""


def is_renaming(entry: AuditEntry) -> bool:
    """Return whether the change of a product gave it another name, and nothing else."""
    return set(entry.before or {}) == {"name"}


def is_named_by(product: Product, entry: AuditEntry) -> bool:
    """Return whether the product still has the name that this change gave it."""
    return product.name == (entry.after or {}).get("name")


def rename_back(entry: AuditEntry) -> Product:
    """Give the product the name again that it had before this change, and record that.

    Raises ValueError with a sentence if that cannot be undone.
    """
    with transaction.atomic():
        # Locked, so that nobody renames it meanwhile.
        list(Product.objects.select_for_update().filter(pk=int(entry.number)))
        if reason := why_not_renamed(entry):
            raise ValueError(reason)
        product = Product.objects.get(pk=int(entry.number))
        now = audit.values(product)
        product.name = (entry.before or {})["name"]
        product.save(update_fields=["name"])
        after = audit.values(product)
        audit.record_difference(Act.PRODUCT_CHANGED, product, now, after, undoes=entry.pk)
    return product


def _deletion(number: int) -> AuditEntry | None:
    entries = AuditEntry.objects.filter(kind=Product._meta.model_name, number=str(number))
    return entries.filter(act=Act.PRODUCT_DELETED).order_by("-pk").first()
