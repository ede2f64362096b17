"""Which requests come from web pages: the marks that browsers leave (decision 14)."""

from __future__ import annotations

import pytest

from holdfast.control.web_pages import CROSS_ORIGIN, UNKNOWN_NAME, refusal_of_page
from holdfast.wire.http1.head import HeadLimits, parse_request_head

NAMES = {"holdfast.example"}
FIREFOX = "User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0"


def refusal(host: str | None, *fields: str, method: str = "POST") -> str | None:
    lines = [f"{method} /publish/ HTTP/1.1", *([] if host is None else [f"Host: {host}"]), *fields, "", ""]
    parsed = parse_request_head("\r\n".join(lines).encode(), HeadLimits())
    assert parsed is not None
    return refusal_of_page(parsed[0], NAMES)


@pytest.mark.parametrize(
    ("host", "fields"),
    [
        pytest.param("localhost:5561", [], id="curl"),
        pytest.param("holdfast:5561", [], id="a service of a container, asked by any name"),
        pytest.param(None, [], id="HTTP/1.0"),
        pytest.param("holdfast:5561", ["User-Agent: node", "Sec-Fetch-Mode: cors", "Accept-Language: *"], id="Node"),
        pytest.param("prometheus.internal", ["User-Agent: Prometheus/2.54.1"], id="Prometheus"),
        pytest.param("[::1]:5561", ["Origin: http://[::1]:5561"], id="own page, IPv6"),
        pytest.param("127.0.0.1:5561", ["Origin: http://127.0.0.1:5561"], id="own page, IPv4"),
        pytest.param("LOCALHOST:5561", ["Origin: http://localhost:5561", "Sec-Fetch-Site: same-origin"], id="case"),
        pytest.param("a.localhost", ["Origin: http://a.localhost"], id="below localhost"),
        pytest.param("holdfast.example", ["Origin: https://holdfast.example"], id="a name that is stated"),
        pytest.param("localhost:9000", ["Sec-Fetch-Site: none", FIREFOX], id="somebody typed the address"),
        pytest.param("192.0.2.7:9000", [FIREFOX], id="by address"),
    ],
)
def test_let_through(host: str | None, fields: list[str]) -> None:
    assert refusal(host, *fields) is None


@pytest.mark.parametrize(
    ("host", "fields", "expected"),
    [
        pytest.param("localhost:5561", ["Origin: https://evil.example"], CROSS_ORIGIN, id="another site"),
        pytest.param("localhost:5561", ["Origin: http://localhost:3000"], CROSS_ORIGIN, id="another port"),
        pytest.param("localhost:5561", ["Origin: http://localhost"], CROSS_ORIGIN, id="no port"),
        pytest.param("localhost:5561", ["Origin: http://127.0.0.1:5561"], CROSS_ORIGIN, id="another name of it"),
        pytest.param("localhost:5561", ["Origin: null"], CROSS_ORIGIN, id="a sandbox, or a file"),
        pytest.param("localhost:5561", ["Origin:"], CROSS_ORIGIN, id="empty"),
        pytest.param(None, ["Origin: null"], UNKNOWN_NAME, id="no Host: neither has an authority"),
        pytest.param("localhost:5561", ["Sec-Fetch-Site: cross-site"], CROSS_ORIGIN, id="an image"),
        pytest.param("localhost:5561", ["Sec-Fetch-Site: same-site"], CROSS_ORIGIN, id="an image of a neighbour"),
        pytest.param("localhost:5561", ["Sec-Fetch-Site: new"], CROSS_ORIGIN, id="a value that is not known"),
        pytest.param(
            "localhost:5561",
            ["Origin: http://localhost:5561", "Origin: https://evil.example"],
            CROSS_ORIGIN,
            id="two origins",
        ),
        pytest.param("evil.example:5561", ["Origin: http://evil.example:5561"], UNKNOWN_NAME, id="rebinding, POST"),
        pytest.param("evil.example:9000", [FIREFOX], UNKNOWN_NAME, id="rebinding, GET"),
        pytest.param("localhost.evil.example", [FIREFOX], UNKNOWN_NAME, id="looks like localhost"),
        pytest.param("evillocalhost", [FIREFOX], UNKNOWN_NAME, id="ends like localhost"),
        pytest.param("127.0.0.1.evil.example", [FIREFOX], UNKNOWN_NAME, id="looks like an address"),
        pytest.param("a@localhost", [FIREFOX], UNKNOWN_NAME, id="no host"),
    ],
)
def test_refused(host: str | None, fields: list[str], expected: str) -> None:
    assert refusal(host, *fields) == expected
