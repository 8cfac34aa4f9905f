"""The report of a run: HTML pages with pictures of what the guests did."""

from __future__ import annotations

from .page import render_report

__all__ = ("render_report",)
