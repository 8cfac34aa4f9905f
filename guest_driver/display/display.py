"""The display of one driver: its outputs, and the screens they show.

Source: linux:drivers/gpu/drm/i915/display/intel_display_driver.c
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Final, final

from pvinfo.connector import Connector, Port
from pvinfo.display_mode import DisplayMode
from pvinfo.errors import DriverError, StateError, UsageError
from pvinfo.registers import PIPE_BASES, PlaneTiling

from ..state import DriverState
from .broxton_phy import power_up_layers
from .core_clock import CoreClock
from .framebuffer import Framebuffer
from .hotplug import HotplugWatch
from .output import Output, outputs_of
from .port_clock import port_clocks
from .power import DisplayWells, Well
from .screen import Screen

if TYPE_CHECKING:
    from ..driver import GuestDriver

__all__ = ("Display",)

_SETTLE_NS: Final = 100_000_000
"""Between a hot plug and the look that follows it."""


@final
class Display:
    """The display of a driver. It is taken up when it is first asked for anything, and given back at the unload.

    ::

        display = driver.display
        display.detect()
        screen = display.set_mode()               # the first monitor, as it likes it best
        screen.framebuffer.draw(rows)
        screen.flip(another).wait()
        screen.cursor.show(picture, hot_spot=(3, 3), at=(100, 80))
    """

    def __init__(self, driver: GuestDriver) -> None:
        self._driver = driver
        self._outputs: tuple[Output, ...] | None = None
        self.wells = DisplayWells(driver.uncore, driver.interrupts)
        """Its power."""
        self.core_clock = CoreClock(driver.uncore)
        self._clocks = port_clocks(driver.uncore)
        self._watch: HotplugWatch | None = None
        self._own_framebuffers: list[Framebuffer] = []
        self.screens: dict[str, Screen] = {}
        """What pipes show, by their names."""
        self.hotplugs = 0
        """How often something was plugged in or out while the driver watched."""
        self.on_hotplug: Callable[[Output], None] | None = None
        """Called with each output whose monitor came or went, after it was looked at again."""

    # ---- coming and going ----

    def take_up(self, connectors: Iterable[Connector] | None = None) -> None:
        """Power the display, set its clock, and watch its ports. ``connectors`` are those that the firmware's tables speak of;
        without, every port that the part has counts, with both kinds of cable. Nothing happens when that was done.

        Raises: StateError unless the driver is READY; DriverError, WaitTimeout among them, when power or clock do not come, or the
        part has no display.
        """
        if self._outputs is not None:
            return
        driver = self._driver
        driver.states.require("use of the display", DriverState.READY)
        if not driver.info.has_display:
            raise DriverError(f"this {driver.platform.title} has no display: it was fused off")
        try:
            self._power_up()
        except DriverError:
            self.wells.end()
            raise
        uncore = driver.uncore
        outputs = outputs_of(uncore) if connectors is None else tuple(Output(uncore, connector) for connector in connectors)
        self._outputs = outputs
        self._watch = HotplugWatch(uncore, driver.interrupts, dict.fromkeys(output.connector.port for output in outputs), self._plugged)
        self._watch.start()

    def _power_up(self) -> None:
        """``intel_power_domains_init_hw``. Raises: DriverError."""
        self.wells.init()
        self.core_clock.init()
        self.wells.switch_buffer(True)
        self.wells.get(Well.PW2)
        if self._driver.platform.name == "bxt":
            power_up_layers(self._driver.uncore)

    def shut_down(self) -> None:
        """Switch every screen off and give the power back; what does not go off is said in the log. Nothing happens when the display
        was not taken up."""
        if self._outputs is None:
            return
        for screen in tuple(self.screens.values()):
            self.switch_off(screen)
        if self._watch is not None:
            self._watch.stop()
        self._watch = self._outputs = None
        try:
            self.wells.switch_buffer(False)
        except DriverError as error:
            self._driver.log.error("display-off", str(error))
        self.wells.end()

    # ---- outputs ----

    @property
    def outputs(self) -> tuple[Output, ...]:
        """Every output. Raises: as :meth:`take_up`."""
        self.take_up()
        assert self._outputs is not None, "taken up"
        return self._outputs

    def detect(self) -> tuple[Output, ...]:
        """Look for monitors at every output; those that have one. Raises: as :meth:`take_up`, and when a way to one does not work."""
        return tuple(output for output in self.outputs if output.detect())

    def _plugged(self, port: Port) -> None:
        self.hotplugs += 1
        self._driver.log.info("hotplug", f"something was plugged in or out at port {port.value}")
        self._driver.work.after(_SETTLE_NS, lambda: self._look_again(port))

    def _look_again(self, port: Port) -> None:
        """What a worker does a while after a hot plug (``i915_hotplug_work_func``)."""
        for output in self._outputs or ():
            if output.connector.port is not port:
                continue
            before = output.edid_bytes
            try:
                output.detect()
            except DriverError as error:
                self._driver.log.error("detection", f"{output.connector}: {error}")
            if output.edid_bytes != before and self.on_hotplug is not None:
                self.on_hotplug(output)

    # ---- screens ----

    def create_framebuffer(self, width: int, height: int, tiling: PlaneTiling = PlaneTiling.LINEAR, name: str = "frame buffer") -> Framebuffer:
        """A picture that screens can show, black. Raises: as :class:`Framebuffer`."""
        self.take_up()
        return Framebuffer(self._driver, width, height, tiling, name)

    def set_mode(
        self, output: Output | None = None, mode: DisplayMode | None = None, framebuffer: Framebuffer | None = None, *, pipe: str = "PIPE_A"
    ) -> Screen:
        """Show a picture on a monitor: by default on the first that is found, as it likes it best, a new and black one.

        What ``pipe`` showed before is switched off first. A frame buffer made here goes when its screen is switched off.

        Raises: UsageError for an unknown pipe, or a mode that the cable does not carry; DriverError, WaitTimeout among them, when there
        is no monitor, or something of the display does not do as it should: which register, what it read, how long.
        """
        if pipe not in PIPE_BASES:
            raise UsageError(f"no pipe {pipe!r}; there are {', '.join(PIPE_BASES)}")
        if output is None:
            output = next((found for found in self.outputs if found.connected), None) or next(iter(self.detect()), None)
            if output is None:
                raise DriverError(f"no monitor at {', '.join(str(known.connector) for known in self.outputs)}")
        mode = mode if mode is not None else output.preferred
        if not output.can_send(mode):
            raise UsageError(f"{output.connector} does not carry {mode}: its pixel clock is {mode.pixel_clock_khz} kHz")
        for screen in tuple(self.screens.values()):
            if screen.pipe == pipe or screen.output.connector.port is output.connector.port:
                self.switch_off(screen)
        self.core_clock.need(mode.pixel_clock_khz)
        screen = Screen(self._driver, output, mode, pipe, self.wells, self._clocks)
        shown = framebuffer if framebuffer is not None else self.create_framebuffer(mode.hdisplay, mode.vdisplay, name=f"screen of {pipe}")
        try:
            screen.switch_on(shown)
        except (DriverError, UsageError):
            if framebuffer is None:
                shown.release()
            raise
        if framebuffer is None:
            self._own_framebuffers.append(shown)
        self.screens[pipe] = screen
        return screen

    def switch_off(self, screen: Screen) -> None:
        """Switch ``screen`` off. Raises: StateError when it is not one that is shown."""
        if self.screens.get(screen.pipe) is not screen:
            raise StateError(f"switching off {screen!r}", "off", "on")
        screen.switch_off()
        del self.screens[screen.pipe]
        for own in tuple(self._own_framebuffers):
            if all(shown.framebuffer is not own for shown in self.screens.values()):
                self._own_framebuffers.remove(own)
                own.release()
