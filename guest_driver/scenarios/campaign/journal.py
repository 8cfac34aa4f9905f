"""The journal of a campaign: what is done so far, so that a campaign which was killed goes on where it was.

A file of lines, each of them a JSON object: the first says which campaign it is of, each other one what came of a unit. Lines are only
ever added, each by one write. A line that is not whole, because its writer was killed, is as if it had never been written.
"""

from __future__ import annotations

import fcntl
import json
import os
import stat
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from types import TracebackType
from typing import Final, final

import guest_driver
import host_model
import pvinfo
from pvinfo.errors import SetupError, UsageError

from ..outcome import Json, Outcome
from .plan import Plan, Unit
from .result import UnitResult

__all__ = ("Journal",)

_KIND: Final = "guest-driver campaign"
_FORMAT: Final = 1


def _sources(plan: Plan) -> str:
    """A digest of the kit and of the scenario files of users: what came of a unit may be another thing when one of them has changed."""
    digest = sha256(pvinfo.__version__.encode())
    roots = [Path(package.__path__[0]) for package in (guest_driver, host_model, pvinfo)]
    files = {path for root in roots for suffix in ("py", "tsv", "toml") for path in root.rglob(f"*.{suffix}")}
    for path in sorted(files | {Path(scenario.file) for scenario in plan.scenarios}):
        digest.update(sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def _line(content: Json) -> bytes:
    return json.dumps(content).encode() + b"\n"


def _result(line: bytes) -> UnitResult | None:
    """What a line says; None for one that is no result, or not whole."""
    try:
        content = json.loads(line)
        unit = Unit(**{field: content.pop(field) for field in Unit._fields})
        return UnitResult(unit, Outcome(content.pop("outcome")), **content)
    except (ValueError, TypeError, KeyError, AttributeError):
        return None


@final
class Journal:
    """The journal of ``plan`` at ``path``, which is made when there is none; with ``results`` of what is done already.

    Raises: UsageError for the journal of another campaign or of another state of the kit, and for a file that is no journal;
    SetupError for a file that cannot be used, or is being written by another campaign.
    """

    def __init__(self, path: Path, plan: Plan) -> None:
        self.path = path
        self.results: dict[Unit, UnitResult] = {}
        """By unit, what was done when the journal was opened, and since."""
        try:
            self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o666)
        except OSError as error:
            raise SetupError(f"{path} cannot be used as a journal: {error.strerror}") from error
        try:
            self._lock()
            self._take_up(plan)
        except BaseException:
            self.close()
            raise

    def _lock(self) -> None:
        if not stat.S_ISREG(os.fstat(self._file).st_mode):
            raise SetupError(f"{self.path} cannot be used as a journal: it is no regular file")
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise SetupError(f"{self.path} is the journal of a campaign that is under way in another process") from error

    def _take_up(self, plan: Plan) -> None:
        header: Json = {"journal": _KIND, "format": _FORMAT, "kit": pvinfo.__version__, "sources": _sources(plan), "plan": plan.to_json()}
        content = self.path.read_bytes()
        whole = content[: content.rfind(b"\n") + 1]
        if not whole:
            if not _line(header).startswith(content):
                raise UsageError(f"{self.path} is not empty, and no journal of a campaign")
            os.ftruncate(self._file, 0)
            self._write(header)
            return
        first, *lines = whole.splitlines()
        self._insist_on(header, first)
        os.ftruncate(self._file, len(whole))
        units = set(plan.units())
        for found in filter(None, map(_result, lines)):
            if found.unit in units:
                self.results[found.unit] = found

    def _insist_on(self, header: Json, first: bytes) -> None:
        """Raises: UsageError that says in what the journal is of another campaign."""
        try:
            found = json.loads(first)
        except ValueError:
            found = None
        if not isinstance(found, dict) or found.get("journal") != _KIND:
            raise UsageError(f"{self.path} is not empty, and no journal of a campaign")
        if found.get("format") != _FORMAT:
            raise UsageError(f"{self.path} has format {found.get('format')}, and this kit writes and reads format {_FORMAT}")
        differing = list(_differences(found.get("plan"), header["plan"]))
        if differing:
            raise UsageError(f"{self.path} is the journal of another campaign: {'; '.join(differing)}")
        for field, what in (("kit", "version of the kit"), ("sources", "state of the kit or of the scenario files")):
            if found.get(field) != header[field]:
                raise UsageError(f"{self.path} was written with another {what}, with which other things may come of the same units: begin a new one")

    def _write(self, content: Json) -> None:
        line = _line(content)
        try:
            written = os.write(self._file, line)
        except OSError as error:
            raise SetupError(f"{self.path} cannot be written: {error.strerror}") from error
        if written != len(line):
            raise SetupError(f"{self.path} cannot be written: only {written} of {len(line)} bytes of a line found room")

    def add(self, result: UnitResult) -> None:
        """Write down what came of a unit. Raises: SetupError when there is no room."""
        self._write(result.to_json())
        self.results[result.unit] = result

    def close(self) -> None:
        """Let another campaign have the file."""
        os.close(self._file)

    def __enter__(self) -> Journal:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()


def _differences(there: object, here: object) -> Iterator[str]:
    """In what two plans differ, axis by axis."""
    if not isinstance(there, dict) or not isinstance(here, dict):
        yield "it has no plan"
        return
    for axis, mine in here.items():
        theirs = there.get(axis)
        if theirs != mine:
            yield f"{axis} {_shown(theirs)} there, {_shown(mine)} here"


def _shown(values: object) -> str:
    if not isinstance(values, list):
        return str(values)
    words = [str(value) or "usual" for value in values]
    return ", ".join(words) if len(words) <= 6 else f"{', '.join(words[:3])} … {words[-1]} ({len(words)})"
