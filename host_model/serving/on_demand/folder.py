"""The folder of a server whose devices come and go: what is there to read, and where to ask."""

from __future__ import annotations

import shutil
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, final

from pvinfo.errors import SetupError

from ...vfio.mdev import AttributeFiles, AttributeTree, MdevParent
from .control import CONTROL, Control
from .policy import SocketPolicy
from .requests import Requests

if TYPE_CHECKING:
    from ..vgpus import ServedHost

__all__ = ("OnDemand",)


@final
class OnDemand:
    """The devices of ``server`` that are made in ``folder``, which is made where there is none.

    Raises: SetupError when the folder cannot be used.
    """

    def __init__(self, server: ServedHost, folder: Path) -> None:
        # Whoever asks may be in another directory.
        self.folder = folder = folder.absolute()
        self._is_new = not folder.exists()
        left_behind = (folder / CONTROL).is_socket()
        policy = SocketPolicy(server, folder)
        parent = MdevParent(server.host, policy=policy)
        try:
            folder.mkdir(exist_ok=True)
            self._control = Control(folder / CONTROL, server.selector, server.host.clock, Requests(parent, policy).answer)
            if left_behind:
                # What a server showed here that was killed is so no more.
                for shown in AttributeFiles.ROOTS:
                    shutil.rmtree(folder / shown, ignore_errors=True)
            try:
                self._files = AttributeFiles(AttributeTree(parent), folder)
            except BaseException:
                self._control.close()
                raise
        except OSError as error:
            raise SetupError(f"{folder} cannot be used for vGPUs on demand: {error.strerror}") from None

    def close(self) -> None:
        """Nothing is asked for any more, and nothing shown."""
        self._control.close()
        self._files.close()

    def remove_folder(self) -> None:
        """Once nothing is served in it: the folder goes, where it was made here and nobody has put anything there."""
        if self._is_new:
            with suppress(OSError):
                self.folder.rmdir()
