from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.errors import GripError
from holdfast.grip.keep_alive import parse_keep_alive
from holdfast.grip.values import KeepAlive, KeepAliveMode

IDLE = KeepAliveMode.IDLE
INTERVAL = KeepAliveMode.INTERVAL

VALUES: list[tuple[str, bytes, KeepAlive | None]] = [
    ("empty is absent", b"", None),
    ("blank is absent", b" ", None),
    ("unclosed quote is absent", b'a; timeout="5', None),
    ("defaults", b"a", KeepAlive(b"a", 55, IDLE)),
    ("grip-20: raw", b"a\\n", KeepAlive(b"a\\n", 55, IDLE)),
    ("grip-20: raw by name", b"a\\n; format=raw", KeepAlive(b"a\\n", 55, IDLE)),
    ("grip-20: cstring", b"a\\n; format=cstring", KeepAlive(b"a\n", 55, IDLE)),
    ("grip-20: base64", b"AAE=; format=base64", KeepAlive(b"\0\1", 55, IDLE)),
    ("lenient base64", b"A.A*E; format=base64", KeepAlive(b"\0\1", 55, IDLE)),
    ("all escapes", b"\\\\ \\r \\n \\x00\\xfF; format=cstring", KeepAlive(b"\\ \r \n \0\xff", 55, IDLE)),
    ("other escapes vanish whole", b"a\\tb\\0c\\\xe9; format=cstring", KeepAlive(b"abc", 55, IDLE)),
    ("quotes are data", b'"a"', KeepAlive(b'"a"', 55, IDLE)),
    ("commas are data", b"a, b", KeepAlive(b"a, b", 55, IDLE)),
    ("timeout", b"a; timeout=20", KeepAlive(b"a", 20, IDLE)),
    ("grip-21: timeout 0 is 1", b"a; timeout=0", KeepAlive(b"a", 1, IDLE)),
    ("parameter without value is absent", b"a; timeout; mode; format", KeepAlive(b"a", 55, IDLE)),
    ("parameter names ignore case", b"a; TimeOut=2; MODE=interval", KeepAlive(b"a", 2, INTERVAL)),
    ("mode idle", b"a; mode=idle", KeepAlive(b"a", 55, IDLE)),
    ("unknown parameters", b"a; x=y", KeepAlive(b"a", 55, IDLE)),
]


@pytest.mark.parametrize(("value", "expected"), [case[1:] for case in VALUES], ids=[case[0] for case in VALUES])
def test_values(value: bytes, expected: KeepAlive | None) -> None:
    assert parse_keep_alive(value) == expected


ERRORS = [
    (b"; timeout=5", "Grip-Keep-Alive cannot be empty"),
    (b";", "Grip-Keep-Alive cannot be empty"),
    (b"a; mode=Idle", "no such Grip-Keep-Alive mode 'Idle'"),
    (b"a; mode=", "no such Grip-Keep-Alive mode ''"),
    (b"a; timeout=abc", "failed to parse Grip-Keep-Alive timeout value"),
    (b"a; timeout=1.5", "failed to parse Grip-Keep-Alive timeout value"),
    (b"a; timeout=", "failed to parse Grip-Keep-Alive timeout value"),
    (b"a; timeout=2, b; timeout=3", "failed to parse Grip-Keep-Alive timeout value"),
    (b"a; timeout=-1", "Grip-Keep-Alive timeout has invalid value"),
    (b"a; format=hex", "no such Grip-Keep-Alive format 'hex'"),
    (b"a; format=\xff", "no such Grip-Keep-Alive format '\ufffd'"),
    (b"a\\; format=cstring", "failed to parse Grip-Keep-Alive cstring format"),
    (b"a\\x1; format=cstring", "failed to parse Grip-Keep-Alive cstring format"),
    (b"a\\xzz; format=cstring", "failed to parse Grip-Keep-Alive cstring format"),
    (b"a\\; format=cstring; timeout=-1", "Grip-Keep-Alive timeout has invalid value"),
    (b"a; timeout=x; mode=x", "no such Grip-Keep-Alive mode 'x'"),
]


@pytest.mark.parametrize(("value", "text"), ERRORS, ids=[repr(value) for value, _ in ERRORS])
def test_errors(value: bytes, text: str) -> None:
    with pytest.raises(GripError) as caught:
        parse_keep_alive(value)
    assert str(caught.value) == text


@given(st.binary(min_size=1))
def test_cstring_spells_any_data(data: bytes) -> None:
    spelled = b"".join(b"\\x%02x" % byte for byte in data)
    assert parse_keep_alive(spelled + b"; format=cstring") == KeepAlive(data, 55, IDLE)
