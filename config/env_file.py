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
    """Add what the file says to the environment; what is set there already stays."""
    import environ  # not here yet when `make install` runs this file

    if not given:
        given.update(os.environ)
    environ.Env.read_env(path())


def path() -> Path:
    """Where the settings are read from: ADMIT_ENV_FILE, or `.env` beside manage.py."""
    return Path(os.environ.get("ADMIT_ENV_FILE") or ROOT / ".env")


def create_if_missing(**values: str) -> bool:
    """Write the file with fresh keys and the given values; False when it was there already."""
    if path().exists():
        return False
    text = with_values(EXAMPLE.read_text(encoding="utf-8"), fresh_keys() | values)
    _write(path(), text)
    return True


def fresh_keys() -> dict[str, str]:
    """New values for the settings that no installation shares with another."""
    return {
        "SECRET_KEY": secrets.token_urlsafe(50),
        # A Fernet key: 32 random bytes, URL-safe base64 (cryptography's documented form).
        "FIELD_ENCRYPTION_KEYS": base64.urlsafe_b64encode(os.urandom(32)).decode(),
    }


def update(**values: str) -> None:
    """Set the given names in the existing file and keep every other line as it is.

    The new text takes the old one's place at once, so that no crash can cost a key. Raises
    OSError when the folder cannot be written to.
    """
    target = path().resolve()
    if not target.is_file():
        raise FileNotFoundError(f"{path()} is not a file")
    fresh = target.with_name(f"{target.name}.new")
    fresh.unlink(missing_ok=True)
    _write(fresh, with_values(target.read_text(encoding="utf-8"), values))
    fresh.replace(target)


def with_values(text: str, values: dict[str, str]) -> str:
    """The text with each `NAME=` line replaced, or a commented one, or else added at the end."""
    lines = text.splitlines()
    set_already = {_name(line) for line in lines}
    left = dict(values)
    for number, line in enumerate(lines):
        name = _name(line)
        commented = _name(line.lstrip("# "))
        if name in values or (commented in left and commented not in set_already):
            # A name that was set twice is set once from now on: the first line counts.
            known = name if name in values else commented
            lines[number] = f"{known}={left.pop(known)}" if known in left else f"# {line}"
    return "\n".join([*lines, *(f"{name}={value}" for name, value in left.items())]) + "\n"


def _name(line: str) -> str:
    """The name that the line sets, "" when it sets none."""
    name, equals, _ = line.removeprefix("export ").partition("=")
    return name if equals else ""


def _write(file: Path, text: str) -> None:
    # Created readable by its owner alone: it holds every key of the installation.
    handle = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "w", encoding="utf-8") as opened:
        opened.write(text)


if __name__ == "__main__":
    if create_if_missing():
        print(f"Wrote {path().name} with fresh keys. Keep a copy of it in a safe place.")
