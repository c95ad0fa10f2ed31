"""What Thinkific sites offer, and what we know about their users."""

from collections import defaultdict
from collections.abc import Sequence
from typing import Any, Self

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from integrations.models.integration import Integration
from integrations.models.samcart import Customer
from integrations.samcart.custom_fields import answers
from integrations.sentences import Said, say
from integrations.targets import Target


class DestinationQuerySet(models.QuerySet["Destination"]):
    """Courses and bundles, found by how runs and grants name them."""

    def of_target(self, integration: int | None, target: str) -> Self:
        """Select the one that this site has under a written target, "course:501", if any."""
        kind, number = Target.parse(target)
        return self.filter(integration=integration, kind=kind, external_id=number)


class Destination(models.Model):
    """A course or bundle of a site. Nothing that Thinkific says deletes it.

    Thinkific does not list everything: courses of its new course builder are left out. So a course
    that is not listed may still be sold. It counts as gone only if Thinkific's answer to an action
    says so, or if a person marks it as gone.
    """

    class Kind(models.TextChoices):
        COURSE = "course", _("Course")
        BUNDLE = "bundle", _("Bundle")

    integration = models.ForeignKey(
        Integration, models.CASCADE, related_name="destinations", verbose_name=_("integration")
    )
    kind = models.CharField(_("kind"), max_length=6, choices=Kind.choices)
    # Thinkific's `productable_id`, never the product's own ID.
    external_id = models.BigIntegerField(_("number"))
    name = models.CharField(max_length=255)
    published = models.BooleanField(default=True)
    private = models.BooleanField(null=True)
    # For a bundle: the IDs of its courses, as far as Thinkific named them.
    course_ids = models.JSONField(default=list, blank=True)
    # Entered by a person by its number, and never listed since.
    by_hand = models.BooleanField(default=False)
    # When it was missing from Thinkific's list, and when it was found or marked to be gone.
    unlisted_at = models.DateTimeField(null=True, blank=True)
    gone_at = models.DateTimeField(null=True, blank=True)

    # The filter for the opposite of `left_list`.
    STILL_THERE = Q(unlisted_at=None, gone_at=None)

    objects = DestinationQuerySet.as_manager()

    class Meta:
        verbose_name = _("course or bundle")
        verbose_name_plural = _("courses and bundles")
        constraints = [
            models.UniqueConstraint(
                fields=["integration", "kind", "external_id"], name="destination_once"
            ),
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def target(self) -> str:
        """How runs, grants and the ledger name it: "course:501"."""
        return str(Target(self.kind, self.external_id))

    @property
    def audited_besides(self) -> dict[str, Any]:
        """What the audit keeps besides the name, because a typed number may be wrong."""
        return {"external_id": self.external_id, "by_hand": self.by_hand}

    @property
    def listed(self) -> bool:
        """Whether the last refresh found it in Thinkific's list."""
        return not self.by_hand and self.unlisted_at is None

    @property
    def left_list(self) -> bool:
        """Whether it is gone, or Thinkific listed it once and does not anymore."""
        return self.gone_at is not None or self.unlisted_at is not None

    @property
    def missing(self) -> Said:
        """The sentence for one that Thinkific says it does not have.

        One that was entered by hand may never have been there: its number may be mistyped.
        """
        if not self.by_hand:
            return say("{name} is gone from Thinkific.", name=self.name)
        facts = {"number": str(self.external_id), "name": self.name}
        if self.kind == self.Kind.COURSE:
            return say(
                "Thinkific has no course with the number {number}, entered as {name}.", **facts
            )
        return say("Thinkific has no bundle with the number {number}, entered as {name}.", **facts)

    @property
    def standing(self) -> str:
        """What is special about it, to follow its name, or "" if Thinkific lists it."""
        if self.gone_at is not None:
            return say("no such number") if self.by_hand else say("gone from Thinkific")
        if self.by_hand:
            return say("entered by hand")
        return "" if self.listed else say("not listed by Thinkific")


class ProfileField(models.Model):
    """A custom signup field of a site. One that is gone is marked, not deleted."""

    integration = models.ForeignKey(Integration, models.CASCADE, related_name="profile_fields")
    external_id = models.BigIntegerField(_("number"))
    label = models.CharField(max_length=255)
    # The raw value, because Thinkific does not publish which types exist.
    field_type = models.CharField(max_length=100)
    required = models.BooleanField(default=False)
    gone_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        verbose_name = _("signup field")
        verbose_name_plural = _("signup fields")
        constraints = [
            models.UniqueConstraint(fields=["integration", "external_id"], name="field_once"),
        ]

    def __str__(self) -> str:
        return self.label

    @property
    def mappable(self) -> bool:
        """Whether it can be filled: only fields of type Text can (source: SamCart's help page)."""
        kinds = {kind.casefold() for kind in settings.THINKIFIC_TEXT_FIELD_TYPES}
        return self.gone_at is None and self.field_type.casefold() in kinds


class FieldMappingQuerySet(models.QuerySet["FieldMapping"]):
    def values_for(
        self, integration: Integration, custom_fields: list[dict[str, str]]
    ) -> dict[ProfileField, str]:
        """Return the signup fields that an order's custom fields fill, without empty values."""
        (found,) = self.values_for_all([(integration.pk, custom_fields)])
        return found

    def values_for_all(
        self, orders: Sequence[tuple[int | None, list[dict[str, str]]]]
    ) -> list[dict[ProfileField, str]]:
        """Return the same for each of these orders, given as (integration ID, custom fields).

        Takes one query, or none if no order has custom fields.
        """
        told = [answers(custom_fields) for _, custom_fields in orders]
        asked = {site for (site, _), each in zip(orders, told, strict=True) if each}
        rows = self.filter(integration__in=asked).select_related("profile_field")
        of_site: dict[int | None, list[FieldMapping]] = defaultdict(list)
        for mapping in rows if asked else ():
            if mapping.profile_field.mappable:
                of_site[mapping.integration_id].append(mapping)
        return [
            {
                mapping.profile_field: value
                for mapping in of_site[site]
                if (value := each.get(mapping.samcart_field.casefold(), ""))
            }
            for (site, _), each in zip(orders, told, strict=True)
        ]


class FieldMapping(models.Model):
    """A SamCart custom field, by name or slug, that fills a signup field."""

    integration = models.ForeignKey(Integration, models.CASCADE, related_name="field_mappings")
    samcart_field = models.CharField(_("SamCart custom field"), max_length=255)
    profile_field = models.ForeignKey(
        ProfileField, models.CASCADE, verbose_name=_("Thinkific signup field")
    )

    objects = FieldMappingQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["integration", "profile_field"], name="profile_field_filled_once"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.samcart_field} → {self.profile_field}"


class ThinkificUser(models.Model):
    """A customer's user on a site, remembered to save the calls that would find it."""

    integration = models.ForeignKey(Integration, models.CASCADE, related_name="thinkific_users")
    customer = models.ForeignKey(Customer, models.CASCADE, related_name="thinkific_users")
    user_id = models.BigIntegerField(_("Thinkific user ID"))
    administrator = models.BooleanField(default=False)
    # {signup field ID: value} that Thinkific has, as far as we know, so that only changes are sent.
    fields_known = models.JSONField(default=dict, blank=True)
    # When this account replaced one that was deleted in Thinkific, with all that one's access.
    since = models.DateTimeField(null=True, editable=False)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["integration", "customer"], name="thinkific_user_once"),
        ]
        # Not unique by user: two customers may be one user.
        indexes = [
            models.Index(fields=["integration", "user_id"], name="thinkific_user_of_site"),
            models.Index(
                fields=["customer"],
                condition=models.Q(since__isnull=False),  # true for few rows
                name="thinkific_user_replaced",
            ),
        ]
        permissions = [("check_thinkificuser", "Can look a student up in Thinkific")]

    def __str__(self) -> str:
        return f"{self.customer} on {self.integration}"


class Intent(models.Model):
    """A POST that was about to be sent and has no definite answer yet.

    While the row exists, it is unknown whether Thinkific carried the POST out, so the next attempt
    reads before it writes.
    """

    integration = models.ForeignKey(Integration, models.CASCADE, related_name="intents")
    customer = models.ForeignKey(Customer, models.CASCADE, related_name="intents")
    target = models.CharField(max_length=40)  # "user", "course:501", "bundle:7"
    # Thinkific answered 202: it will do it later, so "not there" does not mean that it failed.
    accepted = models.BooleanField(default=False)
    sent_at = models.DateTimeField(db_default=Now())

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["integration", "customer", "target"], name="intent_once"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.target} for {self.customer}"
