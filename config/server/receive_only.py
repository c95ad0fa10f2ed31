"""The web server alone: SamCart's events go sealed to the spool, without the database."""

import signal
import socket
import time

from config.server import child
from config.server.probe import answers
from config.server.program import Program

LOOK_SECONDS = 0.1
# How long the web server may take to finish the requests that it holds.
GRACE_SECONDS = 20.0


class ReceiveOnly:
    """Serves the webhook on `listener`, which stays open afterwards."""

    def __init__(self, listener: socket.socket) -> None:
        self._listener = listener
        number = listener.fileno()
        env = {child.BIND: f"fd://{number}", child.RECEIVE_ONLY: "true"}
        self._web = Program("web", env=env, files=[number])
        self._stopping = False

    def run(self, migrate: Program | None = None) -> bool:
        """Serve until SIGTERM or SIGINT, or until `migrate` succeeds. Returns whether it did.

        While it fails, keep receiving and start it again.
        """
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._stop)
        migrated = False
        try:
            while not (self._stopping or migrated):
                self._watch_web()
                migrated = migrate is not None and self._watch_migrate(migrate)
                time.sleep(LOOK_SECONDS)
        finally:
            if migrate is not None:
                migrate.ask_to_stop()
                migrate.end(grace=GRACE_SECONDS)
            self._web.ask_to_stop()
            self._web.end(grace=GRACE_SECONDS)
        return migrated

    def _stop(self, *_: object) -> None:
        self._stopping = True

    def _watch_web(self) -> None:
        if self._web.started and not self._web.alive():
            self._web.failed("web_died")
        if not self._web.started and self._web.may_start():
            self._web.start()

    def _watch_migrate(self, migrate: Program) -> bool:
        """Start `migrate` once the web server has read the addresses.

        Returns True when it is done.
        """
        if not migrate.started:
            if migrate.may_start() and self._serves():
                migrate.start()
            return False
        if migrate.exit_code:
            migrate.failed("migrate_failed")
        return migrate.exit_code == 0

    def _serves(self) -> bool:
        host, port = self._listener.getsockname()[:2]
        return answers(host, port, "/healthz", seconds=1)
