"""The `%(argument)d` template language of content filters (grip spec §11.2).

`%%` is a percent sign; `%d` and `%(argument)d` are replaced by what the directive `d` gives. Inside the parentheses a
backslash takes the next character as it is. Positions in errors count bytes from the beginning of the template, however
it was cut into pieces.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from holdfast.errors import GripError

# A renderer keeps an argument whose end it has not seen: far above any variable name, far below a body.
MAX_ARGUMENT_BYTES = 16_384

# What directives may make of one piece: `%(name)s` is seven bytes, and what it stands for may be thousands. Far above
# what anybody sends to a client as one message.
MAX_RENDERED_BYTES = 4_000_000

_DIRECTIVE = re.compile(rb"%(?:\(((?:[^\\)]|\\.)*+)\)(.)|([^(]))", re.DOTALL)
_OPEN_FIELD = re.compile(rb"%\((?:[^\\)]|\\.)*+", re.DOTALL)
_ESCAPE = re.compile(rb"\\(.)", re.DOTALL)

Directive = Callable[[bytes | None, int], bytes]
"""From the argument (None if there are no parentheses) and the position of the letter to what is written instead."""


class TemplateError(GripError):
    """A template is malformed, or names what is not there."""


class TemplateRenderer:
    """Renders one template that arrives in pieces: `feed` each of them, then `finish`.

    An incomplete directive is kept until its end arrives. After a TemplateError the renderer must not be used again.
    """

    __slots__ = ("_directives", "_pending", "_position")

    def __init__(self, directives: Mapping[bytes, Directive]) -> None:
        self._directives = directives
        self._pending = b""
        self._position = 0  # of the first byte of _pending in the template

    def feed(self, data: bytes) -> bytes:
        """What is certain of the output now.

        Raises TemplateError, also for an argument over `MAX_ARGUMENT_BYTES` and for more than `MAX_RENDERED_BYTES`.
        """
        text = self._pending + data if self._pending else data
        output: list[bytes] = []
        end = rendered_bytes = 0
        while (start := text.find(b"%", end)) >= 0:
            match = _DIRECTIVE.match(text, start)
            if match is None:
                break
            rendered = self._render(match)
            rendered_bytes += len(rendered)
            if rendered_bytes > MAX_RENDERED_BYTES:
                raise TemplateError(
                    f"Output of more than {MAX_RENDERED_BYTES} bytes at position {self._position + start}"
                )
            output += (text[end:start], rendered)
            end = match.end()
        else:
            start = len(text)
        output.append(text[end:start])
        self._pending = text[start:]
        self._position += start
        if len(self._pending) > MAX_ARGUMENT_BYTES + len(b"%()"):
            raise _unterminated(self._position)
        return b"".join(output)

    def finish(self) -> None:
        """Say that the template is complete. Raises TemplateError if it ends within a directive."""
        pending = self._pending
        if not pending:
            return
        if pending == b"%":
            raise TemplateError(f"Expected directive after '%' at position {self._position}")
        if pending == b"%(":
            raise TemplateError(f"Expected character after '(' at position {self._position + 1}")
        last = self._position + len(pending) - 1
        field = _OPEN_FIELD.match(pending)
        if field is not None and field.end() < len(pending):
            if pending.endswith(b")"):
                raise TemplateError(f"Expected directive after ')' at position {last}")
            raise TemplateError(f"Expected character after '\\' at position {last}")
        raise _unterminated(self._position)

    def _render(self, match: re.Match[bytes]) -> bytes:
        argument, letter, bare_letter = match.groups()
        if argument is not None:
            if len(argument) > MAX_ARGUMENT_BYTES:
                raise _unterminated(self._position + match.start())
            argument = _ESCAPE.sub(rb"\1", argument)
        else:
            letter = bare_letter
        if letter == b"%":
            return b"%"
        position = self._position + match.end() - 1
        directive = self._directives.get(letter)
        if directive is None:
            raise TemplateError(f"Unknown directive '{letter.decode('utf-8', 'replace')}' at position {position}")
        return directive(argument, position)


def _unterminated(position: int) -> TemplateError:
    """The error for the directive at `position` whose parenthesis does not close in time."""
    return TemplateError(f"Unterminated field starting at position {position + 1}")


def render_template(template: bytes, directives: Mapping[bytes, Directive]) -> bytes:
    """The whole `template` rendered. Raises TemplateError."""
    renderer = TemplateRenderer(directives)
    output = renderer.feed(template)
    renderer.finish()
    return output


def substitute(template: bytes, variables: Mapping[str, str | None]) -> bytes:
    """`template` with every `%(name)s` replaced by that variable; one that is None is missing. Raises TemplateError."""

    def render_variable(argument: bytes | None, position: int) -> bytes:
        if argument is None:
            raise TemplateError(f"Directive 's' requires argument at position {position}")
        name = argument.decode("utf-8", "replace")
        value = variables.get(name)
        if value is None:
            raise TemplateError(f"No such variable '{name}' at position {position}")
        return value.encode("utf-8", "replace")

    return render_template(template, {b"s": render_variable})
