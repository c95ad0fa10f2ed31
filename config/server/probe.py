"""Asks one of our web servers whether it serves."""

import http.client


def answers(host: str, port: int | None, path: str, *, seconds: float) -> bool:
    """Return whether the server answers this path with 200. `seconds` limits each wait."""
    line = http.client.HTTPConnection(host, port, timeout=seconds)
    try:
        line.request("GET", path)
        return line.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        line.close()
