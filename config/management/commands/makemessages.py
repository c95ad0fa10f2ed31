"""Collects every sentence of the pages for translation, those of `say` and `say_count` too."""

from django.core.management.commands import makemessages


class Command(makemessages.Command):
    xgettext_options = [
        *makemessages.Command.xgettext_options,
        "--keyword=say:1",
        "--keyword=say_count:2,3",
    ]
