"""What a line of the routes file says, as values: a rule with its targets (routes spec §1.3-§1.5, §1.8).

Invariants: everything is checked and in the form of the wire; headers that a rule sets hold no line break; a rule has
at least one target.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum

from holdfast.grip.signature import Signer
from holdfast.routing.authority import Authority
from holdfast.wire.headers import Header
from holdfast.wire.identity import ClientIdentity

_INFORMATION = 2
"""The level of log lines of requests."""


class Proto(Enum):
    """What a client speaks, as far as routes tell it apart."""

    HTTP = "http"
    WS = "ws"


class TargetKind(Enum):
    """Where a target sends its requests."""

    HOST = "host"  # an HTTP server
    TEST = "test"  # the built-in test origin
    ZHTTP = "zhttp"  # ZHTTP over PUSH, ROUTER and SUB
    ZHTTPREQ = "zhttpreq"  # ZHTTP over one REQ-compatible socket


@dataclass(frozen=True, slots=True)
class Target:
    """One place that a request may be sent to.

    Attributes:
        text: as written, without props; for logs and for the debug text "Tried:".
        host: name or address to connect to, IPv6 without brackets; "" (`:80` in the file) stands for host and port
            of the request URI. Only for `HOST`.
        port: 1-65535 for `HOST`, else 0.
        host_override: replaces host and port of the URI for this target only.
        subs: channels that everything answered by this target is subscribed to.
        identity: who we are towards its TLS server; None for nobody in particular.
        specs: ZeroMQ addresses that backends connect to: one for `ZHTTPREQ`; for `ZHTTP` those of PUSH, ROUTER and SUB.
        ipc_file_mode: permissions of the files of those that are `ipc:`, None for the system's default.
    """

    kind: TargetKind
    text: str
    host: str = ""
    port: int = 0
    ssl: bool = False
    untrusted: bool = False
    trust_connect_host: bool = False
    insecure: bool = False
    host_override: Authority | None = None
    subs: tuple[str, ...] = ()
    over_http: bool = False
    one_event: bool = False
    identity: ClientIdentity | None = None
    specs: tuple[str, ...] = ()
    ipc_file_mode: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class JsonpTerms:
    """How a route takes requests by JSON-P (routes spec §1.4, §3.13).

    Attributes:
        callback_param, body_param: names of parameters; without the latter the body is in `_body`.
        default_callback: where only the body is given; None for no JSON-P then.
        default_method: where there is no `_method`.
        is_extended: responses are objects of status, headers and body; otherwise bodies alone.
    """

    callback_param: bytes = b"callback"
    body_param: bytes | None = None
    default_callback: bytes | None = None
    default_method: bytes = b"GET"
    is_extended: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One accepted line of the routes file.

    Attributes:
        place: `FILE:LINE`.
        domain: lower case; "*" for the default list, "" for a rule that only its id finds.
        proto, ssl, path_beg: the condition; None where it is open.
        id: explicit or derived.
        sig: signs requests of this rule; None if there is no key or no issuer.
        prefix: put before every channel name.
        orig_headers: also send the client's headers marked.
        as_host: replaces host and port of the request URI.
        path_rem: how many bytes to cut from the front of the path; follows from `path_beg` if there is a `replace_beg`.
        replace_beg: what to put in front of the path, in the form of the wire.
        debug: answer errors with details.
        sockjs: path prefix that is served as SockJS, in the form of the wire; None for none.
        sockjs_as_path: path that backends see of SockJS clients; None for one made of the prefix.
        header_sets: headers to set, or to remove where the value is empty; in the order of the line.
        no_grip: plain pass-through.
        log_level: how much is logged of requests of this rule at most: 0 errors, 1 warnings, 2 information, 3 debug,
            4 and more trace; None for all that is logged anyway.
        cross_origin: scripts of other origins are served, by CORS and by JSON-P; None for no care about them.
        set_names, set_headers: what `header_sets` comes to: lower-cased names to remove, then headers to append.
        key: what it is counted and paced by: its id if that is explicit, else empty, as for all others.
        logs_requests: whether `log_level` leaves room for the log line of each request.
    """

    place: str
    domain: str
    id: str
    targets: tuple[Target, ...]
    proto: Proto | None = None
    ssl: bool | None = None
    path_beg: bytes | None = None
    has_explicit_id: bool = False
    sig: Signer | None = None
    prefix: str = ""
    orig_headers: bool = False
    as_host: Authority | None = None
    path_rem: int = 0
    replace_beg: bytes | None = None
    debug: bool = False
    sockjs: bytes | None = None
    sockjs_as_path: bytes | None = None
    header_sets: tuple[Header, ...] = ()
    no_grip: bool = False
    log_level: int | None = None
    cross_origin: JsonpTerms | None = None
    set_names: frozenset[bytes] = field(init=False)
    set_headers: tuple[Header, ...] = field(init=False)
    key: str = field(init=False)
    logs_requests: bool = field(init=False)

    def __post_init__(self) -> None:
        # Compat: sets are applied from the last to the first, each replacing that name, so the first one wins.
        winners: dict[bytes, Header] = {}
        for header in self.header_sets:
            winners.setdefault(header[0].lower(), header)
        object.__setattr__(self, "set_names", frozenset(winners))
        object.__setattr__(self, "set_headers", tuple(h for h in reversed(winners.values()) if h[1]))
        object.__setattr__(self, "key", self.id if self.has_explicit_id else "")
        object.__setattr__(self, "logs_requests", self.log_level is None or self.log_level >= _INFORMATION)

    @property
    def condition(self) -> str:
        """The condition as it would be written in the file, for people."""
        props = [
            f"proto={self.proto.value}" if self.proto else "",
            f"ssl={'yes' if self.ssl else 'no'}" if self.ssl is not None else "",
            f"path_beg={self.path_beg.decode()}" if self.path_beg is not None else "",
            f"id={self.id}" if self.has_explicit_id else "",
        ]
        return ",".join([self.domain, *filter(None, props)])


def derive_id(domain: str, proto: Proto | None, ssl: bool | None, path_beg: bytes | None) -> str:
    """The id of a rule that names none: `DOMAIN,PROTO,SSL,PATH` (routes spec §1.8).

    Compat: `ssl` stands for `ssl=no` and `no-ssl` for `ssl=yes`, an old slip of Pushpin that ids depend on.
    """
    proto_text = proto.value if proto else "*"
    ssl_text = "*" if ssl is None else "no-ssl" if ssl else "ssl"
    return ",".join([domain, proto_text, ssl_text, path_beg.decode() if path_beg is not None else "*"])
