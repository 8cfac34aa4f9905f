"""A screen: a pipe that sends a mode to a monitor, what it shows, and how that changes.

Source: linux:drivers/gpu/drm/i915/display/intel_display.c (hsw_crtc_enable, hsw_crtc_disable),
linux:drivers/gpu/drm/i915/display/intel_ddi.c
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final, final

from pvinfo.connector import Link
from pvinfo.display_mode import DisplayMode
from pvinfo.errors import DriverError, StateError, UsageError
from pvinfo.registers import (
    DdiBufferControl,
    DdiFunctionControl,
    DdiMode,
    DdiPort,
    DdiPortRegisters,
    Pipe,
    PipeMisc,
    PlaneSurface,
    ScanLine,
    SpanTiming,
    TotalTiming,
    Transcoder,
    TranscoderConfig,
    TranscoderSwitch,
    WaterMark,
    WaterMarks,
)

from .cursor import ScreenCursor
from .framebuffer import Framebuffer
from .lanes import drive_lanes, prepare_lanes
from .link import LinkChoice, choose_link, link_ratios
from .link_training import LinkTraining
from .output import Output
from .plane import PrimaryPlane
from .port_clock import PortClocks
from .power import DisplayWells, port_well
from .vblank import Vblanks
from .watermarks import line_time, memory_latency_us, write_marks

if TYPE_CHECKING:
    from ..driver import GuestDriver

__all__ = ("Flip", "Screen")

_RUNS_TIMEOUT_NS: Final = 100_000_000
_STANDS_TIMEOUT_NS: Final = 100_000_000
_IDLE_BUFFER_TIMEOUT_NS: Final = 8_000
_ACTIVE_NS: Final = 518_000
_EVASION_NS: Final = 100_000
"""How long before a vertical blank no plane is changed: the registers would be taken over one by one."""
_EVASION_TRIES: Final = 100
_MSA_8BPC: Final = 0x21
"""Eight bits a component, and the pixel clock is made from the link's. Source: linux:include/drm/display/drm_dp.h (DP_MSA_MISC_SYNC_CLOCK)"""
_FLIP_TIMEOUT_NS: Final = 10_000_000_000


@final
class Flip:
    """A picture that was asked for."""

    def __init__(self, framebuffer: Framebuffer, asked_ns: int) -> None:
        self.framebuffer = framebuffer
        self.asked_ns = asked_ns
        self.done_ns: int | None = None
        """When it was seen to be shown."""
        self.frame: int | None = None
        """What the pipe had counted then."""
        self._wait: Callable[[], None] = lambda: None

    @property
    def done(self) -> bool:
        """It is shown."""
        return self.done_ns is not None

    def finish(self, now_ns: int, frame: int) -> None:
        """It is shown. For its screen."""
        self.done_ns, self.frame = now_ns, frame

    def wait_by(self, wait: Callable[[], None]) -> None:
        """How to wait for it. For its screen."""
        self._wait = wait

    def wait(self) -> None:
        """Wait until it is shown. Raises: WaitTimeout."""
        if not self.done:
            self._wait()


@final
class Screen:
    """One pipe, from mode set to its end. Made by :meth:`guest_driver.display.Display.set_mode`."""

    def __init__(self, driver: GuestDriver, output: Output, mode: DisplayMode, pipe: str, wells: DisplayWells, clocks: PortClocks) -> None:
        self._driver = driver
        self._uncore = driver.uncore
        self._wells = wells
        self._clocks = clocks
        self.output = output
        self.mode = mode
        self.pipe = pipe
        """As registers call it: ``PIPE_A``."""
        self.link: LinkChoice | None = None
        """How its DisplayPort link was trained."""
        self.on = False
        self._transcoder = f"TRANSCODER_{pipe[-1]}"
        self._port = f"PORT_{output.connector.port.value}"
        self._training: LinkTraining | None = None
        self.vblanks = Vblanks(driver.uncore, driver.interrupts, driver.work, pipe)
        self.plane = PrimaryPlane(driver.uncore, pipe, mode, memory_latency_us(driver.uncore) if driver.platform.graphics_version >= 9 else 2)
        self.cursor = ScreenCursor(driver, self.vblanks)
        self._undo: list[Callable[[], None]] = []

    def __repr__(self) -> str:
        return f"<Screen {self.pipe}: {self.mode} on {self.output.connector}{'' if self.on else ', off'}>"

    # ---- mode set ----

    def switch_on(self, framebuffer: Framebuffer) -> None:
        """Send the mode, showing ``framebuffer`` (``hsw_crtc_enable``).

        Raises: DriverError, WaitTimeout among them, naming what did not do as it should; everything was taken back then.
        """
        self._check(framebuffer)
        try:
            self._switch_on_port()
            self._set_transcoder()
            self._run()
            self.plane.show(framebuffer)
            self._undo.append(self.plane.show_nothing)
            self.vblanks.wait()
        except DriverError:
            self._take_back()
            raise
        self.on = True
        self._driver.log.info("mode-set", f"{self.output.connector} shows {self.mode} by {self.pipe}")

    def _take_back(self) -> None:
        """Undo what was done, the last first; what cannot be is said and left."""
        while self._undo:
            try:
                self._undo.pop()()
            except DriverError as error:
                self._driver.log.error("display-off", str(error))
        self.vblanks.close()

    def _check(self, framebuffer: Framebuffer) -> None:
        if framebuffer.width < self.mode.hdisplay or framebuffer.height < self.mode.vdisplay:
            raise UsageError(f"{framebuffer!r} is smaller than {self.mode}")

    def _switch_on_port(self) -> None:
        """Clock, power and lanes of the port, and its link (``intel_ddi_pre_enable``)."""
        connector, clocks, undo = self.output.connector, self._clocks, self._undo
        if connector.link is Link.DISPLAYPORT:
            sink = self.output.sink
            if sink is None or self.output.aux is None:
                raise DriverError(f"{connector}: no monitor was detected")
            self.link = choose_link(self.mode, sink.highest_rate_khz, sink.most_lanes)
        clocks.start(connector, self.link.rate_khz if self.link is not None else self.mode.pixel_clock_khz)
        undo.append(lambda: clocks.stop(connector))
        clocks.connect(connector)
        undo.append(lambda: clocks.disconnect(connector))
        well = port_well(self._driver.platform.name, connector.port)
        if well is not None:
            self._wells.get(well)
            undo.append(lambda: self._wells.put(well))
        prepare_lanes(self._uncore, connector.port, connector.link)
        if self.link is None:
            undo.append(self._switch_off_hdmi)
            clocks.connect_transcoder(self.pipe, connector.port)
            undo.append(lambda: clocks.disconnect_transcoder(self.pipe))
            return
        sink, aux = self.output.sink, self.output.aux
        assert sink is not None and aux is not None, "seen above"
        training = LinkTraining(
            self._uncore, connector, aux, sink, self.link, lambda level: drive_lanes(self._uncore, connector.port, Link.DISPLAYPORT, level)
        )
        drive_lanes(self._uncore, connector.port, Link.DISPLAYPORT, 0)
        training.switch_monitor(True)
        undo.append(training.stop)
        training.train()
        self._training = training
        clocks.connect_transcoder(self.pipe, connector.port)
        undo.append(lambda: clocks.disconnect_transcoder(self.pipe))
        undo.append(self._put_monitor_to_sleep)

    def _put_monitor_to_sleep(self) -> None:
        """Unless it was pulled out."""
        if self._training is not None and self.output.plugged_in:
            self._training.switch_monitor(False)

    def _set_transcoder(self) -> None:
        """Size, ratios and timings (``hsw_configure_cpu_transcoder``)."""
        uncore, mode, base = self._uncore, self.mode, self._transcoder
        uncore.write(Transcoder.pipesrc, TotalTiming.of(active=mode.vdisplay - 1, total=mode.hdisplay - 1), base)
        uncore.write(Pipe.misc, PipeMisc.of(psr_mask_sprite=uncore.platform.graphics_version == 8), self.pipe)
        if self.link is not None:
            ratios = link_ratios(mode.pixel_clock_khz, self.link)
            uncore.write(Transcoder.data_m1, ratios.data_m_register, base)
            uncore.write(Transcoder.data_n1, ratios.data_n, base)
            uncore.write(Transcoder.link_m1, ratios.link_m, base)
            uncore.write(Transcoder.link_n1, ratios.link_n, base)
        uncore.write(Transcoder.vsyncshift, 0, base)
        uncore.write(Transcoder.htotal, TotalTiming.of(active=mode.hdisplay - 1, total=mode.htotal - 1), base)
        uncore.write(Transcoder.hblank, SpanTiming.of(start=mode.hdisplay - 1, end=mode.htotal - 1), base)
        uncore.write(Transcoder.hsync, SpanTiming.of(start=mode.hsync_start - 1, end=mode.hsync_end - 1), base)
        uncore.write(Transcoder.vtotal, TotalTiming.of(active=mode.vdisplay - 1, total=mode.vtotal - 1), base)
        uncore.write(Transcoder.vblank, SpanTiming.of(start=mode.vdisplay - 1, end=mode.vtotal - 1), base)
        uncore.write(Transcoder.vsync, SpanTiming.of(start=mode.vsync_start - 1, end=mode.vsync_end - 1), base)
        uncore.write(Transcoder.mult, 0, base)
        uncore.write(TranscoderSwitch.conf, TranscoderConfig(0), base)
        uncore.read(TranscoderSwitch.conf, base)
        WaterMarks(uncore.regs).linetime["ABC".index(self.pipe[-1])] = line_time(uncore.platform, mode)
        write_marks(uncore, self.pipe, WaterMark(0))

    def _function(self) -> DdiFunctionControl:
        connector, mode = self.output.connector, self.mode
        if self.link is not None:
            kind, width = DdiMode.DP_SST, self.link.lanes - 1
        else:
            kind, width = DdiMode.HDMI if self.output.edid is not None and self.output.edid.hdmi else DdiMode.DVI, 0
        return DdiFunctionControl.of(
            enable=1, port=DdiPort(connector.port.number), mode=kind, port_width=width,
            vertical_sync_high=mode.vsync_positive, horizontal_sync_high=mode.hsync_positive,
        )  # fmt: skip

    def _run(self) -> None:
        """Couple the transcoder to the port and start it; HDMI's port is switched on last (``intel_enable_ddi``).

        Raises: WaitTimeout when it does not run.
        """
        uncore, base = self._uncore, self._transcoder
        if self.link is not None:
            uncore.write(Transcoder.msa_misc, _MSA_8BPC, base)
        uncore.write(Transcoder.ddi_func_ctl, self._function(), base)
        self._undo.append(self._decouple)
        uncore.modify(TranscoderSwitch.conf, 0, TranscoderConfig.enable.mask, base)
        self._undo.append(self._stand)
        state = TranscoderConfig.state.mask
        uncore.wait_for(TranscoderSwitch.conf, state, state, _RUNS_TIMEOUT_NS, base)
        if self.link is None:
            port = self.output.connector.port
            drive_lanes(uncore, port, Link.HDMI)
            uncore.write(DdiPortRegisters.buf_ctl, DdiBufferControl.enable.mask, self._port)
            uncore.clock.wait_ns(_ACTIVE_NS)

    def _switch_off_hdmi(self) -> None:
        """Raises: WaitTimeout when the port does not become quiet."""
        uncore, idle = self._uncore, DdiBufferControl.idle.mask
        if not uncore.read(DdiPortRegisters.buf_ctl, self._port).enable:
            return
        uncore.modify(DdiPortRegisters.buf_ctl, DdiBufferControl.enable.mask, 0, self._port)
        uncore.wait_for(DdiPortRegisters.buf_ctl, idle, idle, _IDLE_BUFFER_TIMEOUT_NS, self._port)

    def _stand(self) -> None:
        """Raises: WaitTimeout when the transcoder does not stop."""
        uncore, base = self._uncore, self._transcoder
        uncore.modify(TranscoderSwitch.conf, TranscoderConfig.enable.mask, 0, base)
        uncore.wait_for(TranscoderSwitch.conf, TranscoderConfig.state.mask, 0, _STANDS_TIMEOUT_NS, base)

    def _decouple(self) -> None:
        mask = DdiFunctionControl.enable.mask | DdiFunctionControl.port.mask
        self._uncore.modify(Transcoder.ddi_func_ctl, mask, 0, self._transcoder)

    def switch_off(self) -> None:
        """Send nothing any more: in the reverse order (``hsw_crtc_disable``). Nothing happens when it is off.

        What does not become quiet in time is said in the driver's log.
        """
        if not self.on:
            return
        self.on = False
        self.cursor.hide()
        self._take_back()
        write_marks(self._uncore, self.pipe, WaterMark(0))

    # ---- pictures ----

    def _require_on(self, act: str) -> None:
        if not self.on:
            raise StateError(act, "off", "on")

    @property
    def framebuffer(self) -> Framebuffer | None:
        """What it was told to show last."""
        return self.plane.framebuffer

    @property
    def frames(self) -> int:
        """Frames that the pipe has counted."""
        return self.vblanks.count

    def wait_for_vblank(self, frames: int = 1) -> int:
        """Wait for so many vertical blanks; the count after them. Raises: StateError while it is off; WaitTimeout."""
        self._require_on("waiting for a vertical blank")
        return self.vblanks.wait(frames)

    def _evade(self) -> None:
        """Stay clear of the vertical blank, when the registers take effect (``intel_pipe_update_start``)."""
        mode = self.mode
        line, lines = 0, -(-_EVASION_NS * mode.pixel_clock_khz // (mode.htotal * 1_000_000))
        for _ in range(_EVASION_TRIES):
            line = ScanLine(self._uncore.read(Pipe.dsl, self.pipe)).line
            if not mode.vdisplay - lines <= line < mode.vdisplay:
                return
            self._uncore.clock.wait_ns(int(mode.line_ns))
        self._driver.log.warning("vblank-not-evaded", f"{self.pipe} stays just before its vertical blank: it is in line {line}")

    def flip(self, framebuffer: Framebuffer, *, asynchronous: bool = False) -> Flip:
        """Show ``framebuffer`` from the next vertical blank on, or, ``asynchronous``, from now on. Returns at once.

        Raises: StateError while it is off; UsageError for one that is smaller than the mode, or is not laid out as the last where
        that is not possible at once.
        """
        self._require_on("a flip")
        self._check(framebuffer)
        flip = Flip(framebuffer, self._uncore.clock.now_ns())
        if asynchronous:
            self._flip_now(flip)
        else:
            self._flip_at_vblank(flip)
        return flip

    def _flip_at_vblank(self, flip: Flip) -> None:
        vblanks = self.vblanks
        self._evade()
        self.plane.show(flip.framebuffer)
        vblanks.once(lambda: flip.finish(vblanks.time_ns, vblanks.count))
        flip.wait_by(lambda: self._await(flip))

    def _await(self, flip: Flip) -> None:
        while not flip.done:
            self.vblanks.wait(timeout_ns=_FLIP_TIMEOUT_NS)

    def _flip_now(self, flip: Flip) -> None:
        last = self.plane.framebuffer
        new = flip.framebuffer
        if last is None or (last.tiling, last.pitch) != (new.tiling, new.pitch):
            raise UsageError(f"{new!r} cannot be shown at once in place of {last!r}: only the address may differ")
        vblanks, clock = self.vblanks, self._uncore.clock
        flip.wait_by(lambda: vblanks.await_flip(lambda: flip.done))
        vblanks.once_flipped(lambda: flip.finish(clock.now_ns(), vblanks.count))
        self.plane.show(new, asynchronous=True)

    def aim_plane(self, address: int) -> None:
        """Write any graphics address to the plane, owned or not: what a driver never does, to see what a host makes of it."""
        self._require_on("aiming the plane")
        self.plane.aim(PlaneSurface(address))
