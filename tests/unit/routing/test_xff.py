"""X-Forwarded-For (routes spec §3.5 step 11)."""

from __future__ import annotations

import pytest

from holdfast.routing.xff import MERGE_ONLY, XffRule, parse_xff_rule


@pytest.mark.parametrize(
    ("items", "rule"),
    [
        ([], MERGE_ONLY),
        (["append"], XffRule(None, True)),
        (["truncate:1", "append"], XffRule(1, True)),
        (["truncate:0"], XffRule(0, False)),
        (["truncate: 2"], XffRule(2, False)),
        (["truncate:-1", "append"], XffRule(None, True)),
        (["truncate:x", "append"], MERGE_ONLY),
        (["append", "truncate:"], XffRule(None, True)),
        (["other", "append"], XffRule(None, True)),
        pytest.param(["truncate:0,append"], MERGE_ONLY, id="routes-55-quoted"),
        pytest.param(["truncate:" + "9" * 5000, "append"], MERGE_ONLY, id="too-large"),
        pytest.param(["truncate:٣"], MERGE_ONLY, id="not-ascii"),
    ],
)
def test_parse(items: list[str], rule: XffRule) -> None:
    assert parse_xff_rule(items) == rule


THREE = [b"1.1.1.1, 2.2.2.2", b"3.3.3.3"]


@pytest.mark.parametrize(
    ("items", "values", "expected"),
    [
        pytest.param(["append"], THREE, b"1.1.1.1, 2.2.2.2, 3.3.3.3, CLIENT", id="routes-53"),
        pytest.param(["truncate:0", "append"], THREE, b"CLIENT", id="routes-54-only-ours"),
        pytest.param(["truncate:1"], THREE, b"3.3.3.3", id="routes-54-last"),
        pytest.param(["truncate:0"], THREE, None, id="routes-54-none"),
        pytest.param(["truncate:1", "append"], [b"1.1.1.1, 2.2.2.2"], b"2.2.2.2, CLIENT", id="example"),
        pytest.param(["truncate:9"], THREE, b"1.1.1.1, 2.2.2.2, 3.3.3.3", id="truncate-more"),
        pytest.param([], THREE, b"1.1.1.1, 2.2.2.2, 3.3.3.3", id="merged-without-rule"),
        pytest.param([], [b" , "], None, id="nothing-in-it"),
        pytest.param([], None, None, id="no-header"),
        pytest.param(["append"], None, b"CLIENT", id="append-to-nothing"),
        pytest.param(["truncate:1"], None, None, id="truncate-nothing"),
    ],
)
def test_apply(items: list[str], values: list[bytes] | None, expected: bytes | None) -> None:
    assert parse_xff_rule(items).apply(values, "CLIENT") == expected


def test_a_client_on_a_unix_socket_has_an_empty_address_and_nobody_none() -> None:
    assert XffRule(append=True).apply([b"1.1.1.1"], "") == b"1.1.1.1, "
    assert XffRule(append=True).apply(None, "") == b""
    assert XffRule(append=True).apply([b"1.1.1.1"], None) == b"1.1.1.1"
    assert XffRule(append=True).apply(None, None) is None
