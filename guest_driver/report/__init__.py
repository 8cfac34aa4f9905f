"""Reports: HTML pages with pictures of what the guests of a run did, and a page over the many runs of a campaign."""

from __future__ import annotations

from .page import render_report

__all__ = ("render_report",)
