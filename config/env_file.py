"""The `.env` file: made from `.env.example`, with fresh keys, when it is missing.

`python -m config.env_file` makes it and says so; an existing file is never touched.
"""

import base64
import os
import secrets
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
EXAMPLE = ROOT / ".env.example"


# The environment of this process before the file was read into it.
given: dict[str, str] = {}


def load() -> None:
    """Add the file's values to the environment; variables that are already set win."""
    import environ  # not here yet when `make install` runs this file

    if not given:
        given.update(os.environ)
    environ.Env.read_env(path())


def path() -> Path:
    """Return where settings are read from: ADMIT_ENV_FILE, or `.env` beside manage.py."""
    return Path(os.environ.get("ADMIT_ENV_FILE") or ROOT / ".env")


def create_if_missing(**values: str) -> bool:
    """Write the file with fresh keys and the given values. Returns False if it already exists."""
    if path().exists():
        return False
    text = with_values(EXAMPLE.read_text(encoding="utf-8"), fresh_keys() | values)
    _write(path(), text)
    return True


def fresh_keys() -> dict[str, str]:
    """Return new values for the keys that each installation must have of its own."""
    return {
        "SECRET_KEY": secrets.token_urlsafe(50),
        # A Fernet key: 32 random bytes, URL-safe base64 (cryptography's documented form).
        "FIELD_ENCRYPTION_KEYS": base64.urlsafe_b64encode(os.urandom(32)).decode(),
    }


def update(**values: str) -> None:
    """Set the given names in the existing file and keep every other line as it is.

    The file is replaced in one step, so that a crash cannot lose a key. Raises OSError when the
    folder cannot be written to.
    """
    target = path().resolve()
    if not target.is_file():
        raise FileNotFoundError(f"{path()} is not a file")
    fresh = target.with_name(f"{target.name}.new")
    fresh.unlink(missing_ok=True)
    _write(fresh, with_values(target.read_text(encoding="utf-8"), values))
    fresh.replace(target)


def with_values(text: str, values: dict[str, str]) -> str:
    """Return the text with these values set.

    A value replaces the line that sets its name, else a commented-out one, else it goes at the end.
    """
    lines = text.splitlines()
    set_already = {_name(line) for line in lines}
    left = dict(values)
    for number, line in enumerate(lines):
        name = _name(line)
        commented = _name(line.lstrip("# "))
        if name in values or (commented in left and commented not in set_already):
            # If the text sets a name twice, the first line gets the value; the second becomes a
            # comment.
            known = name if name in values else commented
            lines[number] = f"{known}={left.pop(known)}" if known in left else f"# {line}"
    return "\n".join([*lines, *(f"{name}={value}" for name, value in left.items())]) + "\n"


def _name(line: str) -> str:
    """Return the name that the line sets, "" when it sets none."""
    name, equals, _ = line.removeprefix("export ").partition("=")
    return name if equals else ""


def _write(file: Path, text: str) -> None:
    # Readable by its owner alone from the start: it holds every key of the installation.
    handle = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "w", encoding="utf-8") as opened:
        opened.write(text)


if __name__ == "__main__":
    if create_if_missing():
        print(f"Wrote {path().name} with fresh keys. Keep a copy of it in a safe place.")
