"""Clients that hold a stream of large items and do not read it, so that they have to be cut."""

from __future__ import annotations

import asyncio
import random

from benchmarks.soak.channels import BULK
from benchmarks.soak.doors import Doors
from benchmarks.soak.tally import Tally
from tests.harness.recovering_clients import Lost

_SILENCE_S = 20.0


async def dawdle(doors: Doors, number: int, seed: int, tally: Tally) -> None:
    """Ask and do not read, until the proxy has had enough; again and again, every third of them by TLS."""
    dice = random.Random(f"{seed} dawdler {number}")
    while not tally.is_over:
        connection = doors.open(2048, is_tls=number % 3 == 2)
        try:
            await connection.request(f"/live/{BULK[0]}")
            await connection.read_head()
            await asyncio.sleep(dice.uniform(5, _SILENCE_S))
            async with asyncio.timeout(10):
                while True:
                    await connection.receive()
        except Lost:
            tally.counts["slow readers cut"] += 1
        except TimeoutError:
            tally.counts["slow readers kept"] += 1
        finally:
            connection.close()
        await asyncio.sleep(dice.uniform(0, 1))
