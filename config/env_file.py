"""The `.env` file: made from `.env.example`, with fresh keys, when it is missing.

`python -m config.env_file` makes it and says so; an existing file is never touched.
"""

import base64
import os
import secrets
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
EXAMPLE = ROOT / ".env.example"


def path() -> Path:
    """Where the settings are read from: ADMIT_ENV_FILE, or `.env` beside manage.py."""
    return Path(os.environ.get("ADMIT_ENV_FILE") or ROOT / ".env")


def create_if_missing(**values: str) -> bool:
    """Write the file with fresh keys and the given values; False when it was there already."""
    if path().exists():
        return False
    fresh = {
        "SECRET_KEY": secrets.token_urlsafe(50),
        # A Fernet key: 32 random bytes, URL-safe base64 (cryptography's documented form).
        "FIELD_ENCRYPTION_KEYS": base64.urlsafe_b64encode(os.urandom(32)).decode(),
    }
    text = with_values(EXAMPLE.read_text(encoding="utf-8"), fresh | values)
    # Created readable by its owner alone: it holds every key of the installation.
    handle = os.open(path(), os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(text)
    return True


def update(**values: str) -> None:
    """Set the given names in the existing file and keep every other line as it is."""
    text = with_values(path().read_text(encoding="utf-8"), values)
    path().write_text(text, encoding="utf-8")


def with_values(text: str, values: dict[str, str]) -> str:
    """The text with each `NAME=` line (also a commented one) replaced, or added at the end."""
    left = dict(values)
    lines = []
    for line in text.splitlines():
        name = line.lstrip("# ").split("=", 1)[0].strip()
        if "=" in line and name in left:
            line = f"{name}={left.pop(name)}"
        lines.append(line)
    lines += [f"{name}={value}" for name, value in left.items()]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    if create_if_missing():
        print(f"Wrote {path().name} with fresh keys. Keep a copy of it in a safe place.")
