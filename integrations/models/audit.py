"""Audit entries: who changed what. They are only ever added."""

from typing import Any, NoReturn

from django.core.serializers.json import DjangoJSONEncoder
from django.db import models
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from integrations.sentences import SentenceField, SentencesField, say
from integrations.who import shown_who


class Act(models.TextChoices):
    """What a person or a command did. The label follows the actor's name: "Ana added a rule"."""

    RULE_ADDED = "rule_added", _("added a rule")
    RULE_CHANGED = "rule_changed", _("changed a rule")
    RULE_DELETED = "rule_deleted", _("deleted a rule")
    INTEGRATION_ADDED = "integration_added", _("connected an integration")
    INTEGRATION_CHANGED = "integration_changed", _("changed an integration")
    INTEGRATION_DELETED = "integration_deleted", _("deleted an integration")
    KEY_REPLACED = "key_replaced", _("replaced the key of an integration")
    MAPPING_CHANGED = "mapping_changed", _("changed a field mapping")
    COURSE_ENTERED = "course_entered", _("entered a course or bundle by its number")
    COURSE_GONE = "course_gone", _("marked a course or bundle as gone")
    COURSE_BACK = "course_back", _("marked a course or bundle as back")
    COURSE_REMOVED = "course_removed", _("removed a course or bundle")
    ACCOUNT_ADDED = "account_added", _("added a SamCart account")
    ACCOUNT_CHANGED = "account_changed", _("changed a SamCart account")
    ACCOUNT_DELETED = "account_deleted", _("deleted a SamCart account")
    ADDRESS_SHOWN = "address_shown", _("looked at the address for SamCart")
    ADDRESS_REPLACED = "address_replaced", _("made a new address for SamCart")
    ADDRESSES_ENDED = "addresses_ended", _("ended the earlier addresses for SamCart")
    TYPE_NAMED = "type_named", _("named an event type")
    TYPE_UNNAMED = "type_unnamed", _("took the name of an event type away")
    PRODUCT_ADDED = "product_added", _("added a product")
    PRODUCT_CHANGED = "product_changed", _("changed a product")
    PRODUCT_DELETED = "product_deleted", _("deleted a product")
    CONFIG_APPLIED = "config_applied", _("applied a configuration file")
    RUN_RETRIED = "run_retried", _("retried an action")
    RUN_RELEASED = "run_released", _("released an action")
    RUN_REPEATED = "run_repeated", _("ran an action again")
    RUN_DISMISSED = "run_dismissed", _("dismissed an action")
    DONE_ANYWAY = "done_anyway", _("had a skipped action done anyway")
    ENDED_NOW = "ended_now", _("ended access before its day")
    EVENT_RERUN = "event_rerun", _("ran the rules again")
    EVENT_DISMISSED = "event_dismissed", _("marked an event as dealt with")
    EVENT_MADE = "event_made", _("posted an event by hand")
    EMAIL_CORRECTED = "email_corrected", _("entered the right e-mail for an event")
    BUYERS_ENROLLED = "buyers_enrolled", _("ran rules for earlier buyers")
    BUYERS_MOVED = "buyers_moved", _("moved a buyer to what a rule gives now")
    BUYERS_KEPT = "buyers_kept", _("left a buyer what a rule gave before")
    REFUNDED_KEPT = "refunded_kept", _("let a refunded buyer keep the access")
    CANCELED_KEPT = "canceled_kept", _("let a canceled buyer keep the access")
    BUYERS_TOLD = "buyers_told", _("let Admit ask again about what a buyer keeps")
    BUYERS_ENDED = "buyers_ended", _("ended what a rule gave a buyer before")
    REFUNDED_ENDED = "refunded_ended", _("ended what was refunded")
    GIVEN_ENDED = "given_ended", _("ended what a person had given a buyer")
    BATCH_UNDONE = "batch_undone", _("undid what was done for a buyer")
    ACCESS_GIVEN = "access_given", _("gave access by hand")
    ACCESS_GIVEN_BACK = "access_given_back", _("gave access back")
    ACCESS_ENDED = "access_ended", _("ended access by hand")
    LAST_DAY_CHANGED = "last_day_changed", _("changed the last day of an access")
    ACCESS_MOVED = "access_moved", _("moved access to another e-mail")
    NOTE_ADDED = "note_added", _("added a note about a customer")
    ORDER_ENTERED = "order_entered", _("entered a missed order")
    STUDENT_CHECKED = "student_checked", _("looked a customer up in Thinkific")
    COMPARED = "compared", _("had access compared with Thinkific")
    REPAIR_APPROVED = "repair_approved", _("approved what comparing proposed")
    EXPORTED = "exported", _("exported a person's data")
    LIST_DOWNLOADED = "list_downloaded", _("downloaded a list")
    LETTER_CHANGED = "letter_changed", _("changed the letter to customers")
    ERASED = "erased", _("erased a person's data")
    PERSON_ADDED = "person_added", _("added a person")
    PERSON_CHANGED = "person_changed", _("changed a person")
    PERSON_OFF = "person_off", _("switched a person off")
    PERSON_ON = "person_on", _("switched a person on")
    GROUP_CHANGED = "group_changed", _("changed what a group may do")
    GROUP_DELETED = "group_deleted", _("deleted a group")
    LINK_MADE = "link_made", _("made a one-time link")
    SIGNED_IN = "signed_in", _("signed in")
    SIGNED_OUT = "signed_out", _("signed out")
    SIGN_IN_FAILED = "sign_in_failed", _("failed to sign in")
    CONFIRM_FAILED = "confirm_failed", _("failed to confirm the password")
    SESSIONS_ENDED = "sessions_ended", _("ended sessions")
    PASSWORD_CHANGED = "password_changed", _("changed the password")
    SECOND_FACTOR_ON = "second_factor_on", _("turned the second factor on")
    SECOND_FACTOR_OFF = "second_factor_off", _("turned the second factor off")
    SECOND_FACTOR_FAILED = "second_factor_failed", _("gave a wrong code of the second factor")
    RECOVERY_CODES_MADE = "recovery_codes_made", _("made recovery codes")
    RECOVERY_CODE_USED = "recovery_code_used", _("used a recovery code")
    ALERTS_CHANGED = "alerts_changed", _("changed who gets which alerts")
    SILENCE_RIGHT = "silence_right", _("said that no sales were expected")
    SETTING_CHANGED = "setting_changed", _("changed a setting")
    KEYS_ROTATED = "keys_rotated", _("sealed all secrets with the newest key")
    TIDIED = "tidied", _("removed what is too old")
    BACKED_UP = "backed_up", _("made a backup")
    RESTORED = "restored", _("restored a backup")


class AppendOnly(Exception):
    """An audit entry can be neither changed nor deleted."""

    def __str__(self) -> str:
        return say("Audit entries are only added: none is changed or deleted.")


class AuditEntry(models.Model):
    """One act, written by `integrations.audit.record`. The database refuses UPDATE and DELETE.

    It has no foreign keys, because it outlives all other rows.
    """

    at = models.DateTimeField(db_default=Now(), db_index=True)
    # The name with which the person signs in, or the user of the operating system.
    who = models.CharField(max_length=320, db_index=True)
    address = models.CharField(max_length=45, blank=True)
    # A page's path, or a command.
    place = models.CharField(max_length=200, blank=True)
    # A value of Act. Without `choices`, so that a new act needs no migration.
    act = models.CharField(max_length=40, db_index=True)
    # The model's name, the row's number, and what the row was called.
    kind = models.CharField(max_length=40, blank=True)
    number = models.CharField(max_length=40, blank=True)
    name = SentenceField(blank=True)
    # {field: value} of what differs. None if there was nothing before, or nothing is left.
    before = SentencesField(null=True, encoder=DjangoJSONEncoder)
    after = SentencesField(null=True, encoder=DjangoJSONEncoder)
    note = SentenceField(blank=True)
    # The number of the entry that this one undid.
    undoes = models.PositiveBigIntegerField(null=True, editable=False)
    # The same number for everything one request did. None for commands and old entries.
    step = models.PositiveBigIntegerField(null=True, editable=False)

    class Meta:
        verbose_name = _("change")
        verbose_name_plural = _("changes")
        indexes = [models.Index(fields=["kind", "number", "id"], name="audit_of_subject")]
        default_permissions = ("view",)

    def __str__(self) -> str:
        return f"{shown_who(self.who)} {self.sentence}"

    @property
    def sentence(self) -> str:
        """What was done, or just the code if this version does not know the act."""
        return str(Act(self.act).label) if self.act in Act.values else self.act

    def save(self, *args: Any, **options: Any) -> None:
        """Add the entry. Raises AppendOnly if it is stored already."""
        if not self._state.adding:
            raise AppendOnly
        super().save(*args, **options)

    def delete(self, *args: Any, **options: Any) -> NoReturn:
        raise AppendOnly


class AuditUnlock(models.Model):
    """A row that exists only inside a transaction that may change or delete entries.

    The database's triggers look for it. No other connection ever sees it.
    """

    class Reason(models.TextChoices):
        RETENTION = "retention", "DELETE of what is too old"
        ERASURE = "erasure", "UPDATE that takes a person's address out"

    reason = models.CharField(max_length=10, choices=Reason.choices)

    class Meta:
        default_permissions = ()
