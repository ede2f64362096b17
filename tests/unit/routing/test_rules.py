"""Rules as values, and the ids of those that name none (routes spec §1.8)."""

from __future__ import annotations

import pytest

from holdfast.routing.rules import Proto, Rule, Target, TargetKind, derive_id
from holdfast.wire.headers import Header

TARGETS = (Target(TargetKind.HOST, "h:80", "h", 80),)


@pytest.mark.parametrize(
    ("proto", "ssl", "path_beg", "expected"),
    [
        (None, None, None, "m.com,*,*,*"),
        (None, False, b"/f", "m.com,*,ssl,/f"),
        (None, True, b"/f", "m.com,*,no-ssl,/f"),
        (Proto.HTTP, None, None, "m.com,http,*,*"),
        (Proto.WS, True, None, "m.com,ws,no-ssl,*"),
    ],
)
def test_derived_id(proto: Proto | None, ssl: bool | None, path_beg: bytes | None, expected: str) -> None:
    assert derive_id("m.com", proto, ssl, path_beg) == expected


@pytest.mark.parametrize(
    ("sets", "names", "appended"),
    [
        pytest.param([], set(), [], id="none"),
        pytest.param([(b"X", b"1"), (b"X", b"2")], {b"x"}, [(b"X", b"1")], id="routes-36-first-wins"),
        pytest.param([(b"X-A", b"")], {b"x-a"}, [], id="routes-36-removes"),
        pytest.param([(b"X", b""), (b"x", b"2")], {b"x"}, [], id="first-removes"),
        pytest.param(
            [(b"X", b"1"), (b"Y", b"2"), (b"x", b"3")], {b"x", b"y"}, [(b"Y", b"2"), (b"X", b"1")], id="reverse-order"
        ),
    ],
)
def test_header_sets(sets: list[Header], names: set[bytes], appended: list[Header]) -> None:
    rule = Rule(place="r:1", domain="a", id="a", targets=TARGETS, header_sets=tuple(sets))
    assert rule.set_names == names
    assert list(rule.set_headers) == appended


@pytest.mark.parametrize(
    ("rule", "condition"),
    [
        (Rule(place="r:1", domain="*", id="*,*,*,*", targets=TARGETS), "*"),
        (
            Rule(
                place="r:1",
                domain="",
                id="i",
                targets=TARGETS,
                has_explicit_id=True,
                proto=Proto.WS,
                ssl=False,
                path_beg=b"/a",
            ),
            ",proto=ws,ssl=no,path_beg=/a,id=i",
        ),
        (Rule(place="r:1", domain="a.com", id="x", targets=TARGETS, ssl=True), "a.com,ssl=yes"),
    ],
)
def test_condition_for_people(rule: Rule, condition: str) -> None:
    assert rule.condition == condition
