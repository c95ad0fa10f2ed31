"""`manage.py sandbox`: run a stand-in for Thinkific on this machine, to try things by hand."""

import contextlib
import signal
import threading
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from collections.abc import Iterator
from types import FrameType
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from integrations.notify_url import signature
from integrations.notify_url.sample_receiver import SampleReceiver
from integrations.thinkific.sandbox import Sandbox, School, add_sample_school

_EXAMPLE = """\
example:
  python manage.py sandbox --port 8901

It holds a sample school and forgets everything when it ends. Set THINKIFIC_API_URL to the
address it prints, and add an integration with the Site URL and API key it prints.

To try a Notify URL as well, set ALLOW_PRIVATE_NOTIFY_URLS=true, add a Notify URL with the address
http://127.0.0.1:8902/hook, and start the sandbox with the secret that is shown:

  python manage.py sandbox --receiver whsec_...
"""


class Command(BaseCommand):
    help = "Serves a stand-in for Thinkific on this machine, with a sample school."
    # It needs neither a working database nor keys.
    requires_system_checks = []

    def create_parser(self, prog_name: str, subcommand: str, **kwargs: Any) -> Any:
        return super().create_parser(
            prog_name,
            subcommand,
            epilog=_EXAMPLE,
            formatter_class=RawDescriptionHelpFormatter,
            **kwargs,
        )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--port", type=int, default=8901, help="port to serve on (default 8901; 0 = any free)"
        )
        parser.add_argument(
            "--host", default="127.0.0.1", help="loopback address to serve on (default 127.0.0.1)"
        )
        parser.add_argument(
            "--receiver",
            metavar="SECRET",
            help="also receive, on the next port, what is signed with this secret of a Notify URL",
        )

    def handle(self, *, host: str, port: int, receiver: str | None, **_: Any) -> None:
        ended = threading.Event()

        def end(_signal: int, _frame: FrameType | None) -> None:
            ended.set()

        with contextlib.ExitStack() as opened:
            for number in (signal.SIGINT, signal.SIGTERM):
                opened.callback(signal.signal, number, signal.signal(number, end))
            with _explained(host, port):
                sandbox = opened.enter_context(Sandbox(port, host=host))
            greeting = _greeting(sandbox, add_sample_school(sandbox))
            if receiver is not None:
                greeting += _greeting_of(opened.enter_context(_receiver(receiver, port)))
            self.stdout.write(greeting)
            self.stdout.flush()
            ended.wait()
        self.stdout.write("The sandbox has ended.")


def _receiver(secret: str, port: int) -> SampleReceiver:
    try:
        signature.key_of(secret)
    except ValueError as error:
        raise CommandError(f"--receiver: {error}", returncode=2) from None
    port += bool(port)
    with _explained("127.0.0.1", port):
        return SampleReceiver(secret, port)


@contextlib.contextmanager
def _explained(host: str, port: int) -> Iterator[None]:
    """Turn errors of opening a server at this address into sentences."""
    try:
        yield
    except (ValueError, OverflowError) as error:
        raise CommandError(
            f"The sandbox can serve only on this machine itself, and on a port from 0 to 65535; "
            f"{host} with port {port} is not that. Leave --host out, or use 127.0.0.1 or ::1.",
            returncode=2,
        ) from error
    except OSError as error:
        raise CommandError(
            f"The sandbox could not take {host} port {port}: {error.strerror or error}. "
            f"End the program that uses it, or choose another with --port."
        ) from error


def _greeting(sandbox: Sandbox, school: School) -> str:
    courses = (f"  course {each.id}  {each.name}" for each in school.courses.values())
    bundles = (
        f"  bundle {each.id}  {each.name} ({len(each.courses)} courses)"
        for each in school.bundles.values()
    )
    fields = ", ".join(f"{each.label} ({each.field_type})" for each in school.fields.values())
    control = f"{sandbox.origin}/_sandbox"
    lines = (
        f"A stand-in for Thinkific serves on {sandbox.origin}. Ctrl-C ends it.",
        "",
        f"  THINKIFIC_API_URL={sandbox.url}",
        f"  Site URL  {school.subdomain}",
        f"  API key   {school.key}",
        "",
        *courses,
        *bundles,
        f"  signup fields  {fields}",
        "",
        "Who is enrolled, and what was asked:",
        f"  curl '{control}/state?school={school.subdomain}'",
        f"  curl '{control}/calls?last=20'",
        "Flip a switch (GET shows them all), or let the next two calls fail:",
        f"""  curl {control}/switches -d '{{"calls_per_minute": 10}}'""",
        f"""  curl {control}/faults -d '{{"kind": "status", "status": 503, "times": 2}}'""",
    )
    return "\n".join(lines)


def _greeting_of(receiver: SampleReceiver) -> str:
    return (
        f"\nA receiver of Notify URL messages takes them at {receiver.url}.\n"
        f"What came: {receiver.page}"
    )
