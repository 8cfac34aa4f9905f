"""RC6, the sleep of a bare GPU's GT: thresholds, and who decides. A vGPU's driver leaves all of it alone.

Where the context that sleep saves may be corrupted, as on gen8 and gen9, the driver sets everything up and then lets
the GT sleep only while nobody needs it; and if the part says that its context is corrupt, not even then.
Source: linux:drivers/gpu/drm/i915/gt/intel_rc6.c
"""

from __future__ import annotations

from typing import Final, final

from pvinfo.registers import EngineRegisters, GtStandby, Guc, PowerGateEnable, RcControl, RcState

from .uncore import Uncore

__all__ = ("Rc6",)

_WAKE_RATE_LIMITS: Final = {"bdw": 40, "skl": 108}
_WAKE_RATE_LIMIT: Final = 54
"""Of every other platform. Skylake's is doubled because parts of it are switched off separately."""
_EVALUATION_INTERVAL: Final = 125_000
_IDLE_HYSTERESIS: Final = 25
_ENGINE_MAX_IDLE: Final = 10
_GUC_MAX_IDLE: Final = 10
_POWER_GATE_HYSTERESIS: Final = 250
_THRESHOLD: Final = 37_500
_GEN8_THRESHOLD: Final = 625
_RC6: Final = 4
"""The state that software asks for: plain RC6."""


@final
class Rc6:
    """The sleep of one GT."""

    def __init__(self, uncore: Uncore, *, supported: bool) -> None:
        """``supported``: there is no host whose business it is."""
        self._uncore = uncore
        self._gen9 = uncore.platform.graphics_version >= 9
        self.supported = supported
        self.enabled = False
        """The GT may sleep while nobody needs it."""

    def init(self) -> None:
        """Leave it switched off until the driver is ready for it (``intel_rc6_init``)."""
        if self.supported and self._uncore.platform.name == "bxt":
            # Its context lies in stolen memory that firmware sets aside, which this driver leaves alone.
            self._uncore.log.info("rc6-firmware", "RC6 needs memory that the firmware sets aside: the GT will not sleep")
            self.supported = False
        self.sanitize()

    def sanitize(self) -> None:
        """Switch it off (``intel_rc6_sanitize``)."""
        self.enabled = False
        if not self.supported:
            return
        uncore = self._uncore
        with uncore.held_awake():
            if self._gen9:
                uncore.write(GtStandby.pg_enable, 0)
            uncore.write(GtStandby.rc_control, 0)
            uncore.write(GtStandby.rc_state, 0)

    def enable(self) -> None:
        """Set the thresholds, and let the GT sleep if its context survives that (``intel_rc6_enable``)."""
        if not self.supported:
            return
        uncore = self._uncore
        with uncore.held_awake():
            self._set_thresholds()
        if not uncore.read(GtStandby.rc6_ctx_info):
            uncore.log.info("rc6-corruption", "RC6 may corrupt the context it saves: no sleep at run time")
            return
        self.enabled = True

    def _set_thresholds(self) -> None:
        uncore = self._uncore
        limit = _WAKE_RATE_LIMITS.get(uncore.platform.name, _WAKE_RATE_LIMIT)
        uncore.write(GtStandby.rc6_wake_rate_limit, limit << 16)
        uncore.write(GtStandby.rc_evaluation_interval, _EVALUATION_INTERVAL)
        uncore.write(GtStandby.rc_idle_hysteresis, _IDLE_HYSTERESIS)
        for engine in uncore.platform.engines:
            uncore.write(EngineRegisters.max_idle, _ENGINE_MAX_IDLE, engine.name)
        if not self._gen9:
            uncore.write(GtStandby.rc_sleep, 0)
            uncore.write(GtStandby.rc6_threshold, _GEN8_THRESHOLD)
            return
        uncore.write(Guc.max_idle_count, _GUC_MAX_IDLE)
        uncore.write(GtStandby.rc_sleep, 0)
        uncore.write(GtStandby.media_pg_idle_hysteresis, _POWER_GATE_HYSTERESIS)
        uncore.write(GtStandby.render_pg_idle_hysteresis, _POWER_GATE_HYSTERESIS)
        uncore.write(GtStandby.rc6_threshold, _THRESHOLD)
        uncore.write(GtStandby.pg_enable, PowerGateEnable.of(render=1, media=1))

    def disable(self) -> None:
        """No sleep any more (``intel_rc6_disable``)."""
        if self.enabled:
            self.sanitize()

    def unpark(self) -> None:
        """Somebody needs the GT: hardware does not put it to sleep by itself (``intel_rc6_unpark``)."""
        if self.enabled:
            self._uncore.raw.write32(GtStandby.rc_control.at(), 0)

    def park(self) -> None:
        """Nobody needs the GT: it may sleep at once (``intel_rc6_park``)."""
        if not self.enabled:
            return
        uncore = self._uncore
        if not uncore.read(GtStandby.rc6_ctx_info):
            uncore.log.info("rc6-corruption", "RC6 has corrupted the context it saved: no sleep at run time from now on")
            self.sanitize()
            return
        uncore.raw.write32(GtStandby.rc_control.at(), RcControl.of(rc6=1))
        uncore.raw.write32(GtStandby.rc_state.at(), RcState.of(target=_RC6))
