"""Fixtures of the tests that speak to servers on raw sockets."""

import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest

from integrations.calls import deadline
from tests.support.wire import certificate


@pytest.fixture
def trusted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ssl.SSLContext]:
    """A TLS context of a server whose authority new threads trust."""
    context, authority = certificate(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(authority))
    deadline.tls_context.cache_clear()
    yield context
    deadline.tls_context.cache_clear()
