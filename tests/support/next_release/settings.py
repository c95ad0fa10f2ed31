"""Admit's settings, plus the app of the next release once that is installed."""

import os
from pathlib import Path

from config.settings import *  # noqa: F403
from config.settings import INSTALLED_APPS as APPS_OF_ADMIT
from tests.support.next_release import MARKER

INSTALLED_APPS = [*APPS_OF_ADMIT]
if Path(os.environ[MARKER]).exists():
    INSTALLED_APPS.append("tests.support.next_release")
