"""How CPython drives a loop from within another one: MicroPython has but one, and allows it."""

import asyncio
import atexit

_loop = None


def _own():
    global _loop
    if _loop is None:
        _loop = asyncio.new_event_loop()
        atexit.register(_close)
    return _loop


def _close():
    # A program that ends does so without a word of what was under way
    _loop.run_until_complete(_cancelled(asyncio.all_tasks(_loop)))
    _loop.close()


async def _cancelled(tasks):
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def drive(coro):
    """As simple.drive()."""
    running = asyncio._get_running_loop()
    asyncio._set_running_loop(None)
    try:
        return _own().run_until_complete(coro)
    finally:
        asyncio._set_running_loop(running)


def spawn(coro):
    """As asyncio.create_task(), for the loop that drive() drives."""
    return _own().create_task(coro)
