"""A new switch or fault of the sandbox is available over the wire at once."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import pytest
import requests

from integrations.thinkific.sandbox import Switches, api, faults, state
from integrations.thinkific.sandbox.fault_effects import ACTS, FaultContext
from integrations.thinkific.sandbox.wire import Reply
from tests.support.sandbox_school import Place, opened


@dataclass(slots=True)
class MoreSwitches(Switches):
    user_list: Literal["open", "hidden"] = "open"
    """GET /users: answered, or refused as if there was no such thing."""


def list_users(ask: api.RouteRequest) -> Reply:
    assert isinstance(ask.school.switches, MoreSwitches)
    return Reply(404) if ask.school.switches.user_list == "hidden" else Reply(200)


def teapot(scene: FaultContext) -> None:
    """An answer that no API should give."""
    scene.applied()
    scene.send(Reply(418))


@pytest.fixture
def place(monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    """A sandbox with one more switch and one more fault, added where the recipe says."""
    monkeypatch.setattr(state, "Switches", MoreSwitches)
    monkeypatch.setitem(api.ROUTES, "GET /users", list_users)
    monkeypatch.setattr(faults, "KINDS", (*faults.KINDS, "teapot"))
    monkeypatch.setitem(ACTS, "teapot", teapot)
    with opened() as place:
        yield place


def control(place: Place, what: str, **values: Any) -> requests.Response:
    return requests.post(f"{place.sandbox.origin}/_sandbox/{what}", json=values, timeout=5)


def test_a_new_switch_is_flipped_and_checked_for_all_or_for_one_school(place: Place):
    assert control(place, "switches", user_list="hidden").json()["user_list"] == "hidden"
    assert place.call("GET", "/users").status_code == 404
    refused = control(place, "switches", user_list="ajar")
    assert refused.json() == {
        "error": "user_list must be one of ('open', 'hidden'), not 'ajar'.",
    }
    assert control(place, "switches?school=acme", user_list="open").ok
    assert place.call("GET", "/users").status_code == 200


def test_a_new_fault_strikes_the_call_it_is_for(place: Place):
    assert control(place, "faults", kind="teapot", path="^/products").ok
    paths = ("/users", "/products", "/products")
    assert [place.call("GET", path).status_code for path in paths] == [200, 418, 200]
