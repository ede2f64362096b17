"""The settings that Holdfast has, each declared once with everything there is to say about it (routes spec §2.4).

Invariants: values are typed and checked; the defaults of the classes are Pushpin's shipped configuration, so that a
start without any file equals it. Keys have the names and sections of `pushpin.conf`; `[holdfast]` is ours.
"""

# ruff: noqa: RUF009 -- `option` makes a dataclass field, which is what the rule asks for
from __future__ import annotations

from dataclasses import dataclass, field

from holdfast.config import kinds
from holdfast.config.kinds import LogFormat, choice, integer, ports
from holdfast.config.listen import ANY_ADDRESS, Listen
from holdfast.config.log_levels import LogLevels
from holdfast.config.options import option
from holdfast.net.outlets import OutboxPolicy
from holdfast.net.sockets import SocketFile
from holdfast.routing.forward import SetForwardedProto
from holdfast.routing.xff import XffRule
from holdfast.wire.statistics import Notation


@dataclass(frozen=True, slots=True, kw_only=True)
class GlobalSettings:
    """`[global]`: where things are."""

    include: str = option(
        kinds.PATH, "", "One more file with settings, for keys that are not in this one; relative to this one."
    )
    libdir: str = option(kinds.PATH, "/usr/lib/pushpin", "What `{libdir}` in other settings stands for.")
    rundir: str = option(
        kinds.PATH, "run", "What `{rundir}` in other settings stands for: the directory of sockets made at run time."
    )
    ipc_prefix: str = option(kinds.TEXT, "pushpin-", "What `{ipc_prefix}` in other settings stands for.")
    port_offset: int = option(
        integer(0, 65535), "0", "Added to `push_in_http_port` and to the port of every `tcp://` address."
    )
    stats_connection_ttl: int = option(
        integer(1),
        "120",
        "How long what statistics say of a connection holds; it is said again before.",
        unit="seconds",
    )
    stats_connection_send: bool = option(kinds.BOOLEAN, "true", "Send statistics of each single connection.")


@dataclass(frozen=True, slots=True, kw_only=True)
class RunnerSettings:
    """`[runner]`: the client side."""

    http_port: tuple[Listen, ...] = option(
        ports("http"), "7999", "Where to accept clients; a bare port listens on all IPv4 addresses.", absent=""
    )
    https_ports: tuple[Listen, ...] = option(
        ports("https"),
        "",
        "Where to accept clients by TLS; certificates are HOST.crt and HOST.key in `runner/certs` beside this file.",
    )
    local_ports: tuple[SocketFile, ...] = option(
        kinds.LOCAL_PORTS, "", "Unix sockets to accept clients at: `PATH`, or `PATH?mode=OCTAL&user=U&group=G`."
    )
    log_level: LogLevels = option(
        kinds.LOG_LEVELS,
        "2",
        "How much to log: 0 errors, 1 warnings, 2 information, 3 debug, 4 trace; `proxy:3` and the like for the part "
        "of the work that a component of Pushpin (`runner`, `connmgr`, `proxy`, `handler`) has.",
    )
    client_buffer_size: int = option(
        integer(256, 2**24), "8192", "A client's whole request header must fit into this.", unit="bytes"
    )
    client_maxconn: int = option(
        integer(1), "50000", "Client connections at once, held ones included; more are not accepted."
    )
    allow_compression: bool = option(kinds.BOOLEAN, "false", "Let WebSocket clients compress messages.")


@dataclass(frozen=True, slots=True, kw_only=True)
class ProxySettings:
    """`[proxy]`: what happens between client and backend."""

    routesfile: str = option(kinds.PATH, "routes", "The routes file, relative to the directory of this file.")
    debug: bool = option(kinds.BOOLEAN, "false", "Tell clients in error responses what went wrong, for every route.")
    auto_cross_origin: bool = option(
        kinds.BOOLEAN,
        "false",
        "Serve scripts of other origins on every route, as `aco` does on one: CORS headers and JSON-P. Every page may "
        "then read what its visitors may.",
    )
    accept_x_forwarded_protocol: bool = option(
        kinds.BOOLEAN, "false", "Believe a client's X-Forwarded-Proto header that it came by TLS."
    )
    set_x_forwarded_protocol: SetForwardedProto = option(
        kinds.SET_FORWARDED_PROTO,
        "proto-only",
        "Tell the backend about TLS clients: `proto-only` sets X-Forwarded-Proto, `true` X-Forwarded-Protocol as well.",
        absent="",
    )
    x_forwarded_for: XffRule = option(
        kinds.XFF, "", "X-Forwarded-For: `truncate:N` keeps the last N addresses, `append` adds that of the client."
    )
    x_forwarded_for_trusted: XffRule = option(
        kinds.XFF, "", "The same for requests that `upstream_key` shows to come from a trusted proxy."
    )
    orig_headers_need_mark: tuple[str, ...] = option(
        kinds.TEXTS, "", "Headers that a route with `orig_headers` takes for original only if they came marked."
    )
    accept_pushpin_route: bool = option(
        kinds.BOOLEAN, "false", "Let a Pushpin-Route header choose the route by its id."
    )
    cdn_loop: str = option(kinds.TEXT, "", "Name of this proxy, added to the CDN-Loop header; empty for none.")
    log_from: bool = option(kinds.BOOLEAN, "false", "Log the address of the client with each request.")
    log_user_agent: bool = option(kinds.BOOLEAN, "false", "Log the User-Agent of the client with each request.")
    sig_iss: str = option(kinds.TEXT, "pushpin", "Issuer in the Grip-Sig header that proves to backends who asks.")
    sig_key: str = option(
        kinds.TEXT,
        "changeme",
        "Key that signs Grip-Sig: the secret itself, `base64:TEXT`, or `file:PATH` of a PEM key or a hexadecimal "
        "secret; empty for no Grip-Sig.",
        absent="",
        is_secret=True,
    )
    upstream_key: str = option(
        kinds.TEXT,
        "",
        "Key, written like `sig_key`, by which a GRIP proxy in front of this one is trusted; empty to trust nobody.",
        is_secret=True,
    )
    max_open_requests: int | None = option(
        kinds.POSITIVE, "", "Requests that are worked on at once, at most `client_maxconn`; later ones wait."
    )
    sockjs_url: str = option(
        kinds.TEXT,
        "http://cdn.jsdelivr.net/sockjs/0.3.4/sockjs.min.js",
        "Where the page that SockJS clients load into a frame gets its script from.",
        absent="",
    )
    prometheus_port: Listen | None = option(
        kinds.LISTEN, "", "Where to serve metrics for Prometheus, unless [handler] says so; a bare port listens on all."
    )
    prometheus_prefix: str = option(kinds.TEXT, "", "Put before the names of metrics.")


@dataclass(frozen=True, slots=True, kw_only=True)
class HandlerSettings:
    """`[handler]`: publishing and held connections."""

    ipc_file_mode: int | None = option(kinds.OCTAL, "", "Mode of the files of ipc sockets, in octal, such as 777.")
    push_in_spec: str = option(kinds.TEXT, "", "ZeroMQ PULL socket to accept publishing at; empty for none.")
    push_in_sub_specs: tuple[str, ...] = option(
        kinds.TEXTS,
        "",
        "ZeroMQ SUB socket to accept publishing at; with `push_in_sub_connect` several to connect to.",
    )
    push_in_sub_spec: str = option(kinds.TEXT, "", "One more of `push_in_sub_specs`.")
    push_in_sub_connect: bool = option(
        kinds.BOOLEAN, "false", "Connect to `push_in_sub_specs` instead of binding the first of them."
    )
    command_spec: str = option(kinds.TEXT, "", "ZeroMQ ROUTER socket that executes commands; empty for none.")
    stats_spec: str = option(kinds.TEXT, "", "ZeroMQ PUB socket that sends statistics; empty for none.")
    stats_format: Notation = option(
        choice(Notation), "tnetstring", "How statistics are written: `tnetstring`, or `json`."
    )
    stats_subscription_ttl: int = option(
        integer(1),
        "60",
        "How long what statistics say of the subscribers of a channel holds; it is said again before.",
        unit="seconds",
    )
    stats_report_interval: int = option(
        integer(0), "10", "Time between two reports among the statistics; 0 for none.", unit="seconds"
    )
    push_in_http_addr: str = option(
        kinds.TEXT, "127.0.0.1", "Address to accept publishing over HTTP at; empty for all.", absent=""
    )
    push_in_http_port: int | None = option(
        kinds.PORT_NUMBER, "5561", "Port to accept publishing over HTTP at; `port_offset` is added.", absent=""
    )
    push_in_http_max_headers_size: int = option(
        integer(256), "10000", "Largest header of a publishing request.", unit="bytes"
    )
    push_in_http_max_body_size: int = option(
        integer(1), "1000000", "Largest body of a publishing request.", unit="bytes"
    )
    message_rate: int | None = option(
        kinds.POSITIVE,
        "",
        "Deliveries to clients per second, no limit if empty; Pushpin's shipped pair of 2500 and a `message_hwm` of "
        "25000 also means no limit.",
        unit="per second",
    )
    message_hwm: int | None = option(
        kinds.POSITIVE,
        "",
        "Deliveries that may wait for their turn under `message_rate`; more are dropped, counted and reported.",
    )
    message_block_size: int | None = option(
        kinds.POSITIVE,
        "",
        "Bytes of content that count as one delivery under `message_rate`; every delivery counts as one if empty.",
        unit="bytes",
    )
    message_wait: int = option(
        integer(0),
        "5000",
        "How long a message that came too early waits for the one before it.",
        unit="milliseconds",
    )
    id_cache_ttl: float = option(
        kinds.SECONDS_OR_NONE,
        "60",
        "How long the ids of messages are remembered, so that repeats are dropped; 0 for not at all.",
        absent="0",
        unit="seconds",
    )
    update_on_first_subscription: bool = option(
        kinds.BOOLEAN,
        "true",
        "Let long polls ask their backend again a second after the first subscription of a channel, because "
        "publishers elsewhere may not have known of it.",
    )
    subscription_linger: float = option(
        kinds.SECONDS_OR_NONE,
        "60",
        "How long the subscriptions of a long poll outlive it, so that what comes between two polls is noticed.",
        unit="seconds",
    )
    connection_subscription_max: int = option(integer(1), "20", "Channels that one connection may subscribe to.")
    share_all: bool = option(
        kinds.BOOLEAN,
        "false",
        "Let requests that are the same in every header share one request to the backend, unless its answer is for "
        "one client only.",
    )
    prometheus_port: Listen | None = option(
        kinds.LISTEN, "", "Where to serve metrics for Prometheus; a bare port listens on all IPv4 addresses."
    )
    prometheus_prefix: str = option(kinds.TEXT, "", "Put before the names of metrics.")


@dataclass(frozen=True, slots=True, kw_only=True)
class HoldfastSettings:
    """`[holdfast]`: what Pushpin has no setting for."""

    header_timeout: float = option(
        kinds.SECONDS, "30", "A client must send its whole request header in this time.", unit="seconds"
    )
    idle_timeout: float = option(
        kinds.SECONDS, "75", "A connection without a request is closed after this time.", unit="seconds"
    )
    body_timeout: float = option(
        kinds.SECONDS, "60", "How long a client may be silent in the middle of a request body.", unit="seconds"
    )
    send_timeout: float = option(
        kinds.SECONDS, "60", "How long a client may take nothing of a response that is being proxied.", unit="seconds"
    )
    outbox_max_bytes: int = option(
        integer(1024), "262144", "What may wait for one held client that reads slowly.", unit="bytes"
    )
    outbox_policy: OutboxPolicy = option(
        choice(OutboxPolicy),
        "disconnect",
        "When more than `outbox_max_bytes` would wait: `disconnect` the client, or `drop` the message for it.",
    )
    backend_connect_timeout: float = option(
        kinds.SECONDS, "10", "How long a connection to a backend may take.", unit="seconds"
    )
    backend_timeout: float = option(
        kinds.SECONDS, "600", "How long a backend may be silent during a request.", unit="seconds"
    )
    backend_idle_timeout: float = option(
        kinds.SECONDS, "55", "How long an idle connection to a backend is kept for the next request.", unit="seconds"
    )
    backend_max_idle: int = option(integer(0), "256", "Idle connections that are kept for one backend.")
    websocket_idle_timeout: float = option(
        kinds.SECONDS, "1800", "A WebSocket without a byte from either side is closed after this time.", unit="seconds"
    )
    stop_timeout: float = option(
        kinds.SECONDS, "10", "How long requests in progress may take to end when the server stops.", unit="seconds"
    )
    log_format: LogFormat = option(
        kinds.LOG_FORMAT, "text", "Log lines for people (`text`) or one JSON object a line (`json`)."
    )
    publish_max_connections: int = option(integer(1), "1024", "Connections of publishers at once.")
    publish_key: str = option(
        kinds.SECRET,
        "",
        "Key, written like `sig_key`, that signs the tokens which publishers over HTTP have to send; with neither this "
        "nor `publish_token` nobody is asked.",
        is_secret=True,
    )
    publish_iss: str = option(kinds.TEXT, "", "Issuer that such a token must name; empty for any.")
    publish_token: str = option(
        kinds.SECRET,
        "",
        "Secret that publishers over HTTP may send as it is: as a bearer token, or as the password of any user.",
        is_secret=True,
    )
    control_hosts: tuple[str, ...] = option(
        kinds.TEXTS,
        "",
        "Names by which web pages may ask the ports for publishing and metrics, besides `localhost` and addresses; "
        "programs may use any name.",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """All settings, by section."""

    global_: GlobalSettings = field(default_factory=GlobalSettings)
    runner: RunnerSettings = field(default_factory=RunnerSettings)
    proxy: ProxySettings = field(default_factory=ProxySettings)
    handler: HandlerSettings = field(default_factory=HandlerSettings)
    holdfast: HoldfastSettings = field(default_factory=HoldfastSettings)

    @property
    def publish_listen(self) -> Listen | None:
        """Where publishing over HTTP is accepted; None for nowhere."""
        port = self.handler.push_in_http_port
        return None if port is None else Listen(self.handler.push_in_http_addr or ANY_ADDRESS, port)

    @property
    def prometheus_listen(self) -> Listen | None:
        """Where metrics are served, `[handler]` before `[proxy]`; None for nowhere."""
        return self.handler.prometheus_port or self.proxy.prometheus_port

    @property
    def metrics_prefix(self) -> str:
        """What the names of metrics begin with, `[handler]` before `[proxy]`."""
        return self.handler.prometheus_prefix or self.proxy.prometheus_prefix
