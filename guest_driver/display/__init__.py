"""The display as the driver uses it: monitors, mode sets, frame buffers, flips, a cursor.

::

    driver.probe()
    screen = driver.display.set_mode()
    for picture in pictures:
        screen.flip(picture).wait()             # one frame each

Nothing of it is done at the probe: whoever needs no picture gets none, and the host sees no access for it.
"""

from __future__ import annotations

from .display import Display
from .framebuffer import Framebuffer
from .output import Output, SinkAbilities
from .screen import Flip, Screen

__all__ = ("Display", "Flip", "Framebuffer", "Output", "Screen", "SinkAbilities")
