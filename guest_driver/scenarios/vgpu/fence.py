"""Fences: how many there are, what is set up in them, and what happens beyond the last."""

from __future__ import annotations

from functools import partial

from pvinfo.errors import DriverError
from pvinfo.registers import FenceHigh, FenceLow, FenceRegister, FenceTiling
from pvinfo.units import PAGE_SIZE

from ..access import AccessKind
from ..catalogue import scenario
from ..needs import Announced, Needs
from ..stage import Stage
from .acts import failsafe_reason, fence_value, hardware_fence, hardware_fences_in_use, is_distrusted, probed


@scenario()
def fence_count(stage: Stage) -> None:
    """The driver uses as many fences as the page gives it, and clears exactly those."""
    guest = stage.guest
    stage.step("fences hold something from before")
    for number in range(guest.offer.fence_num):
        FenceRegister(guest.mmio, f"FENCE{number}").hi = FenceHigh.of(pitch=number + 1)
    mark = len(guest.accesses)

    stage.step("the driver probes")
    driver = probed(stage)
    stage.check("fences it manages", len(driver.fences), guest.offer.fence_num)
    first, stride = FenceRegister.lo.at("FENCE0"), 8
    touched = {
        (access.offset - first) // stride
        for access in guest.since(mark)
        if access.kind is AccessKind.REGISTER_WRITE and first <= access.offset < first + 32 * stride
    }
    stage.check("fences it wrote", touched, set(range(guest.offer.fence_num)))
    for number in range(guest.offer.fence_num):
        stage.host_view(
            f"hardware fence behind fence {number}", hardware_fence(number), 0,
            through_bus=partial(fence_value, guest, number),
        )  # fmt: skip


@scenario(varies="the surfaces' sizes, tilings and pitches")
def fence_set_up(stage: Stage) -> None:
    """Tiling, pitch and range of each fence reach the hardware fence of its own number, and no other."""
    guest = stage.guest
    stage.step("the driver probes")
    driver = probed(stage)
    bindings = [
        driver.ggtt.bind(driver.create_buffer(4 * stage.random.randrange(1, 9) * PAGE_SIZE, f"surface {number}"), mappable=True)
        for number in range(guest.offer.fence_num)
    ]
    for number, binding in enumerate(bindings):
        tiling, pitch = stage.random.choice((FenceTiling.X, FenceTiling.Y)), 512 << stage.random.randrange(5)
        stage.step(f"surface {number} is shown through a fence: {tiling.name} tiles, rows of {pitch} bytes")
        fence = driver.fences.set_up(binding, tiling, pitch)
        low = FenceLow.of(valid=1, tiling=tiling, start_page=binding.address // PAGE_SIZE)
        high = FenceHigh.of(pitch=pitch // 128 - 1, last_page=(binding.address + binding.size) // PAGE_SIZE - 1)
        stage.check("the fence's number", fence.number, number)
        stage.host_view(
            "the hardware fence of its own", hardware_fence(number), high << 32 | low,
            through_bus=partial(fence_value, guest, number),
        )  # fmt: skip
    count = len(bindings)
    stage.host_view("hardware fences in use", hardware_fences_in_use, count)

    stage.step("a fence is taken out of use")
    driver.fences.release(driver.fences.fences[0])
    stage.host_view(
        "the hardware fence of its own", hardware_fence(0), 0, through_bus=lambda: fence_value(guest, 0)
    )
    stage.host_view("hardware fences in use", hardware_fences_in_use, count - 1)


@scenario()
def fence_stealing(stage: Stage) -> None:
    """With one surface more than there are fences, the least recently used fence changes hands."""
    guest = stage.guest
    stage.step("every fence is in use")
    driver = probed(stage)
    count = guest.offer.fence_num
    bindings = [driver.ggtt.bind(driver.create_buffer(4 * PAGE_SIZE, f"surface {number}"), mappable=True) for number in range(count + 1)]
    for binding in bindings[:count]:
        driver.fences.set_up(binding, FenceTiling.X, 512)
    driver.fences.set_up(bindings[0], FenceTiling.X, 512)

    stage.step("one more surface")
    stolen = driver.fences.set_up(bindings[count], FenceTiling.X, 512)
    stage.check("the fence it got", stolen.number, 1 % count)
    start = bindings[count].address // PAGE_SIZE
    stage.host_view(
        "first page of the hardware fence", lambda vgpu: FenceLow(hardware_fence(stolen.number)(vgpu) & 0xFFFF_FFFF).start_page, start,
        through_bus=lambda: FenceRegister(guest.mmio, f"FENCE{stolen.number}").lo.start_page,
    )  # fmt: skip


@scenario()
def fence_beyond_count(stage: Stage) -> None:
    """A fence beyond the last reads 0 and drops what is written, and the host says so; it still trusts a guest that knows it."""
    guest = stage.guest
    stage.step("the driver probes")
    probed(stage)
    beyond = guest.offer.fence_num
    fence = FenceRegister(guest.mmio, f"FENCE{beyond}")

    stage.step(f"fence {beyond} is written")
    fence.hi = FenceHigh.of(pitch=3, last_page=0x20)
    fence.lo = FenceLow.of(valid=1, start_page=0x10)
    stage.check("it reads", fence_value(guest, beyond), 0)
    stage.expect_finding("fence-not-owned")
    stage.host_view("hardware fences in use", hardware_fences_in_use, 0)
    stage.host_view("why it distrusts the guest", failsafe_reason, None)
    stage.check("the guest's registers have become plain storage", is_distrusted(guest), False)


@scenario(needs=Needs(announced=Announced(fence_num=0)))
def no_fences(stage: Stage) -> None:
    """A vGPU without fences is poor but usable: the driver loads, and says so when one is asked for."""
    guest = stage.guest
    stage.step("the driver probes")
    driver = probed(stage)
    stage.check("fences it manages", len(driver.fences), 0)
    first = FenceRegister.lo.at("FENCE0")
    touched = [hex(access.offset) for access in guest.accesses_of(AccessKind.REGISTER_WRITE) if first <= access.offset < first + 256]
    stage.check("fence registers it wrote", touched, [])

    stage.step("a fence is asked for")
    binding = driver.ggtt.bind(driver.create_buffer(4 * PAGE_SIZE, "surface"), mappable=True)
    stage.check_raises("that ends with", DriverError, lambda: driver.fences.set_up(binding, FenceTiling.X, 512))
    stage.host_view("hardware fences in use", hardware_fences_in_use, 0)
