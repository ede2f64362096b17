"""The settings and their defaults (routes spec §2.4, grip spec §15.10)."""

from __future__ import annotations

import pytest

from holdfast.config.listen import Listen
from holdfast.config.log_levels import LogLevels
from holdfast.config.settings import HandlerSettings, HoldfastSettings, ProxySettings, Settings
from holdfast.net.outlets import OutboxPolicy
from holdfast.routing.forward import SetForwardedProto
from holdfast.routing.xff import XffRule


def test_the_defaults_are_the_shipped_configuration() -> None:
    settings = Settings()
    assert settings.runner.http_port == (Listen("0.0.0.0", 7999),)
    assert settings.runner.client_buffer_size == 8192
    assert settings.runner.client_maxconn == 50000
    assert settings.runner.log_level == LogLevels(2, {})
    assert settings.proxy.routesfile == "routes"
    assert settings.proxy.set_x_forwarded_protocol is SetForwardedProto.PROTO_ONLY
    assert settings.proxy.x_forwarded_for == XffRule()
    assert (settings.proxy.sig_iss, settings.proxy.sig_key) == ("pushpin", "changeme")
    assert settings.handler.push_in_http_max_headers_size == 10000
    assert settings.handler.push_in_http_max_body_size == 1000000
    assert settings.handler.connection_subscription_max == 20
    assert settings.publish_listen == Listen("127.0.0.1", 5561)
    assert settings.prometheus_listen is None


def test_deliveries_have_no_limit_by_default() -> None:
    assert Settings().handler.message_rate is None
    assert Settings().handler.message_hwm is None


def test_our_own_defaults() -> None:
    ours = Settings().holdfast
    assert (ours.header_timeout, ours.idle_timeout, ours.body_timeout, ours.send_timeout) == (30, 75, 60, 60)
    assert (ours.outbox_max_bytes, ours.outbox_policy) == (262144, OutboxPolicy.DISCONNECT)
    assert (ours.backend_connect_timeout, ours.backend_timeout) == (10, 600)
    assert (ours.backend_idle_timeout, ours.backend_max_idle) == (55, 256)
    assert ours.websocket_idle_timeout == 1800
    assert (ours.stop_timeout, ours.log_format, ours.publish_max_connections) == (10, "text", 1024)
    assert (ours.publish_key, ours.publish_iss, ours.publish_token, ours.control_hosts) == ("", "", "", ())


@pytest.mark.parametrize(
    ("handler", "expected"),
    [
        pytest.param(HandlerSettings(push_in_http_port=None), None, id="no port, no door"),
        pytest.param(HandlerSettings(push_in_http_addr="", push_in_http_port=80), Listen("0.0.0.0", 80), id="all"),
        pytest.param(HandlerSettings(push_in_http_addr="::1", push_in_http_port=80), Listen("::1", 80), id="one"),
    ],
)
def test_where_publishing_is_accepted(handler: HandlerSettings, expected: Listen | None) -> None:
    assert Settings(handler=handler).publish_listen == expected


def test_the_metrics_of_the_handler_win() -> None:
    proxy = ProxySettings(prometheus_port=Listen("0.0.0.0", 1), prometheus_prefix="p_")
    handler = HandlerSettings(prometheus_port=Listen("0.0.0.0", 2), prometheus_prefix="h_")
    assert Settings(proxy=proxy).prometheus_listen == Listen("0.0.0.0", 1)
    assert Settings(proxy=proxy).metrics_prefix == "p_"
    assert Settings(proxy=proxy, handler=handler).prometheus_listen == Listen("0.0.0.0", 2)
    assert Settings(proxy=proxy, handler=handler).metrics_prefix == "h_"


def test_keys_are_not_shown() -> None:
    shown = repr(Settings(proxy=ProxySettings(sig_key="abc123", upstream_key="def456")))
    assert "abc123" not in shown
    assert "def456" not in shown
    shown = repr(Settings(holdfast=HoldfastSettings(publish_key="abc123", publish_token="def456")))
    assert "abc123" not in shown
    assert "def456" not in shown
