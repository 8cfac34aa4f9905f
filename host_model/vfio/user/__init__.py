"""vfio-user: devices served to a virtual machine monitor over a Unix socket.

From the wire inwards: :mod:`.session` reads and writes the socket, :mod:`.connection` knows the stream, :mod:`.device_server`
does what a request says, :mod:`.regions` and :mod:`.interrupts` are its two halves. :class:`VfioUserServer` is the loop.
"""

from __future__ import annotations

from .serve import ServedDevice, VfioUserServer

__all__ = ("ServedDevice", "VfioUserServer")
