"""Stated values become settings, or all of their problems (routes spec §2.2-§2.4)."""

from __future__ import annotations

import logging
from dataclasses import replace

import pytest

from holdfast.config.given import Note, given_by_environment, given_by_file, warnings_of
from holdfast.config.ini import parse_ini
from holdfast.config.listen import Listen
from holdfast.config.resolve import InvalidConfig, resolve
from holdfast.config.settings import HandlerSettings, ProxySettings, RunnerSettings, Settings
from holdfast.routing.forward import SetForwardedProto
from holdfast.routing.xff import XffRule

PORT = "[runner]\nhttp_port=80\n"


def resolved(text: str) -> tuple[Settings, list[Note]]:
    notes: list[Note] = []
    return resolve(given_by_file(parse_ini(text, "f"), notes), has_file=True, notes=notes), notes


def problems(text: str) -> tuple[str, ...]:
    with pytest.raises(InvalidConfig) as caught:
        resolved(text)
    assert str(caught.value) == "\n".join(caught.value.problems)
    return caught.value.problems


def test_without_a_file_the_shipped_configuration_holds() -> None:
    notes: list[Note] = []
    assert resolve({}, has_file=False, notes=notes) == Settings()
    assert notes == []


def test_a_file_without_keys_means_what_it_means_to_pushpin() -> None:
    """Column "if absent" of routes spec §2.4."""
    settings, notes = resolved(PORT)
    shipped = Settings()
    expected = replace(
        shipped,
        runner=RunnerSettings(http_port=(Listen("0.0.0.0", 80),)),
        proxy=ProxySettings(sig_key="", set_x_forwarded_protocol=SetForwardedProto.NONE, sockjs_url=""),
        handler=HandlerSettings(push_in_http_addr="", push_in_http_port=None, id_cache_ttl=0),
    )
    assert settings == expected
    assert notes == []


def test_values_are_typed() -> None:
    settings, _ = resolved(
        PORT + "log_level=1,proxy:3\n[proxy]\nx_forwarded_for=truncate:0,append\ndebug=false\nlog_from=1\n"
        "set_x_forwarded_protocol=true\nmax_open_requests=5\n[handler]\nprometheus_port=127.0.0.1:9100\n"
        "[holdfast]\nidle_timeout=0.5\nlog_format=json\n"
    )
    assert settings.runner.log_level.components == {"proxy": 3}
    assert settings.proxy.x_forwarded_for == XffRule(0, True)
    assert (settings.proxy.debug, settings.proxy.log_from) == (False, True)
    assert settings.proxy.set_x_forwarded_protocol is SetForwardedProto.TRUE
    assert settings.proxy.max_open_requests == 5
    assert settings.prometheus_listen == Listen("127.0.0.1", 9100)
    assert (settings.holdfast.idle_timeout, settings.holdfast.log_format) == (0.5, "json")


@pytest.mark.parametrize(
    ("text", "issuer", "warnings"),
    [
        pytest.param(
            "sig_iss=a, b",
            "",
            (
                "f:4: proxy/sig_iss: a list where one text is expected counts as empty; "
                "put a text with commas in double quotes",
            ),
            id="routes-104 list",
        ),
        pytest.param("sig_iss=a;b", "a", (), id="routes-104 comment"),
        pytest.param('sig_iss="a, b"', "a, b", (), id="quoted"),
        pytest.param("", "pushpin", (), id="absent"),
    ],
)
def test_issuer(text: str, issuer: str, warnings: tuple[str, ...]) -> None:
    settings, notes = resolved(f"{PORT}[proxy]\n{text}\n")
    assert settings.proxy.sig_iss == issuer
    assert warnings_of(notes) == warnings


def test_what_is_probably_not_meant_is_a_warning() -> None:
    """routes-103: `debug=no` is true."""
    settings, notes = resolved(f"{PORT}[proxy]\ndebug=no\n")
    assert settings.proxy.debug is True
    assert warnings_of(notes) == ("f:4: proxy/debug: no means true; only an empty value, 0 and false mean false",)


def test_all_problems_are_told_at_once() -> None:
    """Golden."""
    assert problems(
        "[global]\nport_offset=x\n[runner]\nhttp_port=0.0.0.0:X\nclient_maxconn=many\nlog_level=-1\n"
        "https_ports=[::1]:x\nlocal_ports=/a?mode=9\n[proxy]\n[handler]\nstate_spec=tcp://a:1\npush_in_http_port=99999\nmessage_wait=soon\n"
        "[holdfast]\noutbox_policy=wait\n"
    ) == (
        'f:2: global/port_offset: "x" is not a whole number from 0 to 65535',
        "f:4: runner/http_port: invalid http port: 0.0.0.0:X",
        "f:7: runner/https_ports: invalid https port: [::1]:x",
        "f:8: runner/local_ports: invalid local port: /a?mode=9",
        "f:6: runner/log_level: log level must be greater than or equal to 0",
        'f:5: runner/client_maxconn: "many" is not a whole number of at least 1',
        'f:12: handler/push_in_http_port: "99999" is not a port from 1 to 65535',
        'f:13: handler/message_wait: "soon" is not a whole number of at least 0',
        'f:15: holdfast/outbox_policy: "wait" is none of disconnect, drop',
        "f:11: handler/state_spec: tcp://a:1 is not supported yet: there are no GRIP sessions; leave this empty",
    )


@pytest.mark.parametrize("text", ["", "[runner]\nhttp_port=\n"])
def test_no_port_at_all(text: str) -> None:
    """routes-109."""
    assert problems(text) == ("no server ports configured",)


def test_a_moved_port_must_still_be_one() -> None:
    assert problems(f"[global]\nport_offset=65000\n{PORT}[handler]\npush_in_http_port=5561\n") == (
        "handler/push_in_http_port 5561 plus port_offset is 70561, more than 65535",
    )


def test_the_port_offset_moves_control_ports_only() -> None:
    """routes-106."""
    settings, _ = resolved(
        f"[global]\nport_offset=10\n{PORT}[handler]\npush_in_http_addr=127.0.0.1\npush_in_http_port=5561\n"
        "push_in_spec=tcp://127.0.0.1:5560\n"
    )
    assert settings.publish_listen == Listen("127.0.0.1", 5571)
    assert settings.runner.http_port == (Listen("0.0.0.0", 80),)
    assert settings.handler.push_in_spec == "tcp://127.0.0.1:5570"


@pytest.mark.parametrize(
    ("setting", "note"),
    [
        pytest.param("[proxy]\nstats_report_interval=10", None, id="the shipped value holds anyway"),
        pytest.param(
            "[proxy]\nstats_report_interval=5",
            "f:5: proxy/stats_report_interval: 5 has no effect yet: the setting of [handler] counts",
            id="another value",
        ),
        pytest.param("state_spec=", None, id="refused only when on"),
    ],
)
def test_what_is_still_to_come(setting: str, note: str | None) -> None:
    _, notes = resolved(f"{PORT}[handler]\n{setting}\n")
    assert notes == ([] if note is None else [Note(logging.WARNING, note)])


def test_what_is_pointless_is_ignored() -> None:
    _, notes = resolved(f"{PORT}services=a,b\n[proxy]\nstats_spec=ipc://x\n")
    assert notes == [Note(logging.DEBUG, "f:3: runner/services: ignored: there is one process here")]


@pytest.mark.parametrize(
    ("text", "limits", "is_noted"),
    [
        pytest.param("message_rate=2500\nmessage_hwm=25000", (None, None), True, id="the shipped pair"),
        pytest.param("message_rate=2500\nmessage_hwm=100", (2500, 100), False, id="half of it"),
        pytest.param("message_rate=2500", (2500, None), False, id="the rate alone"),
        pytest.param("message_rate=0\nmessage_hwm=-1", (None, None), False, id="switched off"),
        pytest.param("", (None, None), False, id="absent"),
    ],
)
def test_the_shipped_limits_are_not_applied(text: str, limits: tuple[int | None, int | None], is_noted: bool) -> None:
    settings, notes = resolved(f"{PORT}[handler]\n{text}\n")
    assert (settings.handler.message_rate, settings.handler.message_hwm) == limits
    text = "message_rate=2500 and message_hwm=25000 are the shipped values: not needed and not applied"
    assert notes == ([Note(logging.INFO, text)] if is_noted else [])


def test_warnings_come_with_the_problems() -> None:
    with pytest.raises(InvalidConfig) as caught:
        resolved("[proxy]\ndebug=no\n")
    assert caught.value.warnings == ("f:2: proxy/debug: no means true; only an empty value, 0 and false mean false",)


def test_what_is_not_utf8_is_refused_unless_it_is_a_path() -> None:
    """Files are UTF-8; variables can be any bytes, which Python gives as lone surrogates."""
    notes: list[Note] = []
    variables = {"HOLDFAST_PROXY_SIG_KEY": "\udcff", "HOLDFAST_PROXY_ROUTESFILE": "\udcff"}
    with pytest.raises(InvalidConfig) as caught:
        resolve(given_by_environment(variables, notes), has_file=False, notes=notes)
    assert caught.value.problems == ("environment variable HOLDFAST_PROXY_SIG_KEY: proxy/sig_key: not valid UTF-8",)
