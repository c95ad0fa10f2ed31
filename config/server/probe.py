"""Asking a web server of ours whether it serves."""

import http.client


def answers(host: str, port: int | None, path: str, *, seconds: float) -> bool:
    """Whether what listens there answers this path with 200, each wait within so many seconds."""
    line = http.client.HTTPConnection(host, port, timeout=seconds)
    try:
        line.request("GET", path)
        return line.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        line.close()
