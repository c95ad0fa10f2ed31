"""`flush` as Django calls it after a test in real transactions, but faster where possible."""

from typing import Any

from django.core.management.commands import flush

from tests.support import emptying


class Command(flush.Command):
    def handle(self, **options: Any) -> None:
        if emptying.is_enough():
            emptying.empty()
        else:
            # Before the first time, and after a test that changed them: a migration, for example.
            emptying.empty_audit()
            super().handle(**options)
            emptying.remember()
