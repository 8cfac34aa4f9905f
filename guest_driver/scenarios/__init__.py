"""Stories of guest and host: what must hold on both sides of the bus.

A scenario is a plain function with a decorator; its docstring's first sentence is its purpose::

    from guest_driver.scenarios import Needs, Slice, Stage, scenario

    @scenario(needs=Needs(type_suffix="4", mappable=Slice(after=0)))
    def quarter_at_the_top(stage: Stage) -> None:
        \"\"\"A quarter of the GPU at the end of the aperture.\"\"\"
        stage.step("the driver probes")
        driver = stage.guest.driver()
        driver.probe()
        stage.check("its slice of the aperture", driver.resources.mappable.base, 128 << 20)
        stage.host_view("the guest's display is ready", lambda vgpu: vgpu.pv.display_ready, True)

``guest-driver run my_scenarios.py`` plays every scenario of a file, against a host made for each in this process, or, with
``--connect``, against vGPUs that any vfio-user server serves.
"""

from __future__ import annotations

from .access import Access, AccessKind
from .catalogue import Scenario, built_in, scenario, select
from .connected import Connected
from .guest import Guest
from .in_process import InProcess
from .needs import Announced, DeviceKind, Needs, PluggedIn, Slice
from .outcome import Check, Offer, Outcome, Picture, RunResult, ScenarioResult, Step
from .run import play, run_scenarios
from .stage import Stage

__all__ = (
    "Access",
    "AccessKind",
    "Announced",
    "Check",
    "Connected",
    "DeviceKind",
    "Guest",
    "InProcess",
    "Needs",
    "Offer",
    "Outcome",
    "Picture",
    "PluggedIn",
    "RunResult",
    "Scenario",
    "ScenarioResult",
    "Slice",
    "Stage",
    "Step",
    "built_in",
    "play",
    "run_scenarios",
    "scenario",
    "select",
)
