"""The protocol documentation, rendered from the declarations: HTML, Markdown and a C header."""

from __future__ import annotations
