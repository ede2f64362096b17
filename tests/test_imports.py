"""The import rules of the source tree: parts import one way, and only some parts touch the outside world.

Every import statement counts, also those inside functions and under `TYPE_CHECKING`: a type that points upwards is a
dependency as well. The table below is the rule; docs/decisions/0001-parts-and-imports.md says why it is this one.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

PACKAGE = "holdfast"
SOURCE = Path(__file__).resolve().parents[1] / "src" / PACKAGE

LEAVES = {"errors", "counters", "logs", "timers"}
LAYERS = LEAVES | {"wire", "statistics", "grip", "routing", "push", "net"}
WHOLE_SERVER = LAYERS | {"proxy", "control", "config"}

MAY_IMPORT: dict[str, set[str]] = {
    "errors": set(),
    "counters": set(),
    "timers": set(),
    "logs": {"errors"},
    "wire": {"errors"},
    "grip": {"errors", "wire"},
    "routing": {"errors", "wire", "grip"},
    "statistics": {"counters", "timers", "wire"},
    "push": {"errors", "wire", "grip", "counters", "timers", "statistics"},
    "net": LEAVES | {"wire"},
    "config": LEAVES | {"wire", "statistics", "grip", "routing", "net"},
    "proxy": LAYERS,
    "control": LAYERS,
    "routes_source": {"errors", "logs", "routing", "config"},
    "publishing": LAYERS | {"config"},
    "parts": LAYERS | {"config", "proxy", "publishing"},
    "gauges": WHOLE_SERVER | {"publishing", "garbage"},
    "doors": WHOLE_SERVER | {"publishing"},
    "memory": set(),
    "descriptors": set(),
    "garbage": set(),
    "server": WHOLE_SERVER | {"routes_source", "publishing", "parts", "gauges", "doors", "garbage"},
    "supervisor": WHOLE_SERVER | {"server", "garbage", "memory", "descriptors"},
    "demo": WHOLE_SERVER | {"server", "supervisor"},
    "cli": WHOLE_SERVER | {"server", "supervisor", "demo"},
    "__main__": {"cli"},
    "__init__": set(),
}
"""Part -> the other parts that it may import. Each may import itself, and `holdfast.__version__`."""

PURE = {"errors", "counters", "timers", "wire", "statistics", "grip", "routing", "push"}
OUTSIDE_WORLD = {
    "asyncio", "multiprocessing", "os", "random", "secrets", "select", "selectors", "signal", "socket", "ssl",
    "subprocess", "threading", "time", "uvloop", "zmq",
}  # fmt: skip
"""What pure parts never import: clock, randomness, files and sockets reach them as arguments."""

ONLY_IN: dict[str, set[str]] = {
    "uvloop": {"net", "supervisor"},
    "zmq": {"net"},
    "asyncio": {"net", "proxy", "control", "routes_source", "doors", "server", "supervisor", "demo"},
}
"""Module -> the parts that may import it."""


@dataclass(frozen=True)
class Import:
    """One imported module, by its absolute dotted name, and the line that imports it."""

    module: str
    line: int


def part_of(module: str) -> str:
    """The part that a module of the package belongs to; `holdfast.cli` and `holdfast.cli_publish` are one."""
    names = module.split(".")
    if len(names) == 1:
        return "__init__"
    return "cli" if names[1].startswith("cli") else names[1]


def imports_of(module: str, source: str, *, is_package: bool = False) -> Iterator[Import]:
    """Every import in `source`, wherever it stands; a dynamic one counts as the module `<dynamic>`."""
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Import(names=names):
                yield from (Import(alias.name, node.lineno) for alias in names)
            case ast.ImportFrom(module=target, names=names, level=level):
                base = _absolute(module, target, level, is_package)
                yield from (Import(f"{base}.{alias.name}", node.lineno) for alias in names)
            case ast.Call(func=ast.Name(id="__import__") | ast.Attribute(attr="import_module")):
                yield Import("<dynamic>", node.lineno)
            case _:
                pass


def _absolute(module: str, target: str | None, level: int, is_package: bool) -> str:
    if level == 0:
        return target or ""
    package = module.split(".")[: None if is_package and level == 1 else -(level - is_package)]
    return ".".join([*package, target] if target else package)


def problem(module: str, imported: str) -> str | None:
    """What is wrong with `module` importing `imported`, or None."""
    part, top = part_of(module), imported.split(".")[0]
    if imported == "<dynamic>":
        return "imports by name at run time, which hides the dependency"
    if top == PACKAGE:
        other = part_of(imported)
        if imported == f"{PACKAGE}.__version__" or other in MAY_IMPORT[part] | {part}:
            return None
        return f"{part} may not import {other}"
    if part in PURE and top in OUTSIDE_WORLD:
        return f"{part} is pure and may not import {top}"
    if part not in ONLY_IN.get(top, {part}):
        return f"only {', '.join(sorted(ONLY_IN[top]))} may import {top}"
    return None


def violations(module: str, source: str, *, is_package: bool = False) -> list[tuple[int, str]]:
    """Line and text of every rule that one module breaks."""
    found = ((entry.line, problem(module, entry.module)) for entry in imports_of(module, source, is_package=is_package))
    return sorted({(line, text) for line, text in found if text is not None})


def module_name(path: Path) -> str:
    """The dotted name of a source file."""
    relative = path.relative_to(SOURCE.parent).with_suffix("")
    return ".".join(relative.parts[:-1] if relative.name == "__init__" else relative.parts)


FILES = sorted(SOURCE.rglob("*.py"))


def test_the_tree_is_found() -> None:
    assert SOURCE / "errors.py" in FILES


def test_every_part_has_a_rule_and_every_rule_a_part() -> None:
    assert {part_of(module_name(path)) for path in FILES} == set(MAY_IMPORT)


def test_parts_import_one_way() -> None:
    offenders = [
        f"{path}:{line}: {text}"
        for path in FILES
        if part_of(module_name(path)) in MAY_IMPORT
        for line, text in violations(module_name(path), path.read_text(), is_package=path.name == "__init__.py")
    ]
    assert not offenders, "\n" + "\n".join(offenders)


def circle(graph: dict[str, set[str]]) -> list[str]:
    """The modules of one import circle, or an empty list."""
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return list(error.args[1])
    return []


def without_type_checking(source: str) -> str:
    """The same source without its `if TYPE_CHECKING:` blocks."""

    class Remover(ast.NodeTransformer):
        def visit_If(self, node: ast.If) -> ast.stmt:
            return ast.Pass() if ast.unparse(node.test) == "TYPE_CHECKING" else node

    return ast.unparse(Remover().visit(ast.parse(source)))


def import_graph(modules: dict[str, str], packages: set[str]) -> dict[str, set[str]]:
    """Module -> the modules that it imports when it is imported or run. `modules` are sources by name."""

    def known(imported: str) -> str:
        return imported if imported in modules or not imported else known(imported.rpartition(".")[0])

    return {
        name: {
            known(entry.module)
            for entry in imports_of(name, without_type_checking(source), is_package=name in packages)
        }
        - {name, ""}
        for name, source in modules.items()
    }


def test_modules_do_not_import_each_other_in_a_circle() -> None:
    modules = {module_name(path): path.read_text() for path in FILES}
    packages = {module_name(path) for path in FILES if path.name == "__init__.py"}
    assert not circle(import_graph(modules, packages))


@pytest.mark.parametrize(
    ("sources", "expected"),
    [
        pytest.param({"holdfast.a": "import holdfast.b", "holdfast.b": "import os"}, [], id="none"),
        pytest.param(
            {"holdfast.a": "from holdfast import b", "holdfast.b": "def f():\n    from holdfast.a import A"},
            ["holdfast.a", "holdfast.b"],
            id="hidden in a function",
        ),
        pytest.param(
            {"holdfast.a": "import holdfast.b", "holdfast.b": "if TYPE_CHECKING:\n    from holdfast.a import A"},
            [],
            id="types may refer to each other within a part",
        ),
    ],
)
def test_circles_are_found(sources: dict[str, str], expected: list[str]) -> None:
    assert sorted(set(circle(import_graph(sources, set())))) == expected


def test_the_table_itself_goes_one_way() -> None:
    assert not circle(MAY_IMPORT)


@pytest.mark.parametrize(
    ("module", "source", "expected"),
    [
        pytest.param("holdfast.wire.sse", "import holdfast.errors", [], id="wire may see errors"),
        pytest.param("holdfast.push.x", "from holdfast.counters import Counters", [], id="push may count"),
        pytest.param("holdfast.net.x", "import uvloop, asyncio, ssl", [], id="net owns sockets"),
        pytest.param(
            "holdfast.cli_publish", "from holdfast import __version__, cli", [], id="cli modules are one part"
        ),
        pytest.param("holdfast.grip.x", "import asyncioo", [], id="whole names, not prefixes"),
        pytest.param("holdfast.grip.x", "from . import item\nfrom .item import Item", [], id="relative siblings"),
        pytest.param("holdfast.wire.x", "import holdfast.grip.item", [(1, "wire may not import grip")], id="upwards"),
        pytest.param("holdfast.grip.x", "from ..push import hold", [(1, "grip may not import push")], id="relative"),
        pytest.param("holdfast.grip.x", "from .. import push", [(1, "grip may not import push")], id="relative name"),
        pytest.param("holdfast.grip.x", "from holdfast import push", [(1, "grip may not import push")], id="from root"),
        pytest.param("holdfast.proxy.x", "import holdfast.control.a", [(1, "proxy may not import control")], id="side"),
        pytest.param(
            "holdfast.push.x", "import holdfast.logs", [(1, "push may not import logs")], id="push has no log"
        ),
        pytest.param(
            "holdfast.net.x", "import holdfast.grip.a", [(1, "net may not import grip")], id="net knows no grip"
        ),
        pytest.param(
            "holdfast.wire.x",
            "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from holdfast.net import runtime",
            [(3, "wire may not import net")],
            id="under TYPE_CHECKING",
        ),
        pytest.param(
            "holdfast.push.x",
            "def f():\n    import time\n    from asyncio import sleep",
            [(2, "push is pure and may not import time"), (3, "push is pure and may not import asyncio")],
            id="inside a function",
        ),
        pytest.param(
            "holdfast.routing.x", "import os.path", [(1, "routing is pure and may not import os")], id="os.path"
        ),
        pytest.param("holdfast.proxy.x", "import uvloop", [(1, "only net, supervisor may import uvloop")], id="uvloop"),
        pytest.param(
            "holdfast.config.x",
            "import asyncio",
            [(1, f"only {', '.join(sorted(ONLY_IN['asyncio']))} may import asyncio")],
            id="asyncio",
        ),
        pytest.param(
            "holdfast.wire.x",
            "import importlib\nimportlib.import_module('holdfast.net')",
            [(2, "imports by name at run time, which hides the dependency")],
            id="dynamic",
        ),
    ],
)
def test_the_checker_tells_good_from_bad(module: str, source: str, expected: list[tuple[int, str]]) -> None:
    assert violations(module, source) == expected


def test_relative_imports_of_a_package_are_its_own() -> None:
    assert violations("holdfast.grip", "from .item import Item\nfrom ..net import x", is_package=True) == [
        (2, "grip may not import net")
    ]
