"""All commands of the 2D engine."""

from __future__ import annotations

from . import copy_commands, fill_commands, full_commands, linear_commands, setup_commands  # noqa: F401

__all__ = ()
