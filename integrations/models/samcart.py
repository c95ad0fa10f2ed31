"""SamCart's side: accounts, their webhook secrets, products and customers."""

from typing import Any

from django.db import models, transaction
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from integrations import search_terms as terms
from integrations.samcart.readable import readable_email


class Marketplace(models.Model):
    """A SamCart account. Pages call it "SamCart account"; SamCart's own word is marketplace."""

    name = models.CharField(_("name"), max_length=100, unique=True)
    # The key in READERS of the function that reads its deliveries.
    source = models.CharField(max_length=20, default="samcart", editable=False)
    # Ticked by a person, because Admit cannot see SamCart's own rules.
    own_rules_off = models.BooleanField(_("SamCart's own Thinkific rules are off"), default=False)
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    audited = ("name", "own_rules_off")

    class Meta:
        verbose_name = _("SamCart account")
        verbose_name_plural = _("SamCart accounts")
        permissions = [("see_address_marketplace", "Can see and renew the webhook address")]

    def __str__(self) -> str:
        return self.name


class WebhookSecret(models.Model):
    """The secret in the address that SamCart posts to. Several can be valid at once."""

    marketplace = models.ForeignKey(Marketplace, models.CASCADE, related_name="webhook_secrets")
    digest = models.CharField(max_length=64, unique=True, editable=False)
    # Sealed, so that the admin can show the address again.
    sealed = models.TextField(editable=False)
    created_at = models.DateTimeField(db_default=Now(), editable=False)
    expires_at = models.DateTimeField(null=True, blank=True)

    def __str__(self) -> str:
        return f"Address of {self.marketplace}"


def stand_in_name(kind: str, external_id: str) -> str:
    """Return the name of a product until SamCart sends its own: "Product 12"."""
    return f"{kind.title()} {external_id}"


class ProductQuerySet(models.QuerySet["Product"]):
    def named(self, marketplace_id: int, kind: str, external_id: str, name: str) -> "Product":
        """Return the product with this SamCart ID, creating it if needed.

        `name` is what SamCart calls it; it becomes the product's name unless a person changed that.
        An empty `name` renames nothing.
        """
        key = {"marketplace_id": marketplace_id, "kind": kind, "external_id": external_id}
        product = self.filter(**key).first()
        if product is None:
            told = {"name": name or stand_in_name(kind, external_id), "samcart_name": name}
            product = self.get_or_create(**key, defaults=told)[0]
        product.follow(name)
        return product


class Product(models.Model):
    """What is sold in SamCart: a product, or a course of SamCart's own Courses app."""

    class Kind(models.TextChoices):
        PRODUCT = "product", _("Product")
        COURSE = "course", _("SamCart course")

    marketplace = models.ForeignKey(
        Marketplace, models.CASCADE, related_name="products", verbose_name=_("SamCart account")
    )
    kind = models.CharField(_("kind"), max_length=10, choices=Kind.choices, default=Kind.PRODUCT)
    external_id = models.CharField(_("SamCart ID"), max_length=64)
    name = models.CharField(_("name"), max_length=255)
    # The name that SamCart sent last, or "". `name` follows it until a person changes `name`.
    samcart_name = models.CharField(max_length=255, blank=True, editable=False)
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    objects = ProductQuerySet.as_manager()
    audited = ("marketplace", "kind", "external_id", "name")

    class Meta:
        verbose_name = _("product")
        verbose_name_plural = _("products")
        constraints = [
            models.UniqueConstraint(
                fields=["marketplace", "kind", "external_id"], name="product_once"
            ),
        ]

    def __str__(self) -> str:
        return self.name

    def follow(self, samcart_name: str) -> str:
        """Take the name that SamCart sends, unless a person chose another one; "" is no name.

        Returns the former name if that renamed the product, else "".
        """
        if samcart_name in ("", self.samcart_name):
            return ""
        former = self.name if self.has_samcart_name and self.name != samcart_name else ""
        if former:
            self.name = samcart_name
        self.samcart_name = samcart_name
        self.save(update_fields=["name", "samcart_name"])
        return former

    @property
    def has_samcart_name(self) -> bool:
        """Whether the next name that SamCart sends replaces `name`."""
        return self.samcart_name in ("", self.name)


class Customer(models.Model):
    """A person who buys. The e-mail is normalized and unique."""

    email = models.CharField(max_length=320, unique=True)
    # As SamCart last sent it, because Thinkific may know the same spelling.
    email_as_sent = models.CharField(max_length=320)
    first_name = models.CharField(max_length=255, blank=True)
    last_name = models.CharField(max_length=255, blank=True)
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    def __str__(self) -> str:
        return self.readable_email

    @property
    def name(self) -> str:
        """The full name: "Dana Reyes", or "" if SamCart never sent one."""
        return f"{self.first_name} {self.last_name}".strip()

    @property
    def readable_email(self) -> str:
        """The e-mail as people read it. `email` itself has the domain in punycode."""
        return readable_email(self.email)

    def save(self, *args: Any, **options: Any) -> None:
        """Save the row, and its search terms if the e-mail or a name may have changed."""
        changed = options.get("update_fields")
        if changed is not None and not {"email", "first_name", "last_name"}.intersection(changed):
            super().save(*args, **options)
            return
        known = not self._state.adding
        with transaction.atomic(savepoint=False):
            super().save(*args, **options)
            if known:
                self.search_terms.all().delete()
            self.add_search_terms()

    def add_search_terms(self) -> None:
        """Store the search terms of a new customer. Needed after a write that bypasses `save`."""
        SearchTerm.objects.bulk_create(self.new_search_terms(), ignore_conflicts=True)

    def new_search_terms(self) -> "list[SearchTerm]":
        """Return unsaved rows by which the customer is found. The customer must be saved."""
        found = terms.terms(self.email, self.first_name, self.last_name)
        return [SearchTerm(customer=self, term=term.encode()) for term in found]


class SearchTerm(models.Model):
    """A word or part of an e-mail that finds the customer: see `integrations.search_terms`."""

    pk = models.CompositePrimaryKey("customer", "term")
    customer = models.ForeignKey(
        Customer, models.CASCADE, related_name="search_terms", db_index=False
    )
    # UTF-8 bytes: every database compares bytes the same way, and finds a prefix by an index.
    term = models.BinaryField()

    class Meta:
        indexes = [models.Index(fields=["term", "customer"], name="customer_by_term")]

    def __str__(self) -> str:
        return bytes(self.term).decode()
