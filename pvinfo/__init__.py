"""The contract between a GVT-g guest driver and its host, as typed declarations.

Each declaration is at once layout, typed access and documentation: the PVINFO page (:mod:`pvinfo.page`),
registers (:mod:`pvinfo.registers`), table entries, PCI and vfio-user records, and the Protocols at which the
two sides meet (:mod:`pvinfo.bus`).
"""

from __future__ import annotations

import sys

if sys.byteorder != "little":
    raise ImportError("gvtg-cosim keeps registers and page tables in native byte order and needs a little-endian host")

__version__ = "0.1.0"
