"""The `X-Forwarded-For` header of a request to the backend (routes spec §3.5 step 11)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from holdfast.wire.headers import split_commas

_INTEGER = re.compile(r"\s*[+-]?[0-9]{1,18}\s*", re.ASCII)


@dataclass(frozen=True, slots=True)
class XffRule:
    """What to do with the addresses a client sent.

    Attributes:
        truncate: how many of the last addresses to keep, None for all.
        append: whether to add the address of the client.
    """

    truncate: int | None = None
    append: bool = False

    def apply(self, values: list[bytes] | None, client_address: str | None) -> bytes | None:
        """The value to send, or None for no header.

        Args:
            values: of all X-Forwarded-For headers received, in order; None if there are none.
            client_address: "" for a client on a Unix socket, None for nobody, who adds nothing.
        """
        if values is None and not self.append:
            return None
        addresses = split_commas(values) if values else []
        if self.truncate is not None:
            addresses = addresses[max(0, len(addresses) - self.truncate) :]
        if self.append and client_address is not None:
            addresses.append(client_address.encode())
        return b", ".join(addresses) if addresses else None


MERGE_ONLY = XffRule()  # what holds without a setting


def parse_xff_rule(items: Sequence[str]) -> XffRule:
    """The rule that the items of `x_forwarded_for` describe: `truncate:N` and `append`.

    Compat: anything else is skipped, and an N that is no number ends the reading; so the whole rule written as one
    quoted item has no effect. A negative N keeps all.
    """
    truncate: int | None = None
    append = False
    for item in items:
        if item == "append":
            append = True
        elif item.startswith("truncate:"):
            text = item.removeprefix("truncate:")
            if _INTEGER.fullmatch(text) is None:
                break
            number = int(text)
            truncate = number if number >= 0 else None
    return XffRule(truncate, append)
