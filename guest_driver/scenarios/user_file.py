"""Scenario files of the user's own: loaded by path, with errors that name file and line."""

from __future__ import annotations

import importlib.util
import sys
import traceback
from pathlib import Path

from pvinfo.errors import UsageError

from .catalogue import Scenario, declared_in, forget

__all__ = ("split_word", "user_scenarios")


def split_word(word: str) -> tuple[Path, str] | None:
    """File and name that ``my.py`` or ``my.py::name`` stand for; None for a word that is no file."""
    path, _, name = word.partition("::")
    return (Path(path), name) if path.endswith(".py") else None


def _line_of(error: BaseException, path: Path) -> str:
    """``file:line`` of the innermost frame of the user's file, where the error came from."""
    if isinstance(error, SyntaxError) and error.filename is not None and error.lineno is not None:
        return f"{error.filename}:{error.lineno}"
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if Path(frame.filename) == path]
    return f"{path}:{lines[-1]}" if lines else str(path)


def user_scenarios(path: Path) -> tuple[Scenario, ...]:
    """The scenarios of the file at ``path``, which is run as a module; modules beside it can be imported from it.

    Raises: UsageError for a file that is missing, fails, or has no scenario, naming file and line.
    """
    absolute = path.resolve()
    if not absolute.is_file():
        raise UsageError(f"no scenario file {path}")
    module_name = f"guest_driver_user_scenarios.{absolute.as_posix()}"
    specification = importlib.util.spec_from_file_location(module_name, absolute)
    if specification is None or specification.loader is None:
        raise UsageError(f"{path} is no Python file")
    forget(module_name)
    module = importlib.util.module_from_spec(specification)
    sys.modules[module_name] = module
    sys.path.insert(0, str(absolute.parent))
    try:
        specification.loader.exec_module(module)
    except UsageError:
        raise
    except (Exception, SystemExit) as error:
        what = error.msg if isinstance(error, SyntaxError) else str(error) or "no message"
        raise UsageError(f"{_line_of(error, absolute)}: {type(error).__name__}: {what}") from error
    finally:
        sys.path.remove(str(absolute.parent))
    found = declared_in(module_name)
    if not found:
        raise UsageError(f"{path} has no scenario: a function with @guest_driver.scenarios.scenario() is one")
    return found
