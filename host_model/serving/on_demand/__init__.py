"""vGPUs that are made and taken away while a server runs: ``host-model serve --mdev``, ``host-model mdev``, ``host-model device``.

A folder shows them as sysfs shows mediated devices, in files that can be read. What acts goes by a control socket in that folder and not
by files that are written: nobody is told of a write to a plain file, and a FIFO in its place takes every write, whatever becomes of it,
while here who asks for the wrong thing at the wrong time is to be told why, and what would be legal.
"""

from __future__ import annotations

from .command import add_device_arguments, add_mdev_arguments, run_asked
from .control import ask
from .folder import OnDemand

__all__ = ("OnDemand", "add_device_arguments", "add_mdev_arguments", "ask", "run_asked")
