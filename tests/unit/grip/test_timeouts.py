"""The parameter `timeout` of Grip headers."""

from __future__ import annotations

import pytest

from holdfast.errors import GripError
from holdfast.grip.timeouts import parse_timeout
from holdfast.wire.params import parse_params


def timeout_of(value: bytes) -> int:
    params = parse_params(value)
    assert params is not None
    return parse_timeout(params, "Grip-X", 7)


@pytest.mark.parametrize(
    ("value", "expected_s"),
    [(b"a", 7), (b"a; timeout=0", 0), (b"a; TimeOut=12", 12), (b"a; timeout=' 3 '", 3)],
)
def test_timeout(value: bytes, expected_s: int) -> None:
    assert timeout_of(value.replace(b"'", b'"')) == expected_s


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (b"a; timeout=", "failed to parse Grip-X timeout value"),
        (b"a; timeout=1s", "failed to parse Grip-X timeout value"),
        (b"a; timeout=99999999999", "failed to parse Grip-X timeout value"),
        (b"a; timeout=-1", "Grip-X timeout has invalid value"),
    ],
)
def test_no_timeout(value: bytes, message: str) -> None:
    with pytest.raises(GripError) as caught:
        timeout_of(value)
    assert str(caught.value) == message
