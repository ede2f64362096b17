"""What users state about settings: files, environment, command line (routes spec §2.3)."""

from __future__ import annotations

import logging

import pytest

from holdfast.config.given import (
    Given,
    Note,
    given_by_arguments,
    given_by_environment,
    given_by_file,
    substitute,
    use_old_rundir,
    warnings_of,
)
from holdfast.config.ini import parse_ini


def by_file(text: str) -> tuple[dict[tuple[str, str], Given], tuple[str, ...]]:
    notes: list[Note] = []
    given = given_by_file(parse_ini(text, "p.conf"), notes)
    assert all(note.level == logging.WARNING for note in notes)
    return given, warnings_of(notes)


def test_settings_of_a_file_have_their_place() -> None:
    given, warnings = by_file("[proxy]\nsig_iss=me\n[runner]\nhttp_port=80, 81\n")
    assert given == {
        ("proxy", "sig_iss"): Given(("me",), "p.conf:2"),
        ("runner", "http_port"): Given(("80", "81"), "p.conf:4"),
    }
    assert given["runner", "http_port"].text == "80,81"
    assert warnings == ()


@pytest.mark.parametrize(
    ("text", "warning"),
    [
        ("[proxy]\ndebgu=1", "p.conf:2: unknown setting proxy/debgu; did you mean debug?"),
        ("[proxy]\nhttp_port=1", "p.conf:2: unknown setting proxy/http_port; it belongs into [runner]"),
        ("[proxi]\ndebug=1\nx=2", "p.conf:1: unknown section [proxi]; did you mean [proxy]?"),
        ("debug=1", "p.conf:1: debug stands before the first section, ignored"),
        ("[proxy]\n???", "p.conf:2: neither [section] nor key=value, ignored"),
    ],
)
def test_what_no_setting_has_is_named(text: str, warning: str) -> None:
    assert by_file(text) == ({}, (warning,))


def test_variables_are_taken_as_they_stand_and_lists_are_split() -> None:
    notes: list[Note] = []
    environ = {
        "HOME": "/",
        "HOLDFAST_PROXY_SIG_KEY": 'a,b;"c"',
        "HOLDFAST_RUNNER_HTTP_PORT": "80, 81",
        "HOLDFAST_HOLDFAST_IDLE_TIMEOUT": "5",
        "HOLDFAST_IDLE_TIMEOUT": "6",
        "HOLDFAST_STOP_TIMEOUT": "7",
    }
    assert given_by_environment(environ, notes) == {
        ("proxy", "sig_key"): Given(('a,b;"c"',), "environment variable HOLDFAST_PROXY_SIG_KEY"),
        ("runner", "http_port"): Given(("80", "81"), "environment variable HOLDFAST_RUNNER_HTTP_PORT"),
        ("holdfast", "idle_timeout"): Given(("5",), "environment variable HOLDFAST_HOLDFAST_IDLE_TIMEOUT"),
        ("holdfast", "stop_timeout"): Given(("7",), "environment variable HOLDFAST_STOP_TIMEOUT"),
    }
    assert notes == []


def test_unknown_variables_are_named() -> None:
    notes: list[Note] = []
    assert given_by_environment({"HOLDFAST_PROXY_SIG_KY": "x", "HOLDFASTX": "y"}, notes) == {}
    text = "unknown environment variable HOLDFAST_PROXY_SIG_KY; did you mean HOLDFAST_PROXY_SIG_KEY?"
    assert notes == [Note(logging.WARNING, text)]


def test_arguments() -> None:
    given = given_by_arguments({("runner", "http_port"): "80,81", ("global", "ipc_prefix"): "a,b"})
    assert given == {
        ("runner", "http_port"): Given(("80", "81"), "command line"),
        ("global", "ipc_prefix"): Given(("a,b",), "command line"),
    }


def test_the_old_rundir_counts_if_there_is_no_new_one() -> None:
    old, new = Given(("/old",), "f:1"), Given(("/new",), "f:2")
    notes: list[Note] = []
    given = {("runner", "rundir"): old}
    use_old_rundir(given, notes)
    assert given["global", "rundir"] == old
    assert warnings_of(notes) == ("f:1: rundir in [runner] section is deprecated. put in [global]",)
    given = {("runner", "rundir"): old, ("global", "rundir"): new}
    use_old_rundir(given, notes)
    assert given["global", "rundir"] == new
    assert len(notes) == 1


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("ipc://{rundir}/{ipc_prefix}x", "ipc:///run/p-x", id="routes-105 variables"),
        pytest.param("{unknown}", "{unknown}", id="other braces stay"),
        pytest.param("tcp://127.0.0.1:5560", "tcp://127.0.0.1:5570", id="routes-106 port"),
        pytest.param("tcp://[::1]:5560", "tcp://[::1]:5570", id="port behind IPv6"),
        pytest.param("tcp://*:1 tcp://b:2", "tcp://*:11 tcp://b:12", id="several"),
        pytest.param("http://a:80", "http://a:80", id="only tcp moves"),
        pytest.param("7999", "7999", id="bare ports stay"),
    ],
)
def test_substitution(text: str, expected: str) -> None:
    key = ("handler", "push_in_sub_specs")
    given = {key: Given(("x", text), "f:1")}
    names = {"rundir": "/run", "ipc_prefix": "p-"}
    assert substitute(given, names, 10) == {key: Given(("x", expected), "f:1")}
