"""The headers that ``aco`` adds to answers, and the rest of an answer's headers."""

from __future__ import annotations

from tests.harness.messages import HeaderList, Response

METHODS = ("Access-Control-Allow-Methods", "OPTIONS, HEAD, GET, POST, PUT, DELETE")
CREDENTIALS = ("Access-Control-Allow-Credentials", "true")
ANY_ORIGIN = ("Access-Control-Allow-Origin", "*")
MAX_AGE = ("Access-Control-Max-Age", "3600")
USUAL = [METHODS, CREDENTIALS, ANY_ORIGIN, MAX_AGE]


def allowed(*names: str) -> tuple[str, str]:
    """The request headers that are allowed."""
    return ("Access-Control-Allow-Headers", ", ".join(names))


def exposed(*names: str) -> tuple[str, str]:
    """The response headers that a script may read."""
    return ("Access-Control-Expose-Headers", ", ".join(names))


def exposing(*names: str) -> HeaderList:
    """The usual headers of an answer of which a script may read some headers."""
    return [METHODS, exposed(*names), CREDENTIALS, ANY_ORIGIN, MAX_AGE]


def without_framing(response: Response) -> HeaderList:
    """The headers of a response apart from those that say where it ends."""
    framing = ("connection", "content-length", "transfer-encoding")
    return [header for header in response.headers if header[0].lower() not in framing]
