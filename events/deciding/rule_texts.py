"""The rules as sentences at one time, stored once for all events of that time."""

import hashlib
import json
from collections.abc import Mapping

from events.models import RuleTexts


def digest_of(sentences: Mapping[str, str]) -> str:
    """Return the digest by which {rule ID: sentence} is found again, in hexadecimal."""
    return hashlib.sha256(json.dumps(sentences, sort_keys=True).encode()).hexdigest()


def stored(sentences: Mapping[str, str]) -> RuleTexts:
    """Return the row that holds these sentences, a new one if there is none."""
    digest = digest_of(sentences)
    found, _ = RuleTexts.objects.get_or_create(digest=digest, defaults={"sentences": sentences})
    return found
