"""The kinds of values (routes spec §2.2, §2.4)."""

from __future__ import annotations

from enum import Enum
from typing import Any

import pytest

from holdfast.config import kinds
from holdfast.config.kinds import Kind, choice, integer, ports
from holdfast.config.listen import Listen
from holdfast.config.log_levels import LogLevels
from holdfast.routing.forward import SetForwardedProto
from holdfast.routing.xff import XffRule


class Fruit(Enum):
    APPLE = "apple"
    PEAR = "pear"


@pytest.mark.parametrize(
    ("kind", "items", "expected"),
    [
        pytest.param(kinds.TEXT, (" a ",), " a ", id="text"),
        pytest.param(kinds.PATH, ("a/b",), "a/b", id="path"),
        pytest.param(kinds.TEXTS, ("a", "", "b"), ("a", "b"), id="texts drop empty items"),
        pytest.param(kinds.TEXTS, ("",), (), id="no texts"),
        pytest.param(kinds.BOOLEAN, ("",), False, id="empty is false"),
        pytest.param(kinds.BOOLEAN, ("0",), False, id="0 is false"),
        pytest.param(kinds.BOOLEAN, ("False",), False, id="routes-103 False is false"),
        pytest.param(kinds.BOOLEAN, ("no",), True, id="routes-103 no is true"),
        pytest.param(kinds.BOOLEAN, ("off",), True, id="off is true"),
        pytest.param(kinds.BOOLEAN, ("00",), True, id="00 is true"),
        pytest.param(kinds.SECONDS, ("0.25",), 0.25, id="seconds"),
        pytest.param(kinds.SECONDS, ("30",), 30.0, id="whole seconds"),
        pytest.param(kinds.POSITIVE, ("7",), 7, id="positive"),
        pytest.param(kinds.POSITIVE, ("0",), None, id="zero is none"),
        pytest.param(kinds.POSITIVE, ("-1",), None, id="negative is none"),
        pytest.param(kinds.POSITIVE, ("",), None, id="empty is none"),
        pytest.param(kinds.OCTAL, ("660",), 0o660, id="octal"),
        pytest.param(kinds.OCTAL, ("",), None, id="no mode"),
        pytest.param(kinds.PORT_NUMBER, ("5561",), 5561, id="port"),
        pytest.param(kinds.PORT_NUMBER, ("-1",), None, id="no port"),
        pytest.param(kinds.LISTEN, ("80",), Listen("0.0.0.0", 80), id="listen"),
        pytest.param(kinds.LISTEN, ("",), None, id="listen nowhere"),
        pytest.param(kinds.LOG_FORMAT, ("json",), "json", id="log format"),
        pytest.param(kinds.LOG_LEVELS, ("",), LogLevels(2, {}), id="no log level"),
        pytest.param(kinds.LOG_LEVELS, ("1", "proxy:3"), LogLevels(1, {"proxy": 3}), id="log levels"),
        pytest.param(kinds.XFF, ("truncate:1", "append"), XffRule(1, True), id="X-Forwarded-For"),
        pytest.param(kinds.SET_FORWARDED_PROTO, ("true",), SetForwardedProto.TRUE, id="proto true"),
        pytest.param(kinds.SET_FORWARDED_PROTO, ("proto-only",), SetForwardedProto.PROTO_ONLY, id="proto only"),
        pytest.param(kinds.SET_FORWARDED_PROTO, ("True",), SetForwardedProto.NONE, id="proto is compared exactly"),
        pytest.param(choice(Fruit), ("pear",), Fruit.PEAR, id="choice"),
        pytest.param(integer(0), ("0",), 0, id="integer at its minimum"),
        pytest.param(integer(1, 3), ("+3",), 3, id="integer at its maximum"),
        pytest.param(ports("http"), ("",), (), id="no ports"),
        pytest.param(
            ports("http"), ("80", "", "[::1]:81"), (Listen("0.0.0.0", 80), Listen("::1", 81)), id="several ports"
        ),
    ],
)
def test_valid(kind: Kind[Any], items: tuple[str, ...], expected: object) -> None:
    assert kind.parse(items) == expected


@pytest.mark.parametrize(
    ("kind", "items", "text"),
    [
        (kinds.SECONDS, ("0",), '"0" is not a number of seconds greater than 0'),
        (kinds.SECONDS, ("-1",), '"-1" is not a number of seconds greater than 0'),
        (kinds.SECONDS, ("nan",), '"nan" is not a number of seconds greater than 0'),
        (kinds.POSITIVE, ("many",), '"many" is not a whole number'),
        (kinds.OCTAL, ("8",), '"8" is not an octal file mode such as 660'),
        (kinds.PORT_NUMBER, ("65536",), '"65536" is not a port from 1 to 65535'),
        (kinds.LISTEN, ("ipc://x",), '"ipc://x": ipc addresses are not supported, use PORT or ADDR:PORT'),
        (kinds.LISTEN, ("x",), "x has no port from 1 to 65535"),
        (kinds.LOG_FORMAT, ("xml",), '"xml" is none of text, json'),
        (choice(Fruit), ("plum",), '"plum" is none of apple, pear'),
        (integer(1), ("0",), '"0" is not a whole number of at least 1'),
        (integer(1), ("",), '"" is not a whole number of at least 1'),
        (integer(1), ("1.5",), '"1.5" is not a whole number of at least 1'),
        (integer(1, 3), ("4",), '"4" is not a whole number from 1 to 3'),
        (ports("https"), ("80", "0.0.0.0:X"), "invalid https port: 0.0.0.0:X"),
    ],
)
def test_invalid(kind: Kind[Any], items: tuple[str, ...], text: str) -> None:
    with pytest.raises(ValueError) as caught:
        kind.parse(items)
    assert str(caught.value) == text


@pytest.mark.parametrize(
    ("kind", "items", "expected"),
    [
        pytest.param(kinds.TEXT, ("no",), None, id="texts need none"),
        pytest.param(kinds.BOOLEAN, ("true",), None, id="boolean"),
        pytest.param(
            kinds.BOOLEAN, ("Off",), "Off means true; only an empty value, 0 and false mean false", id="false friend"
        ),
        pytest.param(kinds.XFF, ("", "truncate:0", "append"), None, id="X-Forwarded-For"),
        pytest.param(
            kinds.XFF,
            ("truncate:0,append",),
            '"truncate:0,append" has no effect; the items are truncate:N and append, without quotes around the list',
            id="routes-55 quoted X-Forwarded-For",
        ),
        pytest.param(kinds.SET_FORWARDED_PROTO, ("true",), None, id="proto"),
        pytest.param(kinds.SET_FORWARDED_PROTO, ("Off",), None, id="no proto"),
        pytest.param(
            kinds.SET_FORWARDED_PROTO,
            ("True",),
            "True means false; only exactly true and proto-only have an effect",
            id="proto in another spelling",
        ),
    ],
)
def test_advice(kind: Kind[Any], items: tuple[str, ...], expected: str | None) -> None:
    assert kind.advise(items) == expected


def test_values_from_outside_a_file_are_split_only_where_lists_are_expected() -> None:
    assert kinds.TEXT.split("a, b;c") == ("a, b;c",)
    assert kinds.TEXTS.split("a, b") == ("a", "b")
