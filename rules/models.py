"""Rules: when a trigger fires for a product, run an action on a course or bundle."""

from typing import Self

from django.core.exceptions import ValidationError
from django.db import models
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy

from integrations.models import Destination, Integration, Marketplace, Product
from integrations.sentences import Said, joined, say, say_count
from rules import actions
from rules.actions import ActionSpec
from rules.triggers import Category, Trigger

# The largest `delay_days` of a rule.
MOST_DAYS = 365


class Scope(models.TextChoices):
    PRODUCT = "product", _("One product")
    GLOBAL = "global", _("Every product")


class RuleQuerySet(models.QuerySet["Rule"]):
    def with_names(self) -> Self:
        """Load the related rows that a rule's sentences name."""
        return self.select_related("product", "integration", "destination")

    def concerning(self, product: Product) -> Self:
        """Return the product's rules and the global rules of its account, by pk, with names."""
        everywhere = models.Q(marketplace=product.marketplace_id, scope=Scope.GLOBAL)
        return self.filter(models.Q(product=product) | everywhere).with_names().order_by("pk")

    def for_deciding(self, marketplace_id: int) -> list["Rule"]:
        """Return every rule of the account, including rules that are off, by pk, with names."""
        return list(self.filter(marketplace_id=marketplace_id).order_by("id").with_names())


class Rule(models.Model):
    """One rule. All fields but `enabled`, `ends_all` and `delay_days` are unique together."""

    marketplace = models.ForeignKey(Marketplace, models.CASCADE, related_name="rules")
    scope = models.CharField(max_length=7, choices=Scope.choices)
    product = models.ForeignKey(
        Product,
        models.CASCADE,
        null=True,
        blank=True,
        related_name="rules",
        verbose_name=_("product"),
    )
    trigger = models.CharField(_("trigger"), max_length=40, choices=Trigger.choices)
    integration = models.ForeignKey(
        Integration, models.CASCADE, related_name="rules", verbose_name=_("integration")
    )
    action = models.CharField(_("action"), max_length=40, choices=actions.choices)
    # None if the action has no target.
    destination = models.ForeignKey(
        Destination,
        models.CASCADE,
        null=True,
        blank=True,
        related_name="rules",
        verbose_name=_("course or bundle"),
    )
    # For rules that end access: end it whatever gave it, as SamCart's own rules do.
    ends_all = models.BooleanField(_("End it even if something else gave it"), default=False)
    # For rules that end access: wait this many days, and do nothing if it is paid again by then.
    delay_days = models.PositiveSmallIntegerField(_("Days later"), default=0)
    enabled = models.BooleanField(pgettext_lazy("switch", "On"), default=True)
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    objects = RuleQuerySet.as_manager()
    # The fields that the audit compares and Undo restores.
    audited = (
        "marketplace",
        "scope",
        "product",
        "trigger",
        "integration",
        "action",
        "destination",
        "ends_all",
        "delay_days",
        "enabled",
    )

    class Meta:
        verbose_name = _("rule")
        verbose_name_plural = _("rules")
        constraints = [
            models.UniqueConstraint(
                fields=["product", "trigger", "integration", "action", "destination"],
                condition=models.Q(scope=Scope.PRODUCT),
                name="product_rule_once",
                violation_error_message=_("This product has this very rule already."),
            ),
            models.UniqueConstraint(
                fields=["marketplace", "trigger", "integration", "action", "destination"],
                condition=models.Q(scope=Scope.GLOBAL),
                name="global_rule_once",
                violation_error_message=_("There is this very global rule already."),
            ),
            # NULLs never equal each other in a unique constraint, so rules without a destination
            # need constraints of their own.
            models.UniqueConstraint(
                fields=["product", "trigger", "integration", "action"],
                condition=models.Q(scope=Scope.PRODUCT, destination=None),
                name="product_rule_once_no_target",
                violation_error_message=_("This product has this very rule already."),
            ),
            models.UniqueConstraint(
                fields=["marketplace", "trigger", "integration", "action"],
                condition=models.Q(scope=Scope.GLOBAL, destination=None),
                name="global_rule_once_no_target",
                violation_error_message=_("There is this very global rule already."),
            ),
            models.CheckConstraint(
                condition=models.Q(scope=Scope.PRODUCT, product__isnull=False)
                | models.Q(scope=Scope.GLOBAL, product__isnull=True),
                name="product_rule_has_product",
                violation_error_message=_(
                    "A rule for one product names the product; a global rule names none."
                ),
            ),
        ]

    def __str__(self) -> str:
        return self.sentence()

    def clean(self) -> None:
        """Raise ValidationError with a sentence for the first field that does not fit the rest."""
        spec, site = self.spec, str(self.integration)
        if self.product and self.product.marketplace_id != self.marketplace_id:
            raise _fault("product", say("This product belongs to another SamCart account."))
        if self.product and Trigger(self.trigger).category is Category.COURSES:
            no_product = say("Courses triggers carry no product: make this a global rule.")
            raise _fault("trigger", no_product)
        if self.integration.app != spec.app:
            no_action = say("{action} is no action of {site}.", action=spec.label, site=site)
            raise _fault("integration", no_action)
        for name in ("ends_all", "delay_days"):
            if getattr(self, name) and not spec.ends_access:
                raise _fault(name, say("{action} ends no access.", action=spec.label))
        if self.delay_days > MOST_DAYS:
            raise _fault("delay_days", say("At most {days} days.", days=MOST_DAYS))
        if text := self._why_not_this_destination():
            raise _fault("destination", text)

    def _why_not_this_destination(self) -> str:
        kind, destination = self.spec.target, self.destination
        is_course = kind == Destination.Kind.COURSE
        if kind is None:
            no_target = say("{action} has no course or bundle.", action=self.spec.label)
            return no_target if destination else ""
        if destination is None:
            return say("Choose the course.") if is_course else say("Choose the bundle.")
        name, site = str(destination), str(self.integration)
        if destination.integration_id != self.integration_id:
            return say("{name} does not belong to {site}.", name=name, site=site)
        if destination.kind != kind:
            not_course = say("{name} is not a course.", name=name)
            return not_course if is_course else say("{name} is not a bundle.", name=name)
        if destination.gone_at and self._destination_is_new():
            return joined([destination.missing, say("Choose another.")])
        return ""

    def _destination_is_new(self) -> bool:
        """Return whether the rule is new or is about to get another course or bundle."""
        if self._state.adding:
            return True
        stored = Rule.objects.filter(pk=self.pk).values_list("destination", flat=True).first()
        return stored != self.destination_id

    @property
    def spec(self) -> ActionSpec:
        """The spec of the rule's action."""
        return actions.ACTIONS[self.action]

    @property
    def target(self) -> str:
        """The course or bundle whose access the rule changes, as "course:501"."""
        return self.spec.concerns(self.destination)

    @property
    def place(self) -> str:
        """The place where the action takes effect: "Course Two on Art Academy" or "My CRM"."""
        site = str(self.integration)
        if self.destination is None:
            return site
        return say("{name} on {site}", name=str(self.destination), site=site)

    @property
    def has_nothing_of_its_own(self) -> bool:
        """Whether its trigger refers to no earlier grant, so an ending rule needs `ends_all`."""
        trigger = Trigger(self.trigger)
        return trigger is Trigger.PRODUCT_PURCHASED or trigger.category is Category.COURSES

    @property
    def gives_on_purchase(self) -> bool:
        """Whether it gives access when its product is bought. Ignores `enabled`."""
        return self.trigger == Trigger.PRODUCT_PURCHASED and self.spec.gives_access

    @property
    def is_gone(self) -> bool:
        """Whether the course or bundle is gone from Thinkific."""
        return self.destination is not None and self.destination.gone_at is not None

    @property
    def gone_label(self) -> str:
        """The badge text of a rule that `is_gone`."""
        by_hand = self.destination is not None and self.destination.by_hand
        return say("No such number") if by_hand else say("Course gone")

    def in_words(self) -> str:
        """Return the rule as a person would say it. For display only: history stores `sentence`."""
        about = self.product.name if self.product else say("any product")
        return in_words(Trigger(self.trigger), about, self.spec, self.place, self.how)

    def sentence(self) -> Said:
        """Return the rule in one line, as history stores it.

        "Product Purchased, Watercolor: Create Course Enrollment, Course Two on Art Academy"
        """
        what = say(
            "{trigger}, {product}: {action}, {place}",
            trigger=Trigger(self.trigger).label,
            product=self.product.name if self.product else say("every product"),
            action=self.spec.label,
            place=self.place,
        )
        return joined([what, *self.how], ", ")

    @property
    def how(self) -> list[Said]:
        """The set options in words: "even if something else gave it", "3 days later"."""
        days = self.delay_days and say_count(self.delay_days, "1 day later", "{number} days later")
        return [
            each for each in (self.ends_all and say("even if something else gave it"), days) if each
        ]


def in_words(trigger: Trigger, product: str, spec: ActionSpec, place: str, how: list[Said]) -> str:
    """Say what is done and when, as a person would."""
    when = str(trigger.wording.when).format(product=product)
    what = joined([str(spec.in_words).format(place=place), *how], ", ")
    return say("When {when}, {what}.", when=when, what=what)


def _fault(field: str, text: str) -> ValidationError:
    return ValidationError({field: text})


# A person's choice for a type that stands for no trigger.
NOTHING = "nothing"
MEANINGS = [*Trigger.choices, (NOTHING, _("Nothing: never ask again"))]


class NamedType(models.Model):
    """An unknown raw `type` for which a person chose the trigger, or NOTHING."""

    marketplace = models.ForeignKey(Marketplace, models.CASCADE, related_name="named_types")
    type = models.CharField(max_length=100)  # normalized
    trigger = models.CharField(max_length=40, choices=MEANINGS)

    audited = ("marketplace", "type", "trigger")

    class Meta:
        verbose_name = _("named type")
        constraints = [
            models.UniqueConstraint(fields=["marketplace", "type"], name="type_named_once"),
        ]

    def __str__(self) -> str:
        if self.is_nothing:
            return say("{type} is nothing", type=self.type)
        return say("{type} is {trigger}", type=self.type, trigger=Trigger(self.trigger).label)

    @property
    def is_nothing(self) -> bool:
        return self.trigger == NOTHING
