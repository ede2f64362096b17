"""Response heads that come again, byte for byte, as they do when very many clients ask the same within a second."""

from __future__ import annotations

from holdfast.wire.http1.head import HeadLimits, ResponseHead, parse_response_head


class ResponseHeads:
    """Parses response heads, and knows the last one. Equal heads are one object, so that others can know it as well."""

    __slots__ = ("_data", "_head", "_limits")

    def __init__(self, limits: HeadLimits) -> None:
        self._limits = limits
        self._data = b""
        self._head: ResponseHead | None = None

    def parse(self, data: bytes) -> tuple[ResponseHead, int] | None:
        """See `parse_response_head`. A head with a length must not be changed."""
        if self._head is not None and data.startswith(self._data):
            return self._head, len(self._data)
        parsed = parse_response_head(data, self._limits)
        if parsed is not None and parsed[0].content_length is not None:
            self._head, length = parsed
            self._data = data[:length]
        return parsed
