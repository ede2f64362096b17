"""Runs a command under the system call rules of a systemd unit, where no systemd runs: sandbox.py UNIT COMMAND...

Of the unit it applies SystemCallFilter, RestrictAddressFamilies, MemoryDenyWriteExecute, NoNewPrivileges and
CapabilityBoundingSet=, by the same means as systemd: stacked seccomp filters, made with its library libseccomp, and the
sets of system calls that `systemd-analyze` lists. Namespaces and directories are not made.
"""

from __future__ import annotations

import ctypes
import os
import socket
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

LIBRARY = "libseccomp.so.2"

_ALLOW = 0x7FFF0000
_ERRNO = 0x00050000
_EPERM, _EAFNOSUPPORT = 1, 97
_EQUAL, _MASKED_EQUAL = 4, 7
_PROT_WRITE, _PROT_EXEC = 2, 4
_PR_CAPBSET_DROP, _PR_SET_NO_NEW_PRIVS = 24, 38
_LAST_CAPABILITY = 40
_MAX_FAMILY = 63
_CAPABILITIES = {"CAP_NET_BIND_SERVICE": 10}


class Comparison(ctypes.Structure):
    """`struct scmp_arg_cmp`."""

    _fields_ = (("arg", ctypes.c_uint), ("op", ctypes.c_int), ("a", ctypes.c_uint64), ("b", ctypes.c_uint64))


class Filter:
    """One seccomp filter, which decides together with all others that are loaded: the strictest wins."""

    def __init__(self, library: ctypes.CDLL, default: int) -> None:
        self._library = library
        library.seccomp_init.restype = ctypes.c_void_p
        self._context = ctypes.c_void_p(library.seccomp_init(ctypes.c_uint32(default)))

    def add(self, action: int, call: str, *comparisons: Comparison) -> None:
        """Let `action` be taken for a system call, if its arguments are such; unknown ones are passed over."""
        number = self._library.seccomp_syscall_resolve_name(call.encode())
        if number < 0:
            return
        array = (Comparison * len(comparisons))(*comparisons)
        code = self._library.seccomp_rule_add_array(
            self._context, ctypes.c_uint32(action), ctypes.c_int(number), ctypes.c_uint(len(comparisons)), array
        )
        assert code == 0, f"{call}: {os.strerror(-code)}"

    def load(self) -> None:
        """Put it in force for this process and what it executes."""
        code = self._library.seccomp_load(self._context)
        assert code == 0, os.strerror(-code)


def directives(text: str) -> dict[str, list[str]]:
    """The directives of a unit, each with all its values in order."""
    found: dict[str, list[str]] = {}
    for line in text.splitlines():
        name, equals, value = line.partition("=")
        if equals and not line.startswith(("#", ";")):
            found.setdefault(name, []).append(value)
    return found


def allowed_calls(filters: Iterable[str]) -> set[str]:
    """The system calls that a series of SystemCallFilter directives comes to."""
    allowed: set[str] = set()
    for words in filters:
        calls = {call for word in words.lstrip("~").split() for call in _expand(word)}
        allowed = allowed - calls if words.startswith("~") else allowed | calls
    return allowed


def _expand(word: str) -> set[str]:
    if not word.startswith("@"):
        return {word}
    listing = subprocess.run(
        ["systemd-analyze", "syscall-filter", word], check=True, capture_output=True, text=True
    ).stdout
    members = [line.strip() for line in listing.splitlines()[1:]]
    return {call for member in members if member and not member.startswith("#") for call in _expand(member)}


def apply(unit: dict[str, list[str]]) -> None:
    """Put the rules in force for this process."""
    library, process = ctypes.CDLL(LIBRARY), ctypes.CDLL(None)
    kept = {_CAPABILITIES[name] for name in unit["CapabilityBoundingSet"][-1].split()}
    for capability in set(range(_LAST_CAPABILITY + 1)) - kept:
        process.prctl(_PR_CAPBSET_DROP, capability, 0, 0, 0)
    assert unit["NoNewPrivileges"] == ["yes"]
    process.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    calls = Filter(library, _ERRNO | _EPERM)
    for call in allowed_calls(unit["SystemCallFilter"]):
        calls.add(_ALLOW, call)
    families = Filter(library, _ALLOW)
    permitted = [int(getattr(socket, name)) for name in unit["RestrictAddressFamilies"][-1].split()]
    for family in set(range(_MAX_FAMILY + 1)) - set(permitted):
        families.add(_ERRNO | _EAFNOSUPPORT, "socket", Comparison(0, _EQUAL, family, 0))
    memory = Filter(library, _ALLOW)
    if unit["MemoryDenyWriteExecute"] == ["yes"]:
        both = _PROT_WRITE | _PROT_EXEC
        memory.add(_ERRNO | _EPERM, "mmap", Comparison(2, _MASKED_EQUAL, both, both))
        for call in ("mprotect", "pkey_mprotect"):
            memory.add(_ERRNO | _EPERM, call, Comparison(2, _MASKED_EQUAL, _PROT_EXEC, _PROT_EXEC))
    for rules in (families, memory, calls):
        rules.load()


if __name__ == "__main__":
    apply(directives(Path(sys.argv[1]).read_text()))
    os.execvp(sys.argv[2], sys.argv[2:])
