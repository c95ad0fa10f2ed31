"""Events: what deliveries say and what people do by hand, with what the rules decided."""

from collections.abc import Iterable

from django.db import models
from django.db.models import Index, Q, Value
from django.db.models.functions import Coalesce
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy

from events.models.received import Delivery
from events.models.rule_texts import RuleTexts
from integrations import search_terms
from integrations.models import Customer, Marketplace, Product
from integrations.sentences import SentenceField, read, say
from rules import actions
from rules.engine import Reason
from rules.fired import fired_by
from rules.models import Rule
from rules.triggers import Trigger

# The account and the trigger as expressions, for use where other conditions find fewer rows. With
# the plain columns SQLite would walk through all events of an account, or of a trigger.
ACCOUNT = Coalesce("marketplace", 0, output_field=models.IntegerField())
WHAT = Coalesce("trigger", Value(""))


class EventQuerySet(models.QuerySet["EventLog"]):
    def of_triggers(self, *triggers: str) -> "EventQuerySet":
        """Events of these triggers. Use it with other conditions that find few events."""
        return self.alias(what=WHAT).filter(what__in=triggers)

    def trusted(self) -> "EventQuerySet":
        """Events without repeats, and without those sent to a withdrawn webhook address.

        Somebody who knows only a withdrawn address must not be able to change anything.
        """
        known = Q(delivery=None) | Q(delivery__withdrawn=False)
        return self.filter(known).exclude(status=EventLog.Status.REPEAT)


class EventLog(models.Model):
    """One trigger for one product line and customer; every delivery gives at least one event.

    What a person does by hand is an event too. It has no delivery, but an author.
    """

    class ByHand(models.TextChoices):
        GIVE = "give", _("Access given by hand")
        END = "end", _("Access ended by hand")
        GIVE_BACK = "give_back", _("Access given back by hand")
        # A person changed the last day of access given by hand, or the day of an ending by hand.
        GIVE_DAY = "give_day", _("Last day changed by hand")
        END_DAY = "end_day", _("Last day changed by hand")
        MOVE_AWAY = "move_away", _("Access moved to another e-mail")
        MOVE_HERE = "move_here", _("Access moved from another e-mail")
        # Decided by the rules, as the Product Purchased that SamCart should have sent.
        ORDER = "order", _("Order entered by hand")
        NOTE = "note", _("Note")

    class Status(models.TextChoices):
        WAITING = "waiting", _("Waiting")
        DONE = "done", _("Succeeded")
        FAILED = "failed", _("Failed")
        HELD = "held", _("Waits for you")
        NO_RULE = "no_rule", _("No rule")
        SKIPPED = "skipped", _("Skipped")
        REPEAT = "repeat", pgettext_lazy("event", "Repeat")
        UNKNOWN_TYPE = "unknown_type", _("Unknown type")
        UNREADABLE = "unreadable", _("Unreadable")
        NOTED = "noted", _("Noted")

    # Where `db_index` is False, an index of Meta begins with the column.
    delivery = models.ForeignKey(
        Delivery, models.CASCADE, null=True, related_name="events", db_index=False
    )
    line = models.PositiveSmallIntegerField(default=0)
    # None for what a person does by hand, except an order.
    marketplace = models.ForeignKey(Marketplace, models.CASCADE, null=True, related_name="events")
    trigger = models.CharField(max_length=40, choices=Trigger.choices, null=True)
    raw_type = models.CharField(max_length=100, blank=True)
    product = models.ForeignKey(
        Product, models.SET_NULL, null=True, related_name="events", db_index=False
    )
    customer = models.ForeignKey(
        Customer, models.SET_NULL, null=True, related_name="events", db_index=False
    )
    status = models.CharField(max_length=12, choices=Status.choices)
    # The rules did nothing for the customer: at most they passed on what SamCart sent. Or a person
    # took back all that they gave, because the rules had changed.
    gave_nothing = models.BooleanField(default=False)
    # A refund that left access of its purchase open when it was decided, as no rule was to end it;
    # also if nothing was known of what its purchase gave. What is open now, the grants say.
    left_open = models.BooleanField(default=False)
    # When a person undid what was given for it, so that it `gave_nothing`: this is no alarm.
    undone_at = models.DateTimeField(null=True, editable=False)
    reason = SentenceField(blank=True)
    order_id = models.CharField(max_length=64, blank=True)
    subscription_id = models.CharField(max_length=64, blank=True)
    transaction_id = models.CharField(max_length=64, blank=True)
    samcart_customer_id = models.CharField(max_length=64, blank=True)
    custom_fields = models.JSONField(default=list)  # [{"name", "slug", "value"}]
    verdicts = models.JSONField(default=list)  # [[rule id, engine.Reason code]]
    rule_texts = models.ForeignKey(RuleTexts, models.PROTECT, null=True)
    received_at = models.DateTimeField()
    # When the order was placed, as SamCart says; an event of a subscription may come much later.
    ordered_at = models.DateTimeField(null=True)
    # The e-mail address that SamCart sent, if it cannot be used: the payer's, who then is no
    # customer, or the student's.
    email_as_sent = models.CharField(max_length=320, blank=True, editable=False)
    name_as_sent = models.CharField(max_length=511, blank=True, editable=False)
    # A person entered the e-mail address that SamCart did not send in a usable form.
    email_given_at = models.DateTimeField(null=True, editable=False)
    email_given_by = models.CharField(max_length=150, blank=True, editable=False)
    # What a person did, who it was, and why; "" if SamCart sent the event.
    by_hand = models.CharField(max_length=9, choices=ByHand.choices, blank=True, editable=False)
    author = models.CharField(max_length=150, blank=True, editable=False)
    author_note = models.TextField(blank=True, editable=False)
    # A person has dealt with what this event left undone.
    dealt_with_at = models.DateTimeField(null=True, editable=False)
    dealt_with_by = models.CharField(max_length=150, blank=True, editable=False)

    objects = EventQuerySet.as_manager()

    class Meta:
        verbose_name = _("event")
        verbose_name_plural = _("events")
        permissions = [
            ("rerun_eventlog", "Can run the rules again"),
            ("dismiss_eventlog", "Can mark an event as dealt with"),
            ("simulate_eventlog", "Can simulate"),
            ("export_eventlog", "Can download all data of a person"),
            ("erase_eventlog", "Can erase a person"),
            ("csv_eventlog", "Can download lists"),
        ]
        constraints = [
            models.UniqueConstraint(fields=["delivery", "line"], name="event_line_once"),
            models.CheckConstraint(
                condition=Q(delivery__isnull=False, by_hand="")
                | Q(delivery__isnull=True) & ~Q(by_hand=""),
                name="event_sent_or_by_hand",
            ),
        ]
        indexes = [
            # Here and not as `db_index`, for which PostgreSQL would get a second index for LIKE.
            Index(fields=["order_id"], name="event_of_order"),
            Index(fields=["subscription_id"], name="event_of_subscription"),
            Index(fields=["transaction_id"], name="event_of_transaction"),
            Index(fields=["samcart_customer_id"], name="event_of_samcart_customer"),
            Index(fields=["-received_at", "-id"], name="event_newest"),
            Index(fields=["customer", "received_at"], name="event_of_customer"),
            Index(fields=["status", "-received_at"], name="event_by_status"),
            # Sales are counted without reading the events.
            Index(fields=["product", "-received_at", "trigger", "status"], name="event_of_product"),
            Index(fields=["trigger", "-received_at"], name="event_by_trigger"),
            Index(fields=["-received_at", "-id"], condition=Q(delivery=None), name="event_by_hand"),
            Index(
                fields=["marketplace", "raw_type"],
                condition=Q(status="unknown_type"),
                name="event_unknown_type",
            ),
            # Begins with the trigger, although all rows have the same: otherwise SQLite would
            # rather walk through `event_by_trigger`, which holds every purchase.
            Index(
                fields=["trigger", "-received_at", "-id"],
                condition=Q(gave_nothing=True, trigger="product_purchased", dealt_with_at=None),
                name="event_gave_nothing",
            ),
            # A product sells thousands of times, and gives nothing a few times.
            Index(
                fields=["product", "-received_at", "-id"],
                condition=Q(gave_nothing=True, dealt_with_at=None),
                name="event_gave_nothing_of_product",
            ),
            Index(
                fields=["-received_at", "-id"], condition=Q(left_open=True), name="event_left_open"
            ),
        ]

    def __str__(self) -> str:
        what = self.what_happened or say("Unknown event")
        if self.order_id:
            return say("{event}, order {number}", event=what, number=self.order_id)
        return say("{event}, event {number}", event=what, number=str(self.pk))

    @property
    def what_happened(self) -> str:
        """The trigger or the act by hand in words; "" if SamCart's type has no name yet."""
        if self.by_hand == self.ByHand.ORDER:
            return say("{trigger} (entered by hand)", trigger=Trigger.PRODUCT_PURCHASED.label)
        if self.by_hand:
            return say(self.ByHand(self.by_hand).label)
        return say(Trigger(self.trigger).label) if self.trigger else ""

    @property
    def is_gift(self) -> bool:
        """Whether a person gave access, or changed the last day of what was given."""
        return self.by_hand in {self.ByHand.GIVE, self.ByHand.GIVE_DAY}

    @property
    def given_for(self) -> str:
        """The order of the purchase for which a person gave access; "" for a gift."""
        grants = (run.grant for run in self.runs.all()) if self.is_gift else ()
        orders = (each.order_id for each in grants if each and each.source == "purchase")
        return next(orders, "")

    @property
    def ends_by_hand(self) -> bool:
        """Whether a person ended access, now or on a day, or changed that day."""
        return self.by_hand in {self.ByHand.END, self.ByHand.END_DAY}

    @property
    def withdrawn(self) -> bool:
        """Whether it came to a webhook address that had been withdrawn."""
        return self.delivery is not None and self.delivery.withdrawn

    @classmethod
    def status_of(cls, runs: Iterable[str]) -> "EventLog.Status":
        """Return the event's status for runs of these statuses. What needs a person comes first."""
        found = set(runs)
        if not found:
            return cls.Status.NO_RULE
        for status in (cls.Status.FAILED, cls.Status.HELD):
            if status.value in found:
                return status
        if found & {"waiting", "running"}:
            return cls.Status.WAITING
        return cls.Status.DONE if "done" in found else cls.Status.SKIPPED

    @property
    def has_nothing(self) -> bool:
        """Whether neither a rule nor a person gave anything for it, or that was undone since."""
        return self.gave_nothing and self.dealt_with_at is None

    @property
    def is_set_aside(self) -> bool:
        """Whether our own code failed on it, so that nothing of it is known yet."""
        return self.status == self.Status.FAILED and self.trigger is None and not self.by_hand

    @property
    def explanation(self) -> str:
        """Why it has its status: its own reason, or that of an action that needs a person.

        Why no rule ran is left out once it has actions: a person ended access because of it.
        """
        stuck = (run.message for run in self.runs.all() if run.status in {"failed", "held"})
        outdated = self.gave_nothing and not self.email_given_at and len(self.runs.all())
        return ("" if outdated else self.reason) or next(stuck, "")

    @property
    def as_sent(self) -> str:
        """The name and unusable address that SamCart sent: "Dana Reyes, dana@@example.com"."""
        return ", ".join(filter(None, [self.name_as_sent, self.email_as_sent]))

    def add_search_terms(self) -> None:
        """Make the event searchable by the name and the unusable address that SamCart sent."""
        EventTerm.objects.bulk_create(self.new_search_terms(), ignore_conflicts=True)

    def new_search_terms(self) -> "list[EventTerm]":
        """Return unsaved rows by which a search finds the event. The event must have an ID."""
        found = search_terms.terms_as_sent(self.email_as_sent, self.name_as_sent)
        return [EventTerm(event=self, term=term.encode()) for term in found]

    def is_for(self, rule: Rule) -> bool:
        """Return whether the rule, on or off, is for this event's account, triggers and product."""
        same_product = rule.product_id in {None, self.product_id}
        same_account = rule.marketplace_id == self.marketplace_id
        return same_product and same_account and rule.trigger in fired_by(self.trigger)

    @property
    def fits_what_is_off(self) -> bool:
        """Whether a rule for the customer would have run when this was decided, but was off."""
        off = [rule for rule, why in self.verdicts if why == Reason.OFF]
        rules = Rule.objects.filter(pk__in=off).exclude(action__in=actions.passing_on())
        return bool(off) and rules.exists()

    def sentences(self) -> list[tuple[str, bool, str]]:
        """Return (sentence, whether it ran, code of the reason) for each rule looked at."""
        texts = self.rule_texts.sentences if self.rule_texts else {}
        known = {rule: read(kept) for rule, kept in texts.items()}
        return [
            (known.get(str(rule)) or say("Rule {number}", number=str(rule)), why == "run", why)
            for rule, why in self.verdicts
        ]


class EventTerm(models.Model):
    """A word that finds an event without a usable address: see `integrations.search_terms`."""

    pk = models.CompositePrimaryKey("event", "term")
    event = models.ForeignKey(EventLog, models.CASCADE, related_name="search_terms", db_index=False)
    term = models.BinaryField()  # as those of integrations.models.SearchTerm

    class Meta:
        indexes = [Index(fields=["term", "event"], name="event_by_term")]

    def __str__(self) -> str:
        return bytes(self.term).decode()
