"""Any configuration file: settings, or an error that names every problem; any value: one of its kind, or ValueError."""

from __future__ import annotations

import logging

from hypothesis import strategies as st
from tests.fuzz.mutations import mutated_text
from tests.fuzz.targets import fuzz

from holdfast.config.given import Given, Note, given_by_environment, given_by_file
from holdfast.config.ini import parse_ini, parse_value
from holdfast.config.listen import MAX_PORT, parse_listen
from holdfast.config.resolve import InvalidConfig, resolve
from holdfast.config.table import OPTIONS

SEEDS = [
    "[global]\nrundir=/run\nport_offset=10\n[runner]\nhttp_port=7999\nlog_level=2,proxy:3\n",
    '[runner]\nhttp_port=80, 127.0.0.1:81, "[::1]:82"\n[proxy]\nx_forwarded_for=truncate:0, append\n',
    '[proxy]\nsig_key="a;b\\"c\\x41\\101"\nx=y ; comment\n[handler]\nmessage_rate=2500\nmessage_hwm=25000\n',
    "[handler]\npush_in_http_port=5561\npush_in_spec=tcp://127.0.0.1:5560\nstats_report_interval=0.5\nipc_file_mode=777\n",
    "\ufeff# comment\n; comment\nkey=before\n[runner]\nkey\\\n = continued\\\\\n",
]
TOKENS = [
    "=", ",", '"', "\\", ";", "#", "[", "]", "\n", "\r\n", "\\x110000", "\\xd800", "\\777", "\\x" + "f" * 5000,
    "\\0", "{rundir}", "{libdir}", "-1", "99999999999999999999", "9" * 5000, "1e5", "0.0", "65536", "[::1]:0",
    "ipc:", "tcp://a:99999", "no", "FALSE", "\u0661", "\u00b2", "\udcff", "port_offset=", "log_level=:", "[proxy]",
    "[runner]\nhttp_port=",
]  # fmt: skip
FILES = mutated_text(SEEDS, TOKENS)


@fuzz(FILES, examples=200)
def test_any_file(text: str) -> None:
    ini = parse_ini(text, "x.conf")
    for value in ini.values.values():
        assert value.items and value.items == parse_value(value.raw)
        "".join(value.items).encode()
    notes: list[Note] = []
    given = given_by_file(ini, notes)
    try:
        resolve(given, has_file=True, notes=notes)
    except InvalidConfig as exc:
        assert exc.problems
        str(exc).encode()
    for note in notes:
        note.text.encode()
        logging.getLevelName(note.level)


ITEM_TEXTS = mutated_text(
    [
        "",
        "0",
        "1",
        "-5",
        "7999",
        "127.0.0.1:80",
        "[::1]:80",
        "true",
        "660",
        "0.5",
        "text",
        "2,proxy:3",
        "truncate:1",
        "append",
        "proxy-only",
    ],
    TOKENS,
)


@fuzz(st.lists(ITEM_TEXTS, min_size=1, max_size=3), examples=60)
def test_any_value_of_any_kind(items: list[str]) -> None:
    for option in OPTIONS.values():
        for texts in (tuple(items), option.kind.split(items[0])):
            try:
                value = option.kind.parse(texts)
            except ValueError as exc:
                str(exc).encode()
                continue
            assert option.kind.parse(texts) == value
            option.kind.advise(texts)


@fuzz(ITEM_TEXTS, st.sampled_from(sorted(OPTIONS)))
def test_any_value_of_the_environment(text: str, key: tuple[str, str]) -> None:
    notes: list[Note] = []
    variable = OPTIONS[key].variable
    given = given_by_environment({variable: text, f"{variable}_X": text, "HOLDFAST_": text}, notes)
    assert isinstance(given[key], Given)
    try:
        settings = resolve(given, has_file=False, notes=notes)
    except InvalidConfig as exc:
        assert exc.problems
        return
    f"{settings.proxy.sig_key}{settings.proxy.sig_iss}{settings.handler}{settings.runner}".encode()


@fuzz(
    mutated_text(["80", "127.0.0.1:80", "localhost:8080", "[::1]:80", "[fe80::1%eth0]:80", "::1"], TOKENS), examples=200
)
def test_any_address(text: str) -> None:
    try:
        listen = parse_listen(text)
    except ValueError:
        return
    assert 1 <= listen.port <= MAX_PORT
    assert parse_listen(str(listen)) == listen
