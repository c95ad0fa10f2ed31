"""Password validators beside Django's own."""

import logging
from urllib.parse import urlsplit

from django.conf import settings
from django.contrib.auth.models import User
from django.core.exceptions import ValidationError

from integrations import breached_passwords
from integrations.errors import OutsideError
from integrations.sentences import say

log = logging.getLogger(__name__)
# What strangers try first if they know which site the password is for.
OWN_WORDS = ("admit", "samcart", "thinkific", "password", "course", "owner")
LEFT = 8  # so many characters must remain without those words


class OwnWordsValidator:
    """Refuses a password that is little more than words of this site."""

    def validate(self, password: str, user: User | None = None) -> None:
        """Raise ValidationError if too little is left without those words."""
        left = password.casefold()
        host = urlsplit(settings.PUBLIC_URL).hostname or ""
        for word in (*OWN_WORDS, *host.split(".")):
            left = left.replace(word, "") if len(word) > 3 else left
        if len(left) < min(LEFT, len(password)):
            raise ValidationError(
                say("This password is made of words that are easy to guess on this site."),
                code="own_words",
            )

    def get_help_text(self) -> str:
        return say("Your password can’t be made of words such as Admit, SamCart or Thinkific.")


class BreachedPasswordValidator:
    """Refuses a password that was in a breach.

    CHECK_BREACHED_PASSWORDS adds it to the validators. If the service does not answer, every
    password passes.
    """

    def validate(self, password: str, user: User | None = None) -> None:
        """Raise ValidationError if the password is in the service's list."""
        try:
            found = breached_passwords.times_seen(password, url=settings.BREACHED_PASSWORDS_URL)
        except OutsideError as error:
            log.warning("breached_passwords_not_asked", extra={"error": error.message})
            return
        if found:
            raise ValidationError(
                say(
                    "This password was stolen from another site, and strangers try it. "
                    "Choose another."
                ),
                code="breached",
            )

    def get_help_text(self) -> str:
        return say("Your password can’t be one that was stolen from another site.")
