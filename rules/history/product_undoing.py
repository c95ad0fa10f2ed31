"""Restore a product that was deleted, or its former name, from what the audit kept of it."""

from collections.abc import Collection, Iterable

from django.db import transaction

from integrations import audit
from integrations.audit import Act
from integrations.models import AuditEntry, Marketplace, Product
from integrations.sentences import say


def known(number: int) -> Product | None:
    """Return the product that has or had this number, as `all_known`, or None."""
    return all_known([number]).get(number)


def all_known(numbers: Collection[int]) -> dict[int, Product]:
    """Return the products that have or had these numbers, by number.

    For one that was deleted it is the product that has its SamCart ID now or, if there is none, the
    product as it was, unsaved. Those that the audit does not know, or whose account is gone, are
    left out. Takes the same few queries for any number.
    """
    found = Product.objects.in_bulk(numbers)
    gone = set(numbers) - found.keys()
    if not gone:
        return found
    entries = AuditEntry.objects.filter(
        act=Act.PRODUCT_DELETED,
        kind=Product._meta.model_name,
        number__in=[str(number) for number in gone],
    )
    last = {int(entry.number): entry.before or {} for entry in entries.order_by("pk")}
    accounts = Marketplace.objects.in_bulk(kept["marketplace"]["number"] for kept in last.values())
    same_ids = Product.objects.filter(
        external_id__in=[each["external_id"] for each in last.values()]
    )
    again = {(each.marketplace_id, each.kind, each.external_id): each for each in same_ids}
    for number, kept in last.items():
        if account := accounts.get(kept["marketplace"]["number"]):
            kind, external_id = kept["kind"], kept["external_id"]
            found[number] = again.get((account.pk, kind, external_id)) or Product(
                pk=number,
                name=kept["name"],
                marketplace=account,
                kind=kind,
                external_id=external_id,
            )
    return found


def is_again(product: Product, entry: AuditEntry) -> bool:
    """Return whether the product has the SamCart ID of the one that this entry deleted."""
    kept = entry.before or {}
    account = (kept.get("marketplace") or {}).get("number")
    key = (product.marketplace_id, product.kind, product.external_id)
    return key == (account, kept.get("kind"), kept.get("external_id"))


def missing(numbers: Collection[int]) -> dict[int, Product]:
    """Return those of these products that are deleted and can be restored, unsaved, by number."""
    found = all_known(numbers)
    return {number: each for number, each in found.items() if each._state.adding}


def restore(product: Product) -> None:
    """Save a product that `known` returned unsaved, and record it as the undo of its deletion."""
    entry = _deletion(product.pk)
    product.save(force_insert=True)
    undoes = entry.pk if entry else None
    audit.record_difference(Act.PRODUCT_ADDED, product, {}, audit.values(product), undoes=undoes)


def restore_all(numbers: Iterable[int]) -> list[Product]:
    """Restore those of these products that are missing, and return them."""
    wanted = [*dict.fromkeys(numbers)]
    found = missing(wanted)
    restored = [found[number] for number in wanted if number in found]
    for product in restored:
        restore(product)
    return restored


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
        return say("{name} no longer exists.", name=entry.name)
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
