"""The protocol documentation, rendered from the declarations: HTML, Markdown and a C header.

:func:`collect` walks the declarations into plain records (:mod:`.model`), which the renderers turn into text; a
renderer is handed everything it shows and looks nothing up.
"""

from __future__ import annotations

from .collect import collect
from .model import Documentation
from .output import FORMATS, render, write_documentation

__all__ = ("FORMATS", "Documentation", "collect", "render", "write_documentation")
