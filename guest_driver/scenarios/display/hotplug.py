"""Hot plug: monitors that come and go while a driver is at work."""

from __future__ import annotations

from host_model.device.display.monitor import Monitor
from pvinfo.connector import Connector, Link, default_connector
from pvinfo.edid import edid_for

from ...display import Output
from ..catalogue import scenario
from ..needs import Needs, PluggedIn
from ..stage import Stage
from .acts import check_quiet, check_shown, lit, ready, show_card

_NOTICED_NS = 300_000_000


@scenario(needs=Needs(in_process=True))
def hotplug(stage: Stage) -> None:
    """A monitor is pulled out and another one plugged in; each time the driver hears of it, looks, and the new one shows a picture."""
    connector = default_connector(stage.platform)
    stage.step("the driver shows a picture")
    driver, screen = lit(stage)
    changed: list[Output] = []
    driver.display.on_hotplug = changed.append
    first = screen.output.edid_bytes

    stage.step("the host pulls the monitor out")
    stage.host_does("pulls the monitor out", lambda vgpu: vgpu.display.unplug())
    driver.wait(_NOTICED_NS)
    stage.check("hot plugs that interrupted", driver.display.hotplugs, 1)
    stage.check("outputs that have changed", [str(output.connector) for output in changed], [str(connector)])
    stage.check("it has a monitor", screen.output.connected, False)
    driver.display.switch_off(screen)

    stage.step("the host plugs in another one")
    stage.host_does("plugs in a monitor of 1280x1024", lambda vgpu: vgpu.display.plug(Monitor(connector, edid_for("1280x1024"))))
    driver.wait(_NOTICED_NS)
    stage.check("hot plugs that interrupted", driver.display.hotplugs, 2)
    stage.check("it has a monitor", screen.output.connected, True)
    stage.check("it is the same", screen.output.edid_bytes == first, False)
    screen = driver.display.set_mode()
    stage.check("the mode", screen.mode.resolution, "1280x1024")
    show_card(stage, screen, "on the new monitor")
    check_quiet(stage, driver)


@scenario(needs=Needs(in_process=True))
def other_cable(stage: Stage) -> None:
    """A DisplayPort cable is pulled out and an HDMI cable plugged into the same port: it is another output that has the monitor now."""
    port = default_connector(stage.platform).port
    stage.step("the driver shows a picture over DisplayPort")
    driver, screen = lit(stage)
    driver.display.switch_off(screen)

    stage.step("the host changes the cable")
    stage.host_does("plugs in an HDMI cable", lambda vgpu: vgpu.display.plug(Monitor(Connector(port, Link.HDMI), edid_for("1024x768", Link.HDMI))))
    driver.wait(_NOTICED_NS)
    connected = [str(output.connector) for output in driver.display.outputs if output.connected]
    stage.check("outputs with a monitor", connected, [f"HDMI-{port.value}"])
    screen = driver.display.set_mode()
    show_card(stage, screen, "over HDMI")
    check_quiet(stage, driver)


@scenario(needs=Needs(plugged_in=PluggedIn(nothing=True), in_process=True))
def plugged_in_later(stage: Stage) -> None:
    """Without a monitor the driver finds none, quickly, and says so; when one is plugged in it hears of it."""
    connector = default_connector(stage.platform)
    stage.step("the driver looks for monitors")
    driver = ready(stage)
    began = stage.elapsed_ns()
    stage.check("outputs with a monitor", driver.display.detect(), ())
    stage.check("it took less than half a second", stage.elapsed_ns() - began < 500_000_000, True)

    stage.step("the host plugs one in")
    stage.host_does("plugs in a monitor", lambda vgpu: vgpu.display.plug(Monitor(connector, edid_for("1024x768"))))
    driver.wait(_NOTICED_NS)
    stage.check("outputs with a monitor", [str(output.connector) for output in driver.display.outputs if output.connected], [str(connector)])
    screen = driver.display.set_mode()
    check_shown(stage, "black, on a monitor that came later", [bytes(4 * screen.mode.hdisplay)] * screen.mode.vdisplay)
    check_quiet(stage, driver)
