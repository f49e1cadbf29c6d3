"""A name for a function that stands for its code, so that an edited tool never answers with its old results."""

from __future__ import annotations

import hashlib
import types
from itertools import count
from typing import Any
from uuid import uuid4

__all__ = ["identity_of"]

_PROCESS = uuid4().hex
_numbers = count()
_STABLE = (str, bytes, int, float, complex, bool, type(None), type(Ellipsis))


def identity_of(func: Any) -> str:
    """Return a text that is equal only for functions that do the same.

    A plain function is known by its module, name, file and compiled code, in every process. What holds more than its
    code (a closure, an object with a method, a default that is no simple value) is known in this process only, so its
    results are never taken from another's.
    """
    if isinstance(func, type):
        return f"{func.__module__}.{func.__qualname__}/{_alone()}"
    if not isinstance(func, types.FunctionType) or func.__closure__:
        return _alone()
    defaults = (func.__defaults__ or (), tuple(sorted((func.__kwdefaults__ or {}).items())))
    if not _is_stable(defaults) or hasattr(func, "__wrapped__"):
        return _alone()
    digest = hashlib.sha256(repr((_code(func.__code__), defaults)).encode("utf-8", "backslashreplace"))
    return f"{func.__module__}.{func.__qualname__}/{digest.hexdigest()}"


def _alone() -> str:
    return f"{_PROCESS}/{next(_numbers)}"


def _is_stable(value: Any) -> bool:
    if isinstance(value, tuple):
        return all(map(_is_stable, value))
    return type(value) in _STABLE


def _code(code: types.CodeType) -> tuple[Any, ...]:
    consts = tuple(_constant(value) for value in code.co_consts)
    return (code.co_filename, code.co_code.hex(), consts, code.co_names, code.co_varnames, code.co_freevars)


def _constant(value: Any) -> Any:
    if isinstance(value, types.CodeType):
        return _code(value)
    if isinstance(value, frozenset):
        return ("set", *sorted(map(repr, value)))
    if isinstance(value, tuple):
        return tuple(map(_constant, value))
    return value
