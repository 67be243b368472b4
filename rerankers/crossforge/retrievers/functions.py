"""Functions that a config names as `package.module:function`."""

from __future__ import annotations

import re
from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from crossforge.errors import CrossforgeError, InputError
from crossforge.files import sha256

_DOTTED = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*")


def named_function(path: str) -> object:
    """Import it. This runs the code of its module: see `trust`.

    Raises:
        InputError: it is no such name, or cannot be imported.
    """
    module, _, attribute = _require_dotted(path).partition(":")
    try:
        return getattr(import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise InputError(f"{path} cannot be imported ({error}); is its folder in PYTHONPATH?") from None
    except Exception as error:  # whatever the module of somebody else raises
        raise InputError(f"{path} cannot be imported: {_said(error)}") from error


def called(path: str, call: Callable[[], Any]) -> Any:
    """Run code of a named function and return its result.

    Args:
        path: name of the function, for messages.
        call: runs the code.

    Raises:
        InputError: it fails.
    """
    try:
        return call()
    except CrossforgeError:
        raise
    except Exception as error:  # whatever the function of somebody else raises
        raise InputError(f"{path} failed: {_said(error)}") from error


def source_hash(path: str) -> str:
    """The hash of the module's source file; empty if it has none.

    Raises:
        InputError: there is no such module, or the package around it cannot be imported.
    """
    module = _require_dotted(path).partition(":")[0]
    try:
        found = find_spec(module)
    except ImportError:
        found = None
    except Exception as error:  # the package around the module is imported
        raise InputError(f"{path} cannot be imported: {_said(error)}") from error
    if found is None:
        raise InputError(f"{path} cannot be imported (no module {module!r}); is its folder in PYTHONPATH?")
    return sha256(Path(found.origin)) if found.origin and Path(found.origin).is_file() else ""


def _said(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())}"


def _require_dotted(path: str) -> str:
    if not _DOTTED.fullmatch(path):
        raise InputError(f"{path!r} names no function; expected package.module:function")
    return path
