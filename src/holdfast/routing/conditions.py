"""A line of the routes file as a rule (routes spec §1.3, §1.4).

Invariants: every text is checked here, whether or not its option is supported; signing is left to the caller, since
keys may have to be read from files.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from holdfast.errors import RouteError
from holdfast.routing.authority import canonical_domain
from holdfast.routing.lines import Section
from holdfast.routing.rules import JsonpTerms, Proto, Rule, derive_id
from holdfast.routing.targets import parse_target
from holdfast.routing.texts import all_texts, parse_choice, parse_header, parse_integer, parse_override
from holdfast.routing.uri import encode_forbidden, normalise_path
from holdfast.wire.headers import is_token

_PROTOS = {"http": Proto.HTTP, "ws": Proto.WS}
_YES_NO = {"yes": True, "no": False}
_JSONP_MODES = {"basic": False, "extended": True}


def parse_rule(sections: Sequence[Section], place: str, *, is_debug: bool, is_cross_origin: bool) -> Rule:
    """The rule that the sections of a line describe, without its signer.

    Args:
        sections: the condition and at least one target.
        place: `FILE:LINE`.
        is_debug: whether errors are answered with details even without the flag.
        is_cross_origin: whether scripts of other origins are served even without the flag.

    Raises:
        RouteError: with the text of routes spec §1.4 or §1.5.
    """
    texts = dict(sections[0].props)
    domain = canonical_domain(sections[0].value)
    proto = parse_choice(texts, "proto", _PROTOS)
    ssl = parse_choice(texts, "ssl", _YES_NO)
    path_beg = _parse_path_beg(texts)
    jsonp_terms = _parse_jsonp(texts)
    explicit_id = texts.get("id", "")
    replace_beg = texts.get("replace_beg")
    return Rule(
        place=place,
        domain=domain,
        proto=proto,
        ssl=ssl,
        path_beg=path_beg,
        id=explicit_id or derive_id(domain, proto, ssl, path_beg),
        has_explicit_id=bool(explicit_id),
        prefix=texts.get("prefix", ""),
        orig_headers="orig_headers" in texts,
        as_host=parse_override(texts, "as_host"),
        path_rem=_effective_path_rem(texts, path_beg),
        replace_beg=None if replace_beg is None else encode_forbidden(replace_beg.encode()),
        debug=is_debug or "debug" in texts,
        sockjs=encode_forbidden(texts["sockjs"].encode()) if texts.get("sockjs") else None,
        sockjs_as_path=_parse_shown_path(texts.get("sockjs_as_path")),
        header_sets=tuple(parse_header(text) for text in all_texts(sections[0], "header")),
        no_grip="no_grip" in texts,
        log_level=_parse_log_level(texts),
        cross_origin=jsonp_terms if is_cross_origin or "aco" in texts else None,
        targets=tuple(parse_target(section) for section in sections[1:]),
    )


def _parse_jsonp(texts: Mapping[str, str]) -> JsonpTerms:
    """The terms of JSON-P; an empty text is as good as none."""
    is_extended = parse_choice(texts, "jsonp_mode", _JSONP_MODES) is not False
    method = texts.get("jsonp_defmethod", "").encode() or (b"GET" if is_extended else b"POST")
    if not is_token(method):
        raise RouteError("jsonp_defmethod must be set to a method")
    return JsonpTerms(
        callback_param=texts.get("jsonp_cb", "").encode() or b"callback",
        body_param=texts.get("jsonp_body", "").encode() or None,
        default_callback=texts.get("jsonp_defcb", "").encode() or None,
        default_method=method,
        is_extended=is_extended,
    )


def _parse_path_beg(texts: Mapping[str, str]) -> bytes | None:
    text = texts.get("path_beg")
    if text == "":
        raise RouteError("path_beg cannot be empty")
    return None if text is None else text.encode()


def _parse_log_level(texts: Mapping[str, str]) -> int | None:
    level = parse_integer(texts.get("log_level", "-1"))
    return level if level >= 0 else None


def _parse_shown_path(text: str | None) -> bytes | None:
    """The path that stands for SockJS clients. What is no part of a path is encoded; dots would not get through."""
    if not text:
        return None
    if not text.startswith("/"):
        raise RouteError("sockjs_as_path must begin with '/'")
    return normalise_path(encode_forbidden(text.encode()).replace(b"?", b"%3F").replace(b"#", b"%23"))


def _effective_path_rem(texts: Mapping[str, str], path_beg: bytes | None) -> int:
    """How many bytes to cut off a path: with `replace_beg` what `path_beg` matched, whatever else is said."""
    if "replace_beg" in texts:
        return len(path_beg or b"")
    return max(0, parse_integer(texts.get("path_rem", "")))
