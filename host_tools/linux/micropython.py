"""`micropython`, as far as drivers use it."""

from collections.abc import Callable
from typing import Any, TypeVar

from . import machine

_T = TypeVar("_T")


def const(value: _T) -> _T:
    """Return `value`."""
    return value


def native(f: Callable[..., Any]) -> Callable[..., Any]:
    """Return `f`: no function is compiled here."""
    return f


viper = native


def alloc_emergency_exception_buf(size: int) -> None:
    """Do nothing: exceptions always find memory here."""


def schedule(f: Callable[[Any], Any], arg: Any) -> None:
    """Call `f(arg)` soon, in the device's loop."""
    machine.call_soon(f, arg)
