"""The documentation tells the truth: blocks of what is listed in `EXECUTED` are executed, and links lead somewhere.

A fenced block is marked in its info string. Within one `##` section, in order:

- `file=NAME`: the text of a file,
- `demo`: the command that serves the demo (`make run`, which is `holdfast demo` after an installation),
- `serve`: a command that goes on; the next block waits until its port is open,
- `backend`: a command that goes on, and connects to us by itself,
- `follow`: a command that goes on reading; every `run` after it must reach it,
- `talk`: the same, for a command that also sends what is typed, and gets it back,
- `run`: a command that ends well.

Ports in the text are replaced by free ones, so that the tests can run beside each other and beside a running Holdfast.
"""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.harness.ports import free_port
from tests.harness.timing import eventually, scaled

from holdfast.config.table import variables

PROJECT = Path(__file__).resolve().parents[1]
README = PROJECT / "README.md"
OTHER_VARIABLES = {"HOLDFAST_TEST_TIME_FACTOR", "HOLDFAST_TEST_PROXY", "HOLDFAST_SECTION_KEY"}
DOCUMENTS = [*sorted(PROJECT.glob("*.md")), *sorted((PROJECT / "docs").rglob("*.md"))]
EXECUTED = [README, PROJECT / "docs" / "zeromq.md"]
KINDS = {"demo", "serve", "backend", "follow", "talk", "run"}
PORTS = ("7999", "5560", "5561", "8000", "8001", "8002", "10000")


@dataclass(frozen=True)
class Block:
    """A marked block: its section, `mark` (a kind, or `file=NAME`), and text."""

    section: str
    mark: str
    text: str


def marked_blocks(text: str) -> Iterator[Block]:
    """The blocks of a document that carry a mark."""
    for section in re.split(r"^## ", text, flags=re.MULTILINE):
        for mark, body in re.findall(r"^```\w+ (\S+)\n(.*?)^```$", section, re.MULTILINE | re.DOTALL):
            yield Block(section.partition("\n")[0], mark, body)


BLOCKS = [(document, block) for document in EXECUTED for block in marked_blocks(document.read_text())]
SECTIONS = list(dict.fromkeys((document, block.section) for document, block in BLOCKS))


class Reader:
    """The workplace of someone who follows one section: a directory, free ports, and what is running."""

    def __init__(self, directory: Path, resources: ExitStack) -> None:
        self.directory = directory
        self._resources = resources
        self._ports = {port: str(free_port()) for port in PORTS}
        self._followed: list[Path] = []
        self._environment = {
            **os.environ,
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "PYTHONPATH": str(PROJECT / "src"),
            "PYTHONUNBUFFERED": "1",
            "HOLDFAST_RUNNER_HTTP_PORT": self._ports["7999"],
            "HOLDFAST_HANDLER_PUSH_IN_HTTP_PORT": self._ports["5561"],
            # a configuration of Pushpin's that is installed here opens these, and other tests may, too
            "HOLDFAST_HANDLER_PUSH_IN_SPEC": "",
            "HOLDFAST_HANDLER_PUSH_IN_SUB_SPECS": "",
            "HOLDFAST_HANDLER_COMMAND_SPEC": "",
            "HOLDFAST_HANDLER_STATS_SPEC": "",
            "GRIP_URL": f"http://localhost:{self._ports['5561']}",
        }

    def do(self, block: Block) -> None:
        """Do what a block says."""
        text = re.sub(r"\b(" + "|".join(PORTS) + r")\b", lambda found: self._ports[found[1]], block.text)
        match block.mark.partition("="):
            case ("file", "=", name):
                (self.directory / name).write_text(text)
            case ("demo", *_):
                assert text == "make run\n"
                self._serve(f"holdfast demo --port {self._ports['7999']} --control-port {self._ports['5561']}")
            case ("serve", *_):
                self._serve(text)
            case ("backend", *_):
                self._start(text, self.directory / f"{self._count()}.backend")
            case ("follow", *_):
                self._follow(text)
            case ("talk", *_):
                self._talk(text)
            case ("run", *_):
                self._run(text)
            case _:
                pytest.fail(f"unknown mark {block.mark!r}: {sorted(KINDS)} or file=NAME")

    def _start(self, command: str, output: Path) -> subprocess.Popen[bytes]:
        with output.open("wb") as file:
            process = subprocess.Popen(
                ["bash", "-c", f"exec {command}"],
                stdin=subprocess.PIPE,
                stdout=file,
                stderr=subprocess.STDOUT,
                cwd=self.directory,
                env=self._environment,
            )
        self._resources.callback(process.communicate)
        self._resources.callback(process.terminate)
        return process

    def _serve(self, command: str) -> None:
        output = self.directory / f"{self._count()}.serve"
        process = self._start(command, output)
        ports = [self._ports["8000"]] if "backend.py" in command else [self._ports["7999"], self._ports["5561"]]

        def is_open(port: str) -> bool:
            assert process.poll() is None, f"{command}\n{output.read_text()}"
            with socket.socket() as probe:
                return probe.connect_ex(("127.0.0.1", int(port))) == 0

        eventually(lambda: all(map(is_open, ports)), f"{command} to listen", timeout_s=15)

    def _follow(self, command: str) -> subprocess.Popen[bytes]:
        output = self.directory / f"{self._count()}.follow"
        process = self._start(command.replace("curl ", "curl -sS ", 1), output)
        eventually(output.read_bytes, f"the first bytes of {command}")
        self._followed.append(output)
        return process

    def _talk(self, command: str) -> None:
        process = self._follow(command)
        assert process.stdin is not None
        process.stdin.write(b"typed\n")
        process.stdin.flush()
        eventually(lambda: b"typed" in self._followed[-1].read_bytes(), f"the answer to what was typed into {command}")

    def _run(self, command: str) -> None:
        before = [output.stat().st_size for output in self._followed]
        result = subprocess.run(
            ["bash", "-ec", command],
            cwd=self.directory,
            env=self._environment,
            capture_output=True,
            text=True,
            timeout=scaled(20),
        )
        assert result.returncode == 0, f"{command}\n{result.stdout}{result.stderr}"

        def has_reached_all() -> bool:
            return all(output.stat().st_size > size for output, size in zip(self._followed, before, strict=True))

        eventually(has_reached_all, f"{command} to reach every follower")

    def _count(self) -> int:
        return len(list(self.directory.iterdir()))


@pytest.fixture
def reader(tmp_path: Path) -> Iterator[Reader]:
    with ExitStack() as resources:
        yield Reader(tmp_path, resources)


def blocks_of(document: Path, section: str) -> list[Block]:
    return [block for where, block in BLOCKS if (where, block.section) == (document, section)]


@pytest.mark.parametrize(("document", "section"), SECTIONS, ids=[f"{path.stem}-{name}" for path, name in SECTIONS])
def test_section(document: Path, section: str, reader: Reader) -> None:
    for block in blocks_of(document, section):
        reader.do(block)


def test_the_first_screen_is_among_them() -> None:
    assert SECTIONS[0] == (README, "Try it")
    assert [block.mark for block in blocks_of(README, "Try it")] == ["demo", "follow", "run"]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(PROJECT)))
def test_links_lead_somewhere(document: Path) -> None:
    targets = re.findall(r"\]\(([^)#]+)[^)]*\)", document.read_text())
    missing = [target for target in targets if "://" not in target and not (document.parent / target).exists()]
    assert not missing


def test_the_readme_leads_to_every_page() -> None:
    pages = {f"docs/{path.name}" for path in (PROJECT / "docs").glob("*.md")}
    assert sorted(pages - set(re.findall(r"\]\(([^)#]+)", README.read_text()))) == []


def test_decisions_are_numbered_and_listed() -> None:
    folder = PROJECT / "docs" / "decisions"
    pages = sorted(folder.glob("0*.md"))
    titles = [page.read_text().partition("\n")[0].removeprefix("# ") for page in pages]
    assert [int(page.name[:4]) for page in pages] == list(range(1, len(pages) + 1))
    listed = re.findall(r"^(\d+\. )\[(.*)\]\((.*)\)$", (folder / "README.md").read_text(), re.MULTILINE)
    assert listed == [
        (f"{number}. ", title.partition(" ")[2], page.name)
        for number, (page, title) in enumerate(zip(pages, titles, strict=True), 1)
    ]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(PROJECT)))
def test_named_source_files_exist(document: Path) -> None:
    names = re.findall(r"`((?:src|tests|scripts|docs|benchmarks|changes)/[\w./-]+)`", document.read_text())
    assert not [name for name in names if not (PROJECT / name).exists()]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(PROJECT)))
def test_named_variables_set_something(document: Path) -> None:
    names = re.findall(r"\bHOLDFAST_[A-Z_]*[A-Z]\b(?!_<)", document.read_text())
    assert sorted(set(names) - set(variables()) - OTHER_VARIABLES) == []


TOUR = PROJECT / "docs" / "tour.md"
PACKAGE = PROJECT / "src" / "holdfast"


def named_in(text: str, folder: Path) -> Iterator[str]:
    """The source files that a section of the tour names, relative to the package; `folder` is what it is about."""
    for name in re.findall(r"`((?:\w+/)*\w+\.py)`", text):
        path = folder / name if (folder / name).exists() else PACKAGE / name
        yield str(path.relative_to(PACKAGE))


def tour_sections() -> Iterator[tuple[Path, str]]:
    """The sections of the tour, each with its folder; the stories of the tour are about the whole package."""
    for section in re.split(r"^###? ", TOUR.read_text(), flags=re.MULTILINE):
        title = re.match(r"`(\w+)/`\n", section)
        yield PACKAGE / title[1] if title else PACKAGE, section


MODULES = sorted(str(path.relative_to(PACKAGE)) for path in PACKAGE.rglob("*.py") if path.name[0] != "_")


def test_the_tour_names_only_what_is_there() -> None:
    names = {name for folder, section in tour_sections() for name in named_in(section, folder)}
    assert sorted(name for name in names - set(MODULES) if not name.startswith("tests/")) == []


@pytest.mark.parametrize("folder", sorted({module.partition("/")[0] for module in MODULES if "/" in module}))
def test_the_tour_visits_every_module_of_a_folder(folder: str) -> None:
    there = {module for module in MODULES if module.startswith(f"{folder}/")}
    named = {name for where, text in tour_sections() if where == PACKAGE / folder for name in named_in(text, where)}
    assert sorted(there - named) == []


def test_the_tour_visits_every_module_on_top() -> None:
    named = {name for folder, section in tour_sections() for name in named_in(section, folder)}
    assert sorted(module for module in MODULES if "/" not in module and module not in named) == []


def test_blocks_are_found_by_section() -> None:
    text = "# T\n```sh\nnot marked\n```\n## A\n```sh run\none\n```\n```text file=x\ntwo\nthree\n```\n## B\n"
    assert list(marked_blocks(text)) == [Block("A", "run", "one\n"), Block("A", "file=x", "two\nthree\n")]
