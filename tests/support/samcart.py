"""SamCart in the tests: sample bodies, and an account that posts them."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from django.test import Client

from integrations.models import Marketplace

PAYLOADS = Path(__file__).parents[1] / "payloads"


def payload(name: str) -> dict[str, Any]:
    """Return the sample body whose file name begins like this."""
    (file,) = PAYLOADS.glob(f"{name}*")
    found: dict[str, Any] = json.loads(file.read_bytes())
    return found


def changed(name: str, **changes: Any) -> dict[str, Any]:
    """Return a sample body with changes such as customer__email="x@y.z"."""
    body = payload(name)
    for path, value in changes.items():
        *way, last = path.split("__")
        place: Any = body
        for key in way:
            place = place[int(key)] if isinstance(place, list) else place[key]
        place[last] = value
    return body


@dataclass(kw_only=True)
class Account:
    """A SamCart account, with the secret of its address."""

    marketplace: Marketplace
    secret: str
    client: Client = field(default_factory=Client)

    def post(self, body: Any, trigger: str = "", *, secret: str = "", **extra: Any) -> Any:
        """POST a body, bytes unchanged, else as JSON. `trigger` is written as in an address."""
        path = f"/hooks/samcart/{secret or self.secret}/" + (f"{trigger}/" if trigger else "")
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        extra.setdefault("content_type", "application/json")
        return self.client.generic("POST", path, raw, **extra)  # Keeps the bytes as they are.
