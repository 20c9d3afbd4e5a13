# mypy: ignore-errors
"""The echo, and a look at the live heap at every turn of the loop."""

import asyncio
import gc

import config
import echo


def live():
    gc.collect()
    return gc.mem_alloc()


async def watch():
    start = live()
    task = asyncio.create_task(echo.client.run())
    peak = start
    while echo.echoed < config.ECHOES:
        await asyncio.sleep(0)
        peak = max(peak, live())
    await asyncio.sleep(0.2)
    print("heap", start, live(), peak)
    task.cancel()


def main():
    asyncio.run(watch())
