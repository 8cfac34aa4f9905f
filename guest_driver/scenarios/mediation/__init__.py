"""Scenarios of what stands between a vGPU's work and the GPU: the audit, shadow tables, turns, resets. One module per idea.

Most have a second guest, which must notice nothing of what the first one does.
"""

from __future__ import annotations

from ..needs import Needs

TITLE = "Work through a mediator"

ORDER = ("neighbours", "at_random", "refused_commands", "refused_contexts", "tables", "rewritten", "reset", "moved")
"""The modules in the order in which they are best read; others follow by name."""

TWO = Needs(vgpus=2)
