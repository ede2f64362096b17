"""The choice of a rule for a request (routes spec §1.7, §1.8).

Invariants: a table never changes; a reload makes a new one. A host that has a list of its own never falls back to the
list of `*`, whether or not a rule of its list fits.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from holdfast.routing.rules import Proto, Rule, Target

_WS = Proto.WS
# Rules by host, in the order of the file; only those whose `proto` and `ssl` fit.
_Lists = dict[str, tuple[Rule, ...]]


class RouteTable:
    """The rules of one routes file, ready for lookups.

    Attributes:
        sockjs_prefixes: of the paths that any of them serves as SockJS.
        has_event_targets: whether any target gets WebSockets as events over HTTP.
    """

    __slots__ = (
        "__weakref__",
        "_by_id",
        "_event_places",
        "_lists",
        "_rules",
        "has_event_targets",
        "sockjs_prefixes",
    )

    def __init__(self, rules: Iterable[Rule] = ()) -> None:
        self._rules = tuple(rules)
        self.sockjs_prefixes = tuple({rule.sockjs for rule in self._rules if rule.sockjs is not None})
        # None marks an id that several rules share: it identifies nothing.
        self._by_id: dict[str, Rule | None] = {}
        for rule in self._rules:
            self._by_id[rule.id] = None if rule.id in self._by_id else rule
        self._event_places = frozenset(
            _place(target) for rule in self._rules for target in rule.targets if target.over_http
        )
        self.has_event_targets = bool(self._event_places)
        # Indexed by "is it a WebSocket", then by "is it TLS", so that neither is compared per rule and request.
        self._lists = tuple(
            tuple(self._group(proto, is_tls) for is_tls in (False, True)) for proto in (Proto.HTTP, Proto.WS)
        )

    def __len__(self) -> int:
        return len(self._rules)

    def __iter__(self) -> Iterator[Rule]:
        return iter(self._rules)

    def takes_events(self, rule: Rule) -> bool:
        """Whether a target of `rule` is a server that gets events, by this rule or by any other."""
        return any(_place(target) in self._event_places for target in rule.targets)

    def find(self, host: str, path: bytes, *, proto: Proto, is_tls: bool, route_id: str | None = None) -> Rule | None:
        """The rule for a request, or None.

        Args:
            host: lower case, without port, IPv6 in brackets.
            path: percent-encoded, without query.
            route_id: finds the rule with this id whatever the rest says; an unknown id finds nothing, and one that
                several rules share is as good as None.
        """
        if route_id is not None:
            rule = self._by_id.get(route_id)
            if rule is not None or route_id not in self._by_id:
                return rule
        by_host = self._lists[proto is _WS][is_tls]
        candidates = by_host.get(host)
        if candidates is None:
            candidates = by_host.get("*", ())
        best = None
        for rule in candidates:
            path_beg = rule.path_beg
            if (path_beg is None or path.startswith(path_beg)) and (best is None or _why_better(rule, best)):
                best = rule
        return best

    def explain(self, host: str, path: bytes, *, proto: Proto, is_tls: bool, route_id: str | None = None) -> list[str]:
        """What `find` does with the same arguments, one step a line, for people."""
        steps = []
        if route_id is not None:
            if route_id not in self._by_id:
                return [f"no rule has the id {route_id}, so there is no route"]
            rule = self._by_id[route_id]
            if rule is not None:
                return [f"{_describe(rule)}: has the id {route_id}", _verdict(rule)]
            steps.append(f"several rules share the id {route_id}, so it is not used")
        domain = host if any(rule.domain == host for rule in self._rules) else "*"
        rules = [rule for rule in self._rules if rule.domain == domain]
        steps.append(_describe_list(host, domain, len(rules)))
        best = None
        for rule in rules:
            why = _why_unfit(rule, path, proto, is_tls)
            if why is None:
                why, best = _contest(rule, best)
            steps.append(f"{_describe(rule)}: {why}")
        return [*steps, _verdict(best)]

    def _group(self, proto: Proto, is_tls: bool) -> _Lists:
        lists: dict[str, list[Rule]] = {rule.domain: [] for rule in self._rules if rule.domain}
        for rule in self._rules:
            if rule.domain and rule.proto in (None, proto) and rule.ssl in (None, is_tls):
                lists[rule.domain].append(rule)
        return {domain: tuple(rules) for domain, rules in lists.items()}


def _why_better(candidate: Rule, best: Rule) -> str | None:
    """Why a fitting rule further down replaces the best so far, or None if it does not (routes spec §1.7)."""
    if (candidate.proto is None) is not (best.proto is None):
        return "it states proto" if best.proto is None else None
    if len(candidate.path_beg or b"") > len(best.path_beg or b""):
        return "its path_beg is longer"
    if best.ssl is None and candidate.ssl is not None:
        return "it states ssl"
    return None


def _why_unfit(rule: Rule, path: bytes, proto: Proto, is_tls: bool) -> str | None:
    if rule.proto not in (None, proto):
        return f"does not fit, the request is {proto.value}"
    if rule.ssl not in (None, is_tls):
        return f"does not fit, the request is {'' if is_tls else 'not '}TLS"
    if rule.path_beg is not None and not path.startswith(rule.path_beg):
        return "does not fit, the path begins otherwise"
    return None


def _contest(candidate: Rule, best: Rule | None) -> tuple[str, Rule]:
    if best is None:
        return "fits", candidate
    why = _why_better(candidate, best)
    if why is None:
        return f"fits, but {best.place} stays ahead", best
    return f"fits, and beats {best.place}: {why}", candidate


def _describe_list(host: str, domain: str, count: int) -> str:
    if domain == "*" and host != "*":
        return f"{host} has no rules of its own; rules for *: {count}"
    return f"rules for {host}: {count}; those for * are not considered"


def _describe(rule: Rule) -> str:
    return f"{rule.place} {rule.condition}"


def _verdict(rule: Rule | None) -> str:
    if rule is None:
        return "no route"
    return f"route: {rule.place} (id {rule.id}), targets: {' '.join(target.text for target in rule.targets)}"


def _place(target: Target) -> tuple[object, ...]:
    """What two targets have in common that lead to the same server."""
    return target.kind, target.host, target.port, target.specs
