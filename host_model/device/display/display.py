"""What a GPU drives: a monitor, if one is plugged in, and the pipes that feed it."""

from __future__ import annotations

from typing import TYPE_CHECKING, final

from pvinfo.connector import Link, Port, check_connector

from .ddc import EdidMemory
from .i2c_transfer import I2cTransfer
from .monitor import Monitor
from .pipes import Pipes
from .presence import Presence
from .sink import DisplayPortSink

if TYPE_CHECKING:
    from ..base import RegisterDevice

__all__ = ("Display",)


@final
class Display:
    """The display of one device."""

    def __init__(self, device: RegisterDevice) -> None:
        self._device = device
        self.monitor: Monitor | None = None
        self.pipes = Pipes(device)
        self.transfer = I2cTransfer()
        """What the I2C controller is doing."""
        self.presence = Presence(device)
        self._sink: DisplayPortSink | None = None
        self._memory: EdidMemory | None = None

    def plug(self, monitor: Monitor) -> None:
        """Plug in ``monitor``, in place of another one if there is one; software hears of it.

        Raises: UsageError when the GPU has no such connector; what was plugged in stays.
        """
        check_connector(monitor.connector, self._device.platform)
        self.unplug()
        self.connect(monitor)
        self.presence.show(monitor.connector.port)
        self.presence.tell(monitor.connector.port)

    def connect(self, monitor: Monitor) -> None:
        """Let ``monitor`` answer where nothing was plugged in. Nobody hears of it, and registers show nothing of it."""
        self.monitor = monitor
        if monitor.connector.link is Link.DISPLAYPORT:
            self._sink = DisplayPortSink(monitor.edid)
        else:
            self._memory = EdidMemory(monitor.edid)

    def disconnect(self) -> None:
        """Undo :meth:`connect`, as quietly."""
        self.transfer.stop()
        self.monitor = self._sink = self._memory = None

    def unplug(self) -> None:
        """Pull the cable; software hears of it."""
        if self.monitor is None:
            return
        port = self.monitor.connector.port
        self.disconnect()
        self.presence.show(None)
        self.presence.tell(port)

    @property
    def sink(self) -> DisplayPortSink | None:
        """The monitor's end of an AUX channel."""
        return self._sink

    @property
    def memory(self) -> EdidMemory | None:
        """The monitor's end of an I2C bus: of its own, or behind the AUX channel."""
        return self._sink.ddc if self._sink is not None else self._memory

    def sink_at(self, port: Port) -> DisplayPortSink | None:
        """Who answers on the AUX channel of ``port``."""
        return self._sink if self.monitor is not None and self.monitor.connector.port is port else None

    def memory_at(self, port: Port) -> EdidMemory | None:
        """Who answers on the I2C bus of ``port``."""
        return self._memory if self.monitor is not None and self.monitor.connector.port is port else None

    def reset(self) -> None:
        """The registers were reset. The cable stays where it is."""
        self.transfer.stop()
        self.presence.show(self.monitor.connector.port if self.monitor is not None else None)
        self.pipes.reset()

    def close(self) -> None:
        """The device goes away."""
        self.pipes.close()
