"""What a guest does is written down as it did it, whichever way it did it."""

from __future__ import annotations

from guest_driver.scenarios.access import Access, AccessKind, count_by_kind, trace_text
from guest_driver.scenarios.recording import Recorder, RecordingMachine
from host_model.host import Host
from host_model.device.interrupts import Event
from pvinfo.trace import read_rows
from pvinfo.pci import Command, MsiControl


def _recorded() -> tuple[RecordingMachine, Recorder, Host]:
    host = Host()
    local = host.plug().machine
    local.clock.wait_ns(5_000)
    recorder = Recorder(local.clock)
    return RecordingMachine(local, recorder), recorder, host


def test_each_window_has_its_kind_and_offsets_of_its_own() -> None:
    machine, recorder, _ = _recorded()
    registers, aperture = machine.gpu.bar(0), machine.gpu.bar(2)
    assert registers is not None and aperture is not None
    assert (registers.size, aperture.size) == (16 << 20, 256 << 20)
    registers.read(0x78000, 8)
    registers.write32(0x2038, 0x1_0000_5000)
    registers.write(0x80_0008, 8, 0x1001)
    registers.read32(0x80_0008)
    aperture.write(0x800_0010, 2, 0x12345)
    aperture.read32(0x800_0010)
    machine.gpu.config.write(4, 2, 0x6)
    machine.gpu.config.read(4, 2)
    assert [access[1:4] for access in recorder.accesses] == [
        (AccessKind.REGISTER_READ, 8, 0x78000),
        (AccessKind.REGISTER_WRITE, 4, 0x2038),
        (AccessKind.GGTT_WRITE, 8, 8),
        (AccessKind.GGTT_READ, 4, 8),
        (AccessKind.APERTURE_WRITE, 2, 0x800_0010),
        (AccessKind.APERTURE_READ, 4, 0x800_0010),
        (AccessKind.CONFIG_WRITE, 2, 4),
        (AccessKind.CONFIG_READ, 2, 4),
    ]
    assert recorder.accesses[0].value == 0x4776544776544776
    assert recorder.accesses[1].value == 0x5000, "a write is as wide as it is"
    assert recorder.accesses[4].value == 0x2345
    assert recorder.accesses[7].value == 6


def test_time_begins_with_the_recorder() -> None:
    machine, recorder, _ = _recorded()
    machine.gpu.config.read(0, 2)
    machine.clock.wait_ns(1_500)
    machine.gpu.reset()
    assert [(access.time_ns, access.kind) for access in recorder.accesses] == [(0, AccessKind.CONFIG_READ), (1_500, AccessKind.RESET)]


def test_an_interrupt_is_written_down_before_its_handler_acts() -> None:
    machine, recorder, host = _recorded()
    vgpu = host.vgpus[1]
    msi = vgpu.config.msi_capability
    assert msi is not None
    config = machine.gpu.config
    config.write(4, 2, Command.of(memory=1, master=1))
    config.write(msi + 2, 2, MsiControl.of(enable=1))
    registers = machine.gpu.bar(0)
    assert registers is not None
    registers.write32(0x44304, 0)
    registers.write32(0x4430C, 1)
    registers.write32(0x44200, 1 << 31)
    machine.gpu.on_interrupt(lambda: registers.write32(0x44200, 0))
    mark = len(recorder)
    vgpu.interrupts.raise_event(Event.RCS_USER)
    machine.gpu.on_interrupt(None)
    registers.write32(0x44200, 1 << 31)
    assert [(access.kind, access.offset) for access in recorder.accesses[mark:]] == [
        (AccessKind.INTERRUPT, 0), (AccessKind.REGISTER_WRITE, 0x44200), (AccessKind.REGISTER_WRITE, 0x44200)
    ]  # fmt: skip


def test_a_trace_folds_runs_and_leaves_out_what_traces_do_not_hold() -> None:
    story = [
        Access(0, AccessKind.REGISTER_READ, 4, 0x2034, 0),
        Access(2_000_000, AccessKind.REGISTER_READ, 4, 0x2034, 0),
        Access(2_500_000, AccessKind.INTERRUPT, 0, 0, 0),
        Access(3_000_000, AccessKind.GGTT_WRITE, 8, 0x10, 0x1001),
        Access(3_000_000, AccessKind.RESET, 0, 0, 0),
    ]
    text = trace_text(story, "two guests\nand a host")
    assert text.startswith("# two guests\n# and a host\nms\top\t")
    assert [(row.ms, row.op.value, row.offset, row.repeat) for row in read_rows(text.splitlines())] == [(0, "R", 0x2034, 2), (3, "GW", 0x10, 1)]
    assert count_by_kind(story) == {"register read": 2, "table entry write": 1, "interrupt": 1, "reset": 1}
