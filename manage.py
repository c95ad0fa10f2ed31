#!/usr/bin/env python
"""Admit's command line: `python manage.py help` lists every command."""

import os
import sys

from config import env_file


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    # `setup` is the first thing a newcomer runs: without keys no setting could be read.
    if sys.argv[1:2] == ["setup"]:
        env_file.create_if_missing()
    from django.conf import settings
    from django.core.exceptions import ImproperlyConfigured
    from django.core.management import execute_from_command_line

    try:
        # Read here, because Django's own commands would hide what is wrong with a setting.
        _ = settings.INSTALLED_APPS
        execute_from_command_line(sys.argv)
    except ImproperlyConfigured as error:
        sys.exit(f"Admit cannot start. {error}")


if __name__ == "__main__":
    main()
