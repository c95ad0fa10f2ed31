"""Rules: when this happens to that product, do this with that course or bundle."""

from django.core.exceptions import ValidationError
from django.db import models
from django.db.models.functions import Now

from integrations.models import Destination, Integration, Marketplace, Product
from rules import actions
from rules.actions import ActionSpec
from rules.triggers import Category, Trigger

# So many days later at most a rule ends access.
MOST_DAYS = 365


class Scope(models.TextChoices):
    PRODUCT = "product", "One product"
    GLOBAL = "global", "Every product"


class RuleQuerySet(models.QuerySet["Rule"]):
    def for_deciding(self, marketplace_id: int) -> list["Rule"]:
        """Every rule of the marketplace, also those that are off, with what its text needs."""
        rules = self.filter(marketplace_id=marketplace_id).order_by("id")
        return list(rules.select_related("product", "integration", "destination"))


class Rule(models.Model):
    """One rule; its tuple without `enabled`, `ends_all` and `delay_days` is unique."""

    marketplace = models.ForeignKey(Marketplace, models.CASCADE, related_name="rules")
    scope = models.CharField(max_length=7, choices=Scope.choices)
    product = models.ForeignKey(
        Product, models.CASCADE, null=True, blank=True, related_name="rules"
    )
    trigger = models.CharField(max_length=40, choices=Trigger.choices)
    integration = models.ForeignKey(Integration, models.CASCADE, related_name="rules")
    action = models.CharField(max_length=40, choices=actions.choices)
    # None of an action that has no target.
    destination = models.ForeignKey(
        Destination,
        models.CASCADE,
        null=True,
        blank=True,
        related_name="rules",
        verbose_name="course or bundle",
    )
    # Of a rule that ends access: not only what the purchase gave, as SamCart's own rules do.
    ends_all = models.BooleanField("End it whatever gave it", default=False)
    # Of a rule that ends access: so many days later, unless the access is paid for again by then.
    delay_days = models.PositiveSmallIntegerField("Days later", default=0)
    enabled = models.BooleanField("On", default=True)
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    objects = RuleQuerySet.as_manager()
    # What the audit compares, and what Undo restores.
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
        constraints = [
            models.UniqueConstraint(
                fields=["product", "trigger", "integration", "action", "destination"],
                condition=models.Q(scope=Scope.PRODUCT),
                name="product_rule_once",
                violation_error_message="This product has this very rule already.",
            ),
            models.UniqueConstraint(
                fields=["marketplace", "trigger", "integration", "action", "destination"],
                condition=models.Q(scope=Scope.GLOBAL),
                name="global_rule_once",
                violation_error_message="There is this very global rule already.",
            ),
            # To a database, two rules without a destination differ.
            models.UniqueConstraint(
                fields=["product", "trigger", "integration", "action"],
                condition=models.Q(scope=Scope.PRODUCT, destination=None),
                name="product_rule_once_no_target",
                violation_error_message="This product has this very rule already.",
            ),
            models.UniqueConstraint(
                fields=["marketplace", "trigger", "integration", "action"],
                condition=models.Q(scope=Scope.GLOBAL, destination=None),
                name="global_rule_once_no_target",
                violation_error_message="There is this very global rule already.",
            ),
            models.CheckConstraint(
                condition=models.Q(scope=Scope.PRODUCT, product__isnull=False)
                | models.Q(scope=Scope.GLOBAL, product__isnull=True),
                name="product_rule_has_product",
                violation_error_message=(
                    "A rule for one product names the product; a global rule names none."
                ),
            ),
        ]

    def __str__(self) -> str:
        return self.sentence()

    def clean(self) -> None:
        """Raises ValidationError with a sentence for whatever does not fit together."""
        if self.product and self.product.marketplace_id != self.marketplace_id:
            raise ValidationError({"product": "This product belongs to another SamCart account."})
        if self.product and Trigger(self.trigger).category is Category.COURSES:
            raise ValidationError(
                {"trigger": "Courses triggers carry no product: make this a global rule."}
            )
        if self.integration.app != self.spec.app:
            raise ValidationError(
                {"integration": f"{self.spec.label} is no action of {self.integration}."}
            )
        if self.ends_all and not self.spec.ends_access:
            raise ValidationError({"ends_all": f"{self.spec.label} ends no access."})
        if self.delay_days and not self.spec.ends_access:
            raise ValidationError({"delay_days": f"{self.spec.label} ends no access."})
        if self.delay_days > MOST_DAYS:
            raise ValidationError({"delay_days": f"At most {MOST_DAYS} days."})
        self._clean_destination()

    def _clean_destination(self) -> None:
        kind, destination = self.spec.target, self.destination
        if kind is None:
            if destination is not None:
                raise ValidationError(
                    {"destination": f"{self.spec.label} has no course or bundle."}
                )
            return
        if destination is None:
            raise ValidationError({"destination": f"Choose the {kind.value}."})
        if destination.integration_id != self.integration_id:
            raise ValidationError(
                {"destination": f"{destination} does not belong to {self.integration}."}
            )
        if destination.kind != kind:
            raise ValidationError({"destination": f"{destination} is not a {kind.value}."})
        if destination.gone_at and self._destination_is_new():
            raise ValidationError(
                {"destination": f"{destination} is gone from Thinkific. Choose another."}
            )

    def _destination_is_new(self) -> bool:
        """Whether the rule is new, or is being given another course or bundle."""
        if self._state.adding:
            return True
        stored = Rule.objects.filter(pk=self.pk).values_list("destination", flat=True).first()
        return stored != self.destination_id

    @property
    def spec(self) -> ActionSpec:
        """What is known of the rule's action."""
        return actions.ACTIONS[self.action]

    @property
    def target(self) -> str:
        """The course or bundle whose access the rule changes, as `ActionSpec.concerns` has it."""
        return self.spec.concerns(self.destination.external_id if self.destination else None)

    @property
    def place(self) -> str:
        """Where the action takes effect: "Course Two on Art Academy", or "My CRM"."""
        site = str(self.integration)
        return f"{self.destination} on {site}" if self.destination else site

    @property
    def has_nothing_of_its_own(self) -> bool:
        """Whether what fires the rule gave nothing that it could end, unless it ends all."""
        trigger = Trigger(self.trigger)
        return trigger is Trigger.PRODUCT_PURCHASED or trigger.category is Category.COURSES

    @property
    def is_gone(self) -> bool:
        """Whether the course or bundle is gone from Thinkific."""
        return self.destination is not None and self.destination.gone_at is not None

    def in_words(self) -> str:
        """The rule as a person would say it, for reading alone: history keeps `sentence`."""
        about = self.product.name if self.product else "any product"
        when = Trigger(self.trigger).wording.when.format(about)
        return f"When {when}, {self.spec.in_words.format(place=self.place)}{self.how}."

    def sentence(self) -> str:
        """ "Product Purchased, Watercolor: Create Course Enrollment, Course Two on Art Academy" """
        about = self.product.name if self.product else "every product"
        trigger = Trigger(self.trigger).label
        return f"{trigger}, {about}: {self.spec.label}, {self.place}{self.how}"

    @property
    def how(self) -> str:
        """ ", whatever gave it, 3 days later" """
        days = f", {self.delay_days} day{'' if self.delay_days == 1 else 's'} later"
        return (", whatever gave it" if self.ends_all else "") + (days if self.delay_days else "")


# What a person says of a type that is none of the triggers.
NOTHING = "nothing"
MEANINGS = [*Trigger.choices, (NOTHING, "Nothing: never ask again")]


class NamedType(models.Model):
    """A raw `type` that Admit does not know, given its trigger, or NOTHING, by a person."""

    marketplace = models.ForeignKey(Marketplace, models.CASCADE, related_name="named_types")
    type = models.CharField(max_length=100)  # normalized
    trigger = models.CharField(max_length=40, choices=MEANINGS)

    audited = ("marketplace", "type", "trigger")

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["marketplace", "type"], name="type_named_once"),
        ]

    def __str__(self) -> str:
        return f"{self.type} is {'nothing' if self.is_nothing else self.get_trigger_display()}"

    @property
    def is_nothing(self) -> bool:
        return self.trigger == NOTHING
