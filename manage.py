#!/usr/bin/env python
"""Admit's command line: `python manage.py help` lists every command."""

import os
import sys

from config import __version__, env_file


def main() -> None:
    if "--version" in sys.argv[1:] or sys.argv[1:] == ["version"]:
        # Without settings: it can be asked before there are any.
        print(f"Admit {__version__}")
        return
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    # `setup` is the first thing a newcomer runs: without keys no setting could be read. It
    # writes these down once it knows the rest.
    if sys.argv[1:2] == ["setup"] and not env_file.path().exists():
        for name, key in env_file.fresh_keys().items():
            os.environ.setdefault(name, key)
    from django.conf import settings
    from django.core.exceptions import ImproperlyConfigured
    from django.core.management import execute_from_command_line
    from django.db import OperationalError, ProgrammingError

    from config import private_files

    try:
        # Read here, because Django's own commands would hide what is wrong with a setting.
        _ = settings.INSTALLED_APPS
        private_files.tighten()
        execute_from_command_line(sys.argv)
        sys.stdout.flush()
    except ImproperlyConfigured as error:
        sys.exit(f"Admit cannot start. {error}")
    except (OperationalError, ProgrammingError) as error:
        if "--traceback" in sys.argv:
            raise
        said = str(error).strip().partition("\n")[0]
        sys.exit(
            f"The database cannot be used ({said}). Check DATABASE_URL, then run manage.py migrate."
        )
    except KeyboardInterrupt:
        sys.exit(130)
    except BrokenPipeError:
        # Whoever read our output has read enough, as `head` does.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)


if __name__ == "__main__":
    main()
