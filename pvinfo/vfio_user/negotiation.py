"""The opening of a vfio-user connection: versions and capabilities.

Source: vfio-user:VFIO_USER_VERSION
"""

from __future__ import annotations

import json
from typing import Annotated, Final, NamedTuple

from ..errors import WireError
from ..units import MIB, PAGE_SIZE
from ..wire import Codec, u16

__all__ = (
    "Capabilities",
    "MAX_DATA_SIZE_LIMIT",
    "VERSION",
    "VERSION_MAJOR",
    "VERSION_MINOR",
    "Version",
    "capability_text",
    "read_capabilities",
)

VERSION_MAJOR: Final = 0
VERSION_MINOR: Final = 0
MAX_DATA_SIZE_LIMIT: Final = 64 * MIB
"""What QEMU takes for a sane announcement at most. Source: qemu:hw/vfio-user/proxy.c"""


class Version(NamedTuple):
    """A proposed version and, in the reply, the agreed one; a NUL-terminated JSON text may follow."""

    major: Annotated[int, u16("must be the same on both sides")]
    minor: Annotated[int, u16("the reply's is at most the proposed one")]


VERSION: Final = Codec(Version, doc="body of VERSION", source="vfio-user:VFIO_USER_VERSION", size=4)


class Capabilities(NamedTuple):
    """The JSON object ``capabilities`` of a VERSION message. None: not given, the default holds."""

    max_msg_fds: int | None = None
    """File descriptors that the sender takes beside one message; default 1."""
    max_data_xfer_size: int | None = None
    """Bytes of data that the sender takes in one message; default 1 MiB."""
    max_dma_maps: int | None = None
    """Memory maps at one time; default 65535."""
    pgsizes: int | None = None
    """Page sizes of memory maps, or'ed together; default 4 KiB."""
    write_multiple: bool | None = None
    """The sender understands REGION_WRITE_MULTI; default no."""


_MOST_FDS: Final = 1024
"""More than any process may hold by default: a larger announcement is a mistake."""
_NUMBER_BOUNDS: Final = {
    "max_msg_fds": (0, _MOST_FDS),
    "max_data_xfer_size": (1, MAX_DATA_SIZE_LIMIT),
    "max_dma_maps": (1, 1 << 32),
    "pgsizes": (PAGE_SIZE, 1 << 52),
}


def read_capabilities(text: bytes) -> Capabilities:
    """The capabilities in what follows the :class:`Version` record; unknown ones are passed over.

    Raises: WireError for text that is no JSON object of the agreed form, is not NUL-terminated, or announces the impossible.
    """
    if not text:
        return Capabilities()
    if text[-1] != 0:
        raise WireError("Version", "data", VERSION.size, "the JSON text ends with a NUL byte")
    try:
        whole = json.loads(text[:-1].decode())
    except (ValueError, RecursionError):
        raise WireError("Version", "data", VERSION.size, "not a JSON text") from None
    given = whole.get("capabilities", {}) if isinstance(whole, dict) else None
    if not isinstance(given, dict):
        raise WireError("Version", "data", VERSION.size, "not an object whose member capabilities is an object")
    found: dict[str, int] = {}
    for name, (least, most) in _NUMBER_BOUNDS.items():
        if name in given:
            value = given[name]
            if type(value) is not int or not least <= value <= most:
                raise WireError("Version", f"data.{name}", VERSION.size, f"{str(value)[:40]} is no number from {least} to {most}")
            found[name] = value
    write_multiple = given.get("write_multiple")
    if not isinstance(write_multiple, bool | None):
        raise WireError("Version", "data.write_multiple", VERSION.size, f"{str(write_multiple)[:40]} is neither true nor false")
    return Capabilities(
        found.get("max_msg_fds"), found.get("max_data_xfer_size"), found.get("max_dma_maps"), found.get("pgsizes"), write_multiple
    )


def capability_text(capabilities: Capabilities) -> bytes:
    """``capabilities`` as the JSON text that follows the :class:`Version` record, NUL included."""
    given = {name: value for name, value in capabilities._asdict().items() if value is not None}
    return json.dumps({"capabilities": given}, separators=(",", ":")).encode() + b"\0"
