"""The options of the live view, which more than one command has."""

from __future__ import annotations

import argparse

from pvinfo.errors import UsageError

from .server import ViewAddress, parse_view_address

__all__ = ("add_view_arguments", "view_address_of")


def add_view_arguments(parser: argparse.ArgumentParser | argparse._ArgumentGroup) -> None:
    """Give ``parser`` ``--view`` and ``--view-anywhere``."""
    parser.add_argument(
        "--view", metavar="[HOST:]PORT",
        help="serve a page with each screen and its counters, to look at in a browser; port 0 takes one that is free. "
        "Prints \"view URL\". HOST is a loopback address (127.0.0.1)",
    )  # fmt: skip
    parser.add_argument(
        "--view-anywhere", action="store_true",
        help="let HOST be any address of this machine: whoever reaches it sees the guests' screens",
    )  # fmt: skip


def view_address_of(arguments: argparse.Namespace) -> ViewAddress | None:
    """Where the view is to be, None without one. Raises: UsageError."""
    anywhere: bool = arguments.view_anywhere
    if arguments.view is None:
        if anywhere:
            raise UsageError("--view-anywhere goes with --view [HOST:]PORT")
        return None
    return parse_view_address(arguments.view, anywhere=anywhere)
