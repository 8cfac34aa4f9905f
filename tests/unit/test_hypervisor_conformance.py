"""What every port promises, checked on ours, on one that a package brings, and on some that break their promises."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from support.installed_package import install

from host_model.host import Host
from host_model.hypervisor.acrn import AcrnMachine
from host_model.hypervisor.conformance import check_port
from host_model.hypervisor.kvm import KvmMachine
from host_model.hypervisor.local import LocalVirtualMachine
from host_model.hypervisor.registry import DEFAULT_HYPERVISOR, known_hypervisors, machine_of
from host_model.memory import HostMemory
from pvinfo.errors import ConformanceError, SetupError, UsageError
from pvinfo.units import MIB, BusAddress, GuestAddress

THEIRS = '''\
"""A hypervisor of a third party's: pages of its machines lie in the host's memory in reverse, and writes go unnoticed."""

from pvinfo.units import PAGE_SIZE


class Machine:
    def __init__(self, ram_size, host_memory):
        self.pages = [bytearray(PAGE_SIZE) for _ in range(ram_size // PAGE_SIZE)]
        self.size = ram_size
        self.counts = {}
        self.handler = None
        self.host_memory = host_memory
        self.base = host_memory.attach(Reversed(self))
        self.memory = self.port = self

    def plug(self, device):
        return device

    def close(self):
        self.host_memory.detach(self.base)

    # memory

    def read(self, address, size):
        found = self.read_guest(address, size)
        if found is None:
            raise IndexError(f"{address:#x}")
        return found

    def write(self, address, data):
        if not self.write_guest(address, bytes(data)):
            raise IndexError(f"{address:#x}")

    # the port

    can_track_writes = False
    memory_revision = 0

    def read_guest(self, address, size):
        if address < 0 or address + size > self.size:
            return None
        return bytes(self.pages[(address + at) // PAGE_SIZE][(address + at) % PAGE_SIZE] for at in range(size))

    def write_guest(self, address, data):
        if address < 0 or address + len(data) > self.size:
            return False
        for at, byte in enumerate(data, address):
            self.pages[at // PAGE_SIZE][at % PAGE_SIZE] = byte
        return True

    def map_guest_page(self, address):
        return self.map_guest_pages((address,))[0] or None

    def map_guest_pages(self, addresses):
        return [self.pin(address // PAGE_SIZE) if 0 <= address < self.size else 0 for address in addresses]

    def pin(self, number):
        bus = self.base + (len(self.pages) - 1 - number) * PAGE_SIZE
        self.counts[bus] = self.counts.get(bus, 0) + 1
        return bus

    def unmap_guest_page(self, address):
        self.unmap_guest_pages((address,))

    def unmap_guest_pages(self, addresses):
        for bus in addresses:
            if bus in self.counts:
                self.counts[bus] -= 1
                if not self.counts[bus]:
                    del self.counts[bus]

    @property
    def mapped_pages(self):
        return len(self.counts)

    def pins(self, address):
        return self.counts.get(address // PAGE_SIZE * PAGE_SIZE, 0)

    def guest_page(self, address):
        return memoryview(self.pages[address // PAGE_SIZE]) if 0 <= address < self.size else None

    def watch_page(self, address, changed):
        raise RuntimeError("writes go unnoticed")

    unwatch_page = watch_page

    def connect_msi(self, handler):
        self.handler = handler

    def inject_msi(self):
        if self.handler is None:
            return False
        self.handler()
        return True


class Reversed:
    def __init__(self, machine):
        self.machine = machine

    def page(self, offset):
        number = len(self.machine.pages) - 1 - offset // PAGE_SIZE
        return memoryview(self.machine.pages[number]) if number >= 0 else None

    def span(self, offset, size):
        return None


def nothing_of_the_sort(ram_size, host_memory):
    return 7


def broken(ram_size, host_memory):
    raise OSError("no nested paging")
'''


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An installed package that brings hypervisors."""
    entries = {"reversed": "Machine", "xen": "Machine", "seven": "nothing_of_the_sort", "broken": "broken"}
    install(tmp_path, monkeypatch, "their_hypervisor", THEIRS, "host_model.hypervisors", entries)
    return tmp_path


@pytest.mark.parametrize("name", ["local", "kvm", "xen", "acrn"])
def test_our_ports_keep_what_ports_promise(name: str) -> None:
    assert known_hypervisors()[:4] == ("local", "kvm", "xen", "acrn") and DEFAULT_HYPERVISOR == "local"
    found = check_port(partial(machine_of, name))
    assert (len(found.held), len(found.not_asked)) == ((12, 2) if name == "acrn" else (14, 0))


def test_acrn_keeps_them_when_its_hypervisor_is_told_of_answers_instead_of_polling() -> None:
    assert len(check_port(partial(AcrnMachine, polls=False)).held) == 12


# ---- other people's ----


@pytest.mark.usefixtures("package")
def test_a_third_partys_port_is_checked_and_chosen_by_name() -> None:
    found = check_port(partial(machine_of, "reversed"))
    assert found.not_asked == ("a watched page tells of each write", "each watch ends by itself")
    host = Host()
    plugged = host.plug(hypervisor="reversed", ram_size=4 * MIB)
    assert type(plugged.machine.memory).__name__ == "Machine" and type(plugged.vgpu.port).__name__ == "Machine"
    host.destroy_vgpu(plugged.vgpu)


def test_pytest_runs_the_checks_by_the_name_of_their_module(package: Path) -> None:
    for unfit in ("seven", "broken"):
        entries = package / "their_hypervisor-1.0.dist-info" / "entry_points.txt"
        entries.write_text("".join(line for line in entries.read_text().splitlines(keepends=True) if not line.startswith(unfit)))
    paths = ":".join([str(package), *(path for path in sys.path if path)])
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-q", "-rA", "--pyargs", "host_model.hypervisor.conformance"],
        cwd=package, env={"PYTHONPATH": paths, "PATH": ""}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert run.returncode == 0, run.stdout + run.stderr
    assert [name for name in ("local", "kvm", "xen", "acrn", "reversed") if f"promise[{name}]" in run.stdout] == ["local", "kvm", "xen", "acrn", "reversed"]


@pytest.mark.usefixtures("package")
def test_a_package_does_not_replace_ours() -> None:
    assert known_hypervisors() == ("local", "kvm", "xen", "acrn", "broken", "reversed", "seven")
    assert type(machine_of("xen", MIB, HostMemory())).__name__ == "XenMachine"


@pytest.mark.usefixtures("package")
@pytest.mark.parametrize(("name", "said"), [("seven", "makes a int: that is no virtual machine"), ("broken", "makes no machine: no nested paging")])
def test_a_package_whose_hypervisor_makes_no_machine_is_named(name: str, said: str) -> None:
    host = Host()
    with pytest.raises(SetupError, match=said):
        host.plug(hypervisor=name)
    assert not host.vgpus


def test_an_unknown_name_is_answered_with_those_there_are() -> None:
    with pytest.raises(UsageError, match=r"no hypervisor 'bhyve': there are local, kvm, xen, acrn"):
        Host().plug(hypervisor="bhyve")


# ---- promises that are broken ----


def spoiled(spoil: Callable[[LocalVirtualMachine], object]) -> tuple[str, ...]:
    """The rules that a machine breaks of which something was spoiled."""

    def made(ram_size: int, host_memory: HostMemory) -> LocalVirtualMachine:
        machine = LocalVirtualMachine(ram_size, host_memory)
        spoil(machine)
        return machine

    with pytest.raises(ConformanceError) as caught:
        check_port(made)
    return caught.value.broken


def test_a_port_that_forgets_pins_is_found_out() -> None:
    broken = spoiled(lambda machine: setattr(machine.port, "unmap_guest_pages", lambda addresses: None))
    assert [line.split(" (")[0] for line in broken] == ["pins are counted", "unknown bus addresses are passed over"]
    assert "pages that are pinned: 1, not 0" in broken[1]


def test_a_port_that_does_not_tell_of_its_own_writes_is_found_out() -> None:
    def spoil(machine: LocalVirtualMachine) -> None:
        def write_guest(address: GuestAddress, data: bytes) -> bool:
            span = machine.memory.span(address, len(data))
            if span is None:
                return False
            span[:] = data
            return True

        setattr(machine.port, "write_guest", write_guest)

    assert spoiled(spoil) == ("a watched page tells of each write (who hears of the mediator's write: set(), not {'first'})",)


def test_a_port_whose_interrupts_are_lost_is_found_out() -> None:
    broken = spoiled(lambda machine: setattr(machine.port, "inject_msi", lambda: True))
    assert [line.split(" (")[0] for line in broken] == ["interrupts go to who listens", "a guest may be interrupted by its own access"]


def test_a_port_that_raises_is_named_with_what_it_raised() -> None:
    def no_page(address: GuestAddress) -> memoryview | None:
        raise KeyError(address)

    broken = spoiled(lambda machine: setattr(machine.port, "guest_page", no_page))
    assert broken == ("a page can be looked at without a copy (KeyError: 20480)",)


def test_machines_leave_nothing_behind_when_their_vgpu_is_destroyed() -> None:
    host = Host()
    for name in ("local", "kvm", "xen", "acrn"):
        vgpu = host.plug(hypervisor=name, ram_size=4 * MIB).vgpu
        bus = vgpu.port.map_guest_page(GuestAddress(0x1000))
        assert bus is not None and host.memory.page(BusAddress(bus)) is not None
        host.destroy_vgpu(vgpu)
        assert host.memory.page(bus) is None, name
    assert type(host.plug(hypervisor="kvm", ram_size=MIB).vgpu.port) is type(KvmMachine(MIB, HostMemory()).port)
