"""What sysfs shows of a GPU's mediated devices: a tree of attributes, in process or as files under a directory.

::

    mdev_supported_types/i915-GVTg_V5_4/name, device_api, available_instances, description, create
    devices/<uuid>/mdev_type (a link to the type's directory), remove, intel_vgpu/vgpu_id

Source: linux:Documentation/ABI/testing/sysfs-bus-vfio-mdev, linux:drivers/gpu/drm/i915/gvt/kvmgt.c (intel_vgpu_groups)
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Final, NamedTuple, final

from pvinfo.errors import UsageError

from .parent import MdevDevice, MdevParent, MdevType

__all__ = ("Attribute", "AttributeFiles", "AttributeTree")

_READ_ONLY: Final = 0o444
_TYPES: Final = "mdev_supported_types"
_DEVICES: Final = "devices"


class Attribute(NamedTuple):
    """One file of sysfs: what reading it shows, and what writing does. A file that only links has neither."""

    read: Callable[[], str] | None = None
    write: Callable[[str], None] | None = None
    link: str | None = None
    """Where a link leads, from its own directory."""


@final
class AttributeTree:
    """The attributes of ``parent`` and its devices as they are at this moment, by path."""

    def __init__(self, parent: MdevParent) -> None:
        self.parent = parent

    def attributes(self) -> dict[str, Attribute]:
        """Every attribute that there is now."""
        found: dict[str, Attribute] = {}
        for offered in self.parent.types.values():
            at = f"{_TYPES}/{offered.id}"
            found |= {f"{at}/{name}": attribute for name, attribute in self._of_type(offered).items()}
        for device in self.parent.devices.values():
            found |= {f"{_DEVICES}/{device.uuid}/{name}": attribute for name, attribute in self._of_device(device).items()}
        return found

    def _of_type(self, offered: MdevType) -> dict[str, Attribute]:
        def create(uuid: str) -> None:
            offered.create(uuid)

        return {
            "name": Attribute(lambda: f"{offered.name}\n"),
            "device_api": Attribute(lambda: f"{offered.device_api}\n"),
            "available_instances": Attribute(lambda: f"{offered.available_instances}\n"),
            "description": Attribute(lambda: offered.description),
            "create": Attribute(write=create),
        }

    def _of_device(self, device: MdevDevice) -> dict[str, Attribute]:
        def remove(text: str) -> None:
            if text.strip() != "1":
                raise UsageError(f"remove of {device.uuid}: {text!r} was written, 1 removes it")
            self.parent.remove(device.uuid)

        return {
            "mdev_type": Attribute(link=f"../../{_TYPES}/{device.type.id}"),
            "remove": Attribute(write=remove),
            "intel_vgpu/vgpu_id": Attribute(lambda: f"{device.made.number}\n"),
        }

    def _at(self, path: str) -> Attribute:
        attribute = self.attributes().get(path)
        if attribute is None:
            raise UsageError(f"attribute {path!r}: there is none of that path")
        return attribute

    def read(self, path: str) -> str:
        """What reading an attribute shows; of a link, where it leads.

        Raises: UsageError where there is none, or it cannot be read.
        """
        attribute = self._at(path)
        if attribute.link is not None:
            return attribute.link
        if attribute.read is None:
            raise UsageError(f"attribute {path!r} can only be written")
        return attribute.read()

    def write(self, path: str, text: str) -> None:
        """Write an attribute: a UUID to ``create``, 1 to ``remove``.

        Raises: UsageError where there is none, or it cannot be written; as :meth:`.MdevParent.create` and :meth:`.MdevParent.remove`.
        """
        attribute = self._at(path)
        if attribute.write is None:
            raise UsageError(f"attribute {path!r} can only be read")
        attribute.write(text)


@final
class AttributeFiles:
    """The tree as files under ``directory``, brought up to date whenever a device is made or removed, until it is closed.

    Attributes that act when they are written are not there: nobody is told of a write to a file, and a pipe in its place would take
    what is written and tell nobody what became of it.

    Raises: OSError.
    """

    ROOTS: Final = (_TYPES, _DEVICES)
    """What is shown in the directory itself."""

    def __init__(self, tree: AttributeTree, directory: Path) -> None:
        self._tree = tree
        self._directory = directory
        self._shown: dict[str, str] = {}
        """What stands in each file, or where a link leads."""
        self.refresh()
        tree.parent.on_change(self.refresh)

    def refresh(self) -> None:
        """Write what is new or has changed, remove what is no more. Raises: OSError."""
        links: set[str] = set()
        now: dict[str, str] = {}
        for path, attribute in self._tree.attributes().items():
            if attribute.link is not None:
                now[path] = attribute.link
                links.add(path)
            elif attribute.read is not None:
                now[path] = attribute.read()
        for path in self._shown.keys() - now.keys():
            self._remove(path)
        for path, text in now.items():
            if self._shown.get(path) != text:
                self._show(self._directory / path, text, link=path in links)
        self._shown = now

    def close(self) -> None:
        """Remove every file. Raises: OSError."""
        for path in self._shown:
            self._remove(path)
        self._shown = {}

    def _show(self, place: Path, text: str, *, link: bool) -> None:
        place.parent.mkdir(parents=True, exist_ok=True)
        fresh = place.with_name(f".{place.name}.new")
        fresh.unlink(missing_ok=True)
        if link:
            fresh.symlink_to(text)
        else:
            fresh.write_text(text, encoding="utf-8")
            fresh.chmod(_READ_ONLY)
        # A reader finds the old text or the new one, never a half.
        os.replace(fresh, place)

    def _remove(self, path: str) -> None:
        place = self._directory / path
        place.unlink(missing_ok=True)
        for above in place.parents:
            if above == self._directory or any(above.iterdir()):
                break
            above.rmdir()
