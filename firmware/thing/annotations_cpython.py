"""Params from a function's annotations, which MicroPython does not keep."""

import inspect

from .registry import NEEDED, Param


def declared(do):
    """A Param for each argument of function `do`, with the annotation as its kind (str without
    one) and the default; None where there are annotations of other kinds, or *args."""
    params = []
    for p in inspect.signature(do, eval_str=True).parameters.values():
        if p.kind not in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD):
            return None
        kind = str if p.annotation is p.empty else p.annotation
        if kind not in (bool, int, float, str) and not isinstance(kind, tuple):
            return None
        default = NEEDED if p.default is p.empty else p.default
        params.append(Param(p.name, kind, default=default))
    if params and not do.__annotations__:
        return None
    return tuple(params)
