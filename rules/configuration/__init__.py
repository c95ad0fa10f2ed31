"""The configuration as a YAML file: `apply` writes it to the database, `export` to a file."""

from collections.abc import Mapping

from django.db import IntegrityError, transaction

from integrations import audit
from integrations.audit import Act
from rules.configuration import applying, checking, reading, sites
from rules.configuration.applying import ApplyReport
from rules.configuration.exporting import export
from rules.configuration.faults import Faults, Faulty
from rules.configuration.stored import Stored

__all__ = ["ApplyReport", "Faulty", "apply", "export"]


def apply(
    raw: bytes,
    environ: Mapping[str, str],
    *,
    dry_run: bool = False,
    prune: bool = False,
    progress: sites.Progress = lambda name: None,
) -> ApplyReport:
    """Apply a configuration file (UTF-8 YAML). If it has any fault, nothing is applied.

    First reads sites over HTTP where that is needed, then checks everything, then writes what
    differs in one transaction, which `dry_run` rolls back. What reading a connected site stores
    stays in any case: its calls and, if it does not answer as it should, its state or a pause.
    `environ` supplies the values of `${NAME}`. `prune` deletes rules, mappings and hand-entered
    courses that the file does not name. `progress` is called with the name of each site before it
    is read. Raises Faulty.
    """
    faults = Faults()
    configuration = reading.read(raw, environ, faults)
    stored = Stored.load()
    found = sites.look(configuration, stored, faults, progress)
    checking.check(configuration, stored, found, faults)
    if sentences := faults.sentences():
        raise Faulty(sentences)
    try:
        with transaction.atomic():
            report = applying.write(configuration, found, prune=prune)
            if report.changes:
                audit.record(Act.CONFIG_APPLIED, after={"changes": report.changes})
            if dry_run:
                transaction.set_rollback(True)
    except (IntegrityError, applying.ConcurrentChange):
        raise Faulty(
            ["Somebody else changed the configuration in the meantime. Run the command again."]
        ) from None
    return report
