"""What the parts of the server are built from, made of settings: the forwarding policy, keys, defaults of routes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from holdfast.config.load import Loaded
from holdfast.config.settings import ProxySettings, Settings
from holdfast.errors import ConfigError, KeyMaterialError
from holdfast.grip.publish_auth import PublishCredentials, PublishVerifier
from holdfast.grip.signature import Key, Verifier, parse_key
from holdfast.net.backend_tls import check_identity
from holdfast.routing.forward import ForwardPolicy
from holdfast.routing.parse import RouteDefaults
from holdfast.statistics.collector import Terms

ReadFile = Callable[[str], bytes]


def read_file(path: str) -> bytes:
    """The content of a file.

    Raises:
        OSError: it cannot be read.
    """
    return Path(path).read_bytes()


def forward_policy(proxy: ProxySettings) -> ForwardPolicy:
    """What of a request is forwarded, and what is added."""
    return ForwardPolicy(
        accept_x_forwarded_protocol=proxy.accept_x_forwarded_protocol,
        set_x_forwarded_protocol=proxy.set_x_forwarded_protocol,
        x_forwarded_for=proxy.x_forwarded_for,
        x_forwarded_for_trusted=proxy.x_forwarded_for_trusted,
        orig_headers_need_mark=frozenset(name.lower().encode() for name in proxy.orig_headers_need_mark),
        accept_pushpin_route=proxy.accept_pushpin_route,
        cdn_loop=proxy.cdn_loop.encode(),
    )


def statistics_terms(settings: Settings, instance: str) -> Terms:
    """How statistics are told, by `instance`."""
    handler, shared = settings.handler, settings.global_
    return Terms(
        instance=instance,
        connection_ttl_s=shared.stats_connection_ttl,
        subscription_ttl_s=handler.stats_subscription_ttl,
        report_interval_s=handler.stats_report_interval,
        tells_connections=shared.stats_connection_send,
        block_size=handler.message_block_size,
    )


def route_defaults(loaded: Loaded, read: ReadFile = read_file) -> RouteDefaults:
    """What holds for routes that say nothing else.

    Raises:
        ConfigError: `sig_key` cannot be read or used.
    """
    proxy = loaded.settings.proxy
    return RouteDefaults(
        sig_iss=proxy.sig_iss,
        sig_key=_key(loaded, "sig_key", proxy.sig_key, read),
        debug=proxy.debug,
        cross_origin=proxy.auto_cross_origin,
        keys_dir=str(loaded.routes_path.parent),
        read_file=read,
        check_identity=check_identity,
    )


def upstream_verifier(loaded: Loaded, read: ReadFile = read_file) -> Verifier | None:
    """Who tells requests of a trusted proxy from others; None if nobody is trusted.

    Raises:
        ConfigError: `upstream_key` cannot be read or used.
    """
    key = _key(loaded, "upstream_key", loaded.settings.proxy.upstream_key, read)
    return None if key is None else Verifier(key)


def publish_verifier(loaded: Loaded, read: ReadFile = read_file) -> PublishVerifier | None:
    """Who tells publishers over HTTP from others; None if everybody may publish.

    Raises:
        ConfigError: `publish_key` cannot be read or used.
    """
    ours = loaded.settings.holdfast
    key = _key(loaded, "publish_key", ours.publish_key, read, section="holdfast")
    token = ours.publish_token.encode() or None
    if key is None and token is None:
        return None
    return PublishVerifier(PublishCredentials(key, ours.publish_iss or None, token))


def _key(loaded: Loaded, name: str, text: str, read: ReadFile, section: str = "proxy") -> Key | None:
    try:
        return parse_key(text, str(loaded.base_dir), read)
    except KeyMaterialError as exc:
        raise ConfigError(f"{section}/{name}: {exc}") from exc
