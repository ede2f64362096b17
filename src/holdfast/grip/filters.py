"""Filters: what a hold has the proxy do to each item, and to the bodies of its backend's answers (grip spec §11).

Delivery filters drop items, content filters change them. Names that are not known do nothing. `http-check` and
`http-modify` ask the network, which is not done here: they yield their question and are sent the answer.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from holdfast.errors import GripError
from holdfast.grip.template import TemplateError, TemplateRenderer, render_template, substitute
from holdfast.grip.values import Subscription

BUILD_ID = "build-id"
VAR_SUBST = "var-subst"
HTTP_CHECK = "http-check"
HTTP_MODIFY = "http-modify"

_ASK_NETWORK = frozenset({HTTP_CHECK, HTTP_MODIFY})
_CONTENT_FILTERS = frozenset({BUILD_ID, VAR_SUBST, HTTP_MODIFY})


class FilterError(GripError):
    """A filter failed; the text is complete, `filter error: <name>: <why>`."""

    def __init__(self, name: str, why: str) -> None:
        super().__init__(f"filter error: {name}: {why}")


@dataclass(frozen=True, slots=True)
class FilterContext:
    """What the filters of one (hold, item) pair may look at. Channel names are bare, without the route's prefix.

    hold_meta: a key with the value None counts as missing.
    item_meta: of the published item.
    channels: all channels of the hold.
    prev_ids: the id of each channel as it was before this item; None or no entry is "no id".
    channel: the channel that the item came on.
    item_id: the item's id.
    """

    hold_meta: Mapping[str, str | None]
    item_meta: Mapping[str, str]
    channels: Collection[str]
    prev_ids: Mapping[str, str | None]
    channel: str
    item_id: str | None


@dataclass(frozen=True, slots=True)
class Question:
    """What a filter asks the network, about one item for one hold (grip spec §11.4).

    content: what is sent along; empty for `http-check`.
    """

    context: FilterContext
    content: bytes


@dataclass(frozen=True, slots=True)
class Verdict:
    """The answer to a `Question`.

    error: why there is none, None if there is one.
    content: what replaces the content; None leaves it as it is.
    """

    is_drop: bool = False
    content: bytes | None = None
    error: str | None = None


Filtering: TypeAlias = Generator[Question, Verdict, bytes | None]
"""Filters at work: yields questions, is sent their verdicts, and returns the content, or None if an item is dropped."""


def asks_network(filters: Iterable[str]) -> bool:
    """Whether one of `filters` has questions."""
    return not _ASK_NETWORK.isdisjoint(filters)


def content_filter_names(filters: Iterable[str]) -> tuple[str, ...]:
    """Those of `filters` that change content, in order: what an item's `content-filters` must equal (§10.5)."""
    return tuple(name for name in filters if name in _CONTENT_FILTERS)


def lets_pass(names: Iterable[str], context: FilterContext) -> bool:
    """Whether the filters are certain to leave an item as it is, whatever its content and the ids of the hold."""
    for name in names:
        if name in _CONTENT_FILTERS or name in _ASK_NETWORK:
            return False
        if (must_drop := _DELIVERY_FILTERS.get(name)) is not None and must_drop(context):
            return False
    return True


def message_filtering(names: Sequence[str], context: FilterContext, content: bytes) -> Filtering:
    """What the filters `names`, in this order, leave of `content`; None if one of them drops the item.

    After a drop the later filters do not run. Raises FilterError.
    """
    for name in names:
        if (must_drop := _DELIVERY_FILTERS.get(name)) is not None:
            if must_drop(context):
                return None
        elif (change := _CHANGES.get(name)) is not None:
            try:
                content = change(context, content)
            except TemplateError as exc:
                raise FilterError(name, str(exc)) from exc
        elif name in _ASK_NETWORK:
            verdict = yield Question(context, content if name == HTTP_MODIFY else b"")
            if verdict.error is not None:
                raise FilterError(name, verdict.error)
            if verdict.is_drop:
                return None
            if name == HTTP_MODIFY and verdict.content is not None:
                content = verdict.content
    return content


def _is_own(context: FilterContext) -> bool:
    user = context.hold_meta.get("user")
    return bool(user) and user == context.item_meta.get("sender")


def _is_for_others(context: FilterContext) -> bool:
    user = context.hold_meta.get("user")
    skipped = context.item_meta.get("skip_users", "")
    return bool(user) and any(user == name.strip() for name in skipped.split(","))


def _lacks_required(context: FilterContext) -> bool:
    required = context.item_meta.get("require_sub")
    return bool(required) and required not in context.channels


_DELIVERY_FILTERS: dict[str, Callable[[FilterContext], bool]] = {
    "skip-self": _is_own,
    "skip-users": _is_for_others,
    "require-sub": _lacks_required,
}


def _substitute(context: FilterContext, content: bytes) -> bytes:
    return substitute(content, context.hold_meta)


def _build_ids(context: FilterContext, content: bytes) -> bytes:
    ids = dict(context.prev_ids)
    if ids.get(context.channel) is not None:
        ids[context.channel] = context.item_id  # Compat: the id of the item on its way, as in Pushpin 1.36
    return render_template(content, {b"I": _IdDirective(context.hold_meta, ids)})


_CHANGES: dict[str, Callable[[FilterContext, bytes], bytes]] = {
    BUILD_ID: _build_ids,
    VAR_SUBST: _substitute,
}


class _IdDirective:
    """The directive `I` of build-id: `%(text)I` is `text`, `%I` the id that hold meta `id_format` builds.

    That id is built where it is first needed, so a hold without ids can still deliver content that needs none.

    ids: of the hold's channels; None where no ids exist, as in the body of a backend's answer.
    Raises TemplateError for hold meta that cannot build ids.
    """

    __slots__ = ("_id", "_id_format", "_ids", "_is_hex")

    def __init__(self, hold_meta: Mapping[str, str | None], ids: Mapping[str, str | None] | None) -> None:
        id_format = hold_meta.get("id_format")
        if id_format is None:
            raise TemplateError("no sub meta 'id_format'")
        encoding = hold_meta.get("id_encoding")
        if encoding not in (None, "hex"):
            raise TemplateError(f"unsupported encoding: {encoding}")
        self._id_format = id_format.encode("utf-8", "replace")
        self._is_hex = encoding == "hex"
        self._ids = ids
        self._id: bytes | None = None

    def __call__(self, argument: bytes | None, position: int) -> bytes:
        if argument is None:
            if self._id is None:
                self._id = self._render_id()
            argument = self._id
        return argument.hex().encode() if self._is_hex else argument

    def _render_id(self) -> bytes:
        if self._ids is None:
            raise TemplateError("No ID specified and no default ID in context")
        try:
            return substitute(self._id_format, self._ids)
        except TemplateError as exc:
            raise TemplateError(f"failed to render ID: {exc}") from exc


def has_response_filter(subscriptions: Iterable[Subscription]) -> bool:
    """Whether the bodies of the backend's answers must pass a `BuildIdStream` (grip spec §11.3)."""
    return any(BUILD_ID in subscription.filters for subscription in subscriptions)


class BuildIdStream:
    """The build-id filter for the body of a backend's answer: `feed` each piece of it, then `finish`.

    Directives may span pieces. No ids exist yet there, so only `%(text)I` works. Each method raises FilterError.
    """

    __slots__ = ("_renderer",)

    def __init__(self, hold_meta: Mapping[str, str | None]) -> None:
        try:
            self._renderer = TemplateRenderer({b"I": _IdDirective(hold_meta, None)})
        except TemplateError as exc:
            raise FilterError(BUILD_ID, str(exc)) from exc

    def feed(self, data: bytes) -> bytes:
        """What of the filtered body is certain now."""
        try:
            return self._renderer.feed(data)
        except TemplateError as exc:
            raise FilterError(BUILD_ID, str(exc)) from exc

    def finish(self) -> None:
        """Say that the body is complete."""
        try:
            self._renderer.finish()
        except TemplateError as exc:
            raise FilterError(BUILD_ID, str(exc)) from exc


def filter_response(subscriptions: Iterable[Subscription], hold_meta: Mapping[str, str | None], body: bytes) -> bytes:
    """A complete body after the response filters of all channels, each once. Raises FilterError."""
    if not has_response_filter(subscriptions):
        return body
    stream = BuildIdStream(hold_meta)
    filtered = stream.feed(body)
    stream.finish()
    return filtered
