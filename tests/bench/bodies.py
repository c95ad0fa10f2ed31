"""Purchases as SamCart sends them, each by a new buyer."""

import json
from pathlib import Path
from typing import Any

_FILE = Path(__file__).parents[1] / "payloads" / "10_product_purchased_one_time.json"
_SAMPLE: dict[str, Any] = json.loads(_FILE.read_bytes())
PRODUCT = str(_SAMPLE["product"]["id"])


def email(number: int) -> str:
    """Return the address of the buyer with this number."""
    return f"buyer{number}@example.com"


def purchase(number: int) -> bytes:
    """Return the body of the purchase with this number; no two are the same."""
    customer = _SAMPLE["customer"] | {"email": email(number), "customer_id": 21_000_000 + number}
    order = _SAMPLE["order"] | {"id": 23_300_000 + number}
    product = _SAMPLE["product"] | {"transaction_id": f"ch_{number}"}
    body = _SAMPLE | {"customer": customer, "order": order, "product": product}
    return json.dumps(body).encode()
