"""`manage.py erase_person EMAIL`: erase one person for good."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from events.reports.personal_data import person
from events.reports.personal_data.person import Person
from events.retention import erase_person, erasure_plan, returned
from events.retention.own_rows import Erased

# How long to wait for an action of the person that is running.
WAIT_SECONDS = 60.0


class Command(BaseCommand):
    help = (
        "Erases one person from every table, payload and call, and from the spool of this "
        "machine. It says first what it will do, and asks. After you restored a database, "
        "--reapply erases again those who are back with it. Example: manage.py erase_person "
        "dana@example.com"
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("email", nargs="*", help="each address of the person")
        parser.add_argument("--yes", action="store_true", help="do not ask")
        parser.add_argument(
            "--reapply",
            action="store_true",
            help="erase again those who were erased and came back with a restored database",
        )

    def handle(self, **options: Any) -> None:
        if bool(options["email"]) == options["reapply"]:
            raise CommandError("Give the person's e-mail address, or --reapply.")
        try:
            somebody = self._back() if options["reapply"] else person.find(options["email"])
            if not somebody.addresses:
                self.stdout.write("No erased person is back.")
                return
            self._say_plan(somebody)
            if not (options["yes"] or self._agrees()):
                raise CommandError("Nothing was erased.")
            done = erase_person.erase(somebody, wait=WAIT_SECONDS)
        except ValueError as error:
            raise CommandError(str(error)) from None
        self._say_done(done)

    def _back(self) -> Person:
        """Return, as one Person, all who were erased and came back with a restored database."""
        back, again = returned.find()
        for each in again:
            self.stdout.write(
                f"{each.email} was erased and has bought again since, so nothing is erased. Name "
                "the address to erase everything of this person."
            )
        return back

    def _say_plan(self, somebody: Person) -> None:
        plan = erasure_plan.plan(somebody)
        self.stdout.write(f"To be erased: {', '.join(sorted(somebody.addresses))}.")
        if not somebody.customers:
            self.stdout.write("No customer has this address. All texts are looked through for it.")
        lines = [*plan.goes, plan.stays, plan.access, *(f"- {name}" for name in plan.holds)]
        for line in [*lines, *plan.elsewhere]:
            self.stdout.write(line)
        for each in plan.look_alikes:
            self.stdout.write(f"Maybe the same person: {each.email}. If so, name that one as well.")

    def _agrees(self) -> bool:
        try:
            answer = input("This cannot be undone. Type yes to erase: ")
        except EOFError:
            return False
        return answer.strip().lower() == "yes"

    def _say_done(self, done: Erased) -> None:
        for line in done.lines():
            self.stdout.write(line)
        if done.left:
            raise CommandError("\n".join(done.left))
