"""Looking names up: each once at a time, and none keeps the others waiting."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest

import holdfast.net.resolving as resolving
from holdfast.net.resolving import Resolver

ANSWER = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.9", 80))]


class System:
    """Answers when the test says so."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.is_answering = threading.Event()

    def getaddrinfo(self, host: str, port: int, **options: Any) -> list[Any]:
        if options["flags"]:
            raise socket.gaierror(socket.EAI_NONAME, "not an address")
        self.asked.append(host)
        if host != "quick":
            assert self.is_answering.wait(10)
        if host == "unknown":
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return ANSWER


@pytest.fixture
def system(monkeypatch: pytest.MonkeyPatch) -> Iterator[System]:
    system = System()
    monkeypatch.setattr(socket, "getaddrinfo", system.getaddrinfo)
    yield system
    system.is_answering.set()


async def test_an_address_is_its_own() -> None:
    (info,) = await Resolver(asyncio.get_running_loop()).resolve("127.0.0.1", 80)
    assert info[-1] == ("127.0.0.1", 80)


async def test_a_name() -> None:
    assert await Resolver(asyncio.get_running_loop()).resolve("localhost", 80)


async def test_a_name_is_asked_for_once_at_a_time(system: System) -> None:
    """Also if who asked first does not wait any more."""
    resolver = Resolver(asyncio.get_running_loop())
    loop = asyncio.get_running_loop()
    first, second, other = (loop.create_task(resolver.resolve(host, 80)) for host in ("slow", "slow", "unknown"))
    await asyncio.sleep(0.01)
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    system.is_answering.set()
    assert await second == ANSWER
    with pytest.raises(OSError, match="not known"):
        await other
    assert sorted(system.asked) == ["slow", "unknown"]
    assert await resolver.resolve("slow", 80) == ANSWER
    assert len(system.asked) == 3


async def test_names_that_nobody_answers_for_do_not_matter_to_others(
    system: System, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Up to a bound."""
    monkeypatch.setattr(resolving, "MAX_LOOKUPS", 20)
    resolver = Resolver(asyncio.get_running_loop())
    loop = asyncio.get_running_loop()
    slow = [loop.create_task(resolver.resolve(f"slow{number}", 80)) for number in range(19)]
    await asyncio.sleep(0.01)
    assert await resolver.resolve("quick", 80) == ANSWER
    slow.append(loop.create_task(resolver.resolve("last", 80)))
    await asyncio.sleep(0.01)
    with pytest.raises(OSError, match="too many names"):
        await resolver.resolve("quick", 80)
    system.is_answering.set()
    await asyncio.gather(*slow)


def test_an_answer_that_comes_after_the_end(system: System) -> None:
    async def give_up() -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.02):
                await Resolver(asyncio.get_running_loop()).resolve("slow", 80)

    asyncio.run(give_up())
    (thread,) = [thread for thread in threading.enumerate() if thread.name == "look up slow"]
    system.is_answering.set()
    thread.join()
