"""An update while SamCart's POSTs come in: none of them may be lost or refused."""

import os
import signal
import time

from tests.faults.fault import Fault
from tests.faults.stage import Stage
from tests.support import live, next_release


def updated(stage: Stage) -> float:
    """A new release is put in place, and `up` is told to restart with it."""
    marker = stage.admit.folder / "next-release"
    env = {
        "DJANGO_SETTINGS_MODULE": "tests.support.next_release.settings",
        next_release.MARKER: str(marker),
        next_release.SECONDS: "10" if stage.long else "3",
    }
    running = stage.up("--migrate", **env)
    with stage.trading(every=0.05, sellers=4):
        time.sleep(1)
        marker.touch()
        os.kill(running.pid, signal.SIGHUP)
        applied = "SELECT count(*) FROM django_migrations WHERE app = 'next_release'"
        live.until(lambda: stage.database.number(applied) == 1, seconds=120, what="the migration")
        stage.mended()
        live.until(stage.admit.ready, what="/readyz")
        time.sleep(1)
    refused = [sale for sale in stage.sales if not sale.acknowledged]
    assert not refused, f"{len(refused)} of {len(stage.sales)} were not acknowledged"
    assert "delivery_spooled" in running.output(), "nothing came while it migrated"
    return stage.heal()


FAULTS = [Fault("updated", "update that holds the database while it migrates", updated)]
