"""Client certificates of targets (routes spec §1.5)."""

from __future__ import annotations

import pytest
from tests.unit.routing.helpers import load, load_raw, make_defaults, make_rule

from holdfast.routing.parse import ProblemKind
from holdfast.wire.identity import ClientIdentity

FILES = {"a.crt": b"A1", "a.key": b"K1", "b.key": b"K2"}
DEFAULTS = make_defaults(files=FILES)


@pytest.mark.parametrize(
    ("props", "expected"),
    [
        ("", None),
        (",client_cert=a.crt", ClientIdentity(b"A1")),
        (",client_cert=a.crt,client_key=", ClientIdentity(b"A1")),
        (",client_cert=a.crt,client_key=a.key", ClientIdentity(b"A1", b"K1")),
        (",client_cert=", None),
    ],
)
def test_identity(props: str, expected: ClientIdentity | None) -> None:
    first, second = make_rule(f"* h:80,ssl{props} i:80,ssl", DEFAULTS).targets
    assert first.identity == expected
    assert second.identity is None


@pytest.mark.parametrize(
    ("props", "problem"),
    [
        ("client_cert=x", "failed to open x: No such file or directory"),
        ("client_cert=a.crt,client_key=x", "failed to open x: No such file or directory"),
        ("client_cert=a.crt,client_key=b.key", "client certificate a.crt and b.key cannot be used: no pair"),
    ],
)
def test_line_is_left_out(props: str, problem: str) -> None:
    table, problems = load(f"* h:80,ssl i:80,ssl,{props}", DEFAULTS)
    assert (len(table), problems) == (0, [f"routes:1: {problem}"])


def test_name_that_none_can_be() -> None:
    def read_file(path: str) -> bytes:
        raise ValueError("embedded null byte")

    defaults = make_defaults()
    object.__setattr__(defaults, "read_file", read_file)
    assert load("* h:80,client_cert=x", defaults)[1] == ["routes:1: failed to open x: embedded null byte"]


def test_identity_that_cannot_be_used_alone() -> None:
    defaults = make_defaults(files={"a.crt": b""})
    assert load("* h:80,client_cert=a.crt", defaults)[1] == [
        "routes:1: client certificate a.crt cannot be used: no certificate"
    ]


def test_key_without_certificate() -> None:
    table, (problem,) = load_raw("* h:80,client_key=x", DEFAULTS)
    (rule,) = table
    assert (rule.targets[0].identity, problem.kind) == (None, ProblemKind.ADJUSTED)
    assert str(problem) == "routes:1: h:80: client_key without client_cert is ignored"


def test_duplicate_is_said_once() -> None:
    assert load("* h:80\n* h:80,client_key=x", DEFAULTS)[1] == ["routes:2 skipping duplicate condition"]
