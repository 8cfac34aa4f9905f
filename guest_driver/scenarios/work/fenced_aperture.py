"""The aperture through fences: rows for the processor, tiles for the engines."""

from __future__ import annotations

from ...tiling import Tiling
from ..catalogue import scenario
from ..stage import Stage
from . import NEEDS
from .acts import PATIENCE_NS, at_work, check_content, check_quiet_end
from .picture import Picture

_SIZES = {Tiling.X: (256, 16), Tiling.Y: (64, 64)}
"""Columns and rows of pixels: two tiles by two."""


@scenario(needs=NEEDS)
def written_through_fence(stage: Stage) -> None:
    """Rows that the processor writes through a fence lie in memory as tiles, which the copy engine makes rows of again."""
    stage.step("the driver starts the engines")
    driver = at_work(stage)
    for tiling, size in _SIZES.items():
        stage.step(f"the processor writes rows through a fence of {tiling.value} tiles")
        tiled, linear = driver.create_surface(*size, 32, tiling, "tiled"), driver.create_surface(*size, 32, name="linear")
        content = stage.random.randbytes(tiled.size)
        with tiled.map_aperture() as view:
            view.write(0, content)
            check_content(stage, "what it reads there", view.read(0, 4 * tiled.pitch), content[: 4 * tiled.pitch])
        expected = Picture(tiled.pitch, 32, content)
        stage.check("pixels that are not where the tiles have them", Picture.of(tiled).differing(expected), [])

        stage.step("the copy engine makes rows of the tiles")
        driver.copy(linear, tiled).wait(PATIENCE_NS)
        check_content(stage, "the rows", linear.read(0, linear.size), content)
    check_quiet_end(stage, driver)


@scenario(needs=NEEDS)
def read_through_fence(stage: Stage) -> None:
    """Rows that the copy engine makes tiles of are rows again for a processor that reads through a fence, and tiles without one."""
    stage.step("the driver starts the engines")
    driver = at_work(stage)
    for tiling, size in _SIZES.items():
        stage.step(f"the copy engine makes {tiling.value} tiles of rows")
        tiled, linear = driver.create_surface(*size, 32, tiling, "tiled"), driver.create_surface(*size, 32, name="linear")
        drawn = Picture.noise(stage, linear)
        driver.copy(tiled, linear).wait(PATIENCE_NS)
        stage.check("pixels that are not where the tiles have them", Picture.of(tiled).differing(drawn), [])

        stage.step("the processor reads them, with a fence and without")
        rows = b"".join(drawn.rows)
        with tiled.map_aperture() as view:
            check_content(stage, "the rows through the fence", view.read(0, tiled.size), rows)
        memory = tiled.read(0, tiled.size)
        binding = driver.ggtt.bind(tiled, mappable=True)
        plain = b"".join(driver.aperture.read32(binding.address + at).to_bytes(4, "little") for at in range(0, tiled.size, 4))
        check_content(stage, "memory as it lies, without one", plain, memory)
        stage.check("that is something else than the rows", plain == rows, False)
        driver.ggtt.unbind(binding)
    check_quiet_end(stage, driver)
