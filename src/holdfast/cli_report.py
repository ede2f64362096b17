"""What `holdfast check` finds."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Report:
    """What a check found.

    Attributes:
        lines: for standard output.
        warnings: what works, though perhaps not as meant.
        errors: what makes the check fail.
    """

    lines: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    errors: tuple[str, ...] = ()

    def __add__(self, other: Report) -> Report:
        return Report(self.lines + other.lines, self.warnings + other.warnings, self.errors + other.errors)
