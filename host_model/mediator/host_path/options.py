"""The option of ``serve`` and ``boot`` that is about what the host's own driver has of the GPU."""

from __future__ import annotations

import argparse

from pvinfo.errors import UsageError

from .device import HOST_WEIGHT

__all__ = ("add_weight_argument", "own_weight_of")


def add_weight_argument(parser: argparse._ActionsContainer) -> None:
    """Give ``parser`` ``--own-weight``."""
    parser.add_argument(
        "--own-weight", type=int, metavar="N", help=f"its share of the GPU's time, beside the weights of the vGPUs' types ({HOST_WEIGHT})"
    )


def own_weight_of(arguments: argparse.Namespace) -> int | None:
    """The weight of the host's own device; None where there is none. Raises: UsageError for a weight of none."""
    weight: int | None = arguments.own_weight
    if not arguments.own:
        if weight is not None:
            raise UsageError(f"--own-weight {weight} is of the host's own device: it goes with --own")
        return None
    return HOST_WEIGHT if weight is None else weight
