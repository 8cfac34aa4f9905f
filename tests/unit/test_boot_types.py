"""Which vGPU each guest of a boot gets."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import pytest

from host_model.boot import HostRequest
from host_model.serving import ServedHost, host_for_boot
from pvinfo.errors import UsageError


def types_of(folder: Path, guests: int, types: Sequence[str], own_weight: int | None = None) -> list[str]:
    sockets = [folder / str(number) for number in range(guests)]
    with closing(host_for_boot(HostRequest(sockets, "skl", types, 1024, None, own_weight=own_weight))) as host:
        assert isinstance(host, ServedHost)
        return [vgpu.type.name for vgpu in host.host.vgpus.values()]


@pytest.mark.parametrize(
    ("types", "got"),
    [
        ((), ["GVTg_V5_8"] * 3),
        (("GVTg_V5_4",), ["GVTg_V5_4"] * 3),
        (("GVTg_V5_8", "GVTg_V5_4", "GVTg_V5_2"), ["GVTg_V5_8", "GVTg_V5_4", "GVTg_V5_2"]),
    ],
)
def test_all_guests_are_of_one_type_or_each_of_its_own(tmp_path: Path, types: Sequence[str], got: list[str]) -> None:
    assert types_of(tmp_path, 3, types) == got


@pytest.mark.parametrize("guests", [1, 3])
def test_types_that_are_neither_one_nor_as_many_as_guests_are_refused(tmp_path: Path, guests: int) -> None:
    with pytest.raises(UsageError, match=f"2 types for {guests} guests: give one for all of them, or one for each"):
        types_of(tmp_path, guests, ("GVTg_V5_8", "GVTg_V5_4"))
    assert list(tmp_path.iterdir()) == []


def test_the_hosts_own_machine_is_the_first_and_has_no_type(tmp_path: Path) -> None:
    assert types_of(tmp_path, 3, ("GVTg_V5_8", "GVTg_V5_4"), own_weight=4) == ["GVTg_V5_8", "GVTg_V5_4"]
    assert types_of(tmp_path, 1, (), own_weight=4) == []
    request = HostRequest([tmp_path / "own", tmp_path / "a"], "skl", (), None, None, own_weight=4)
    with closing(host_for_boot(request)) as host:
        assert isinstance(host, ServedHost)
        own = host.host.own
        assert own is not None and own.weight == 4 and host.host.gpu.display.monitor is None
        assert [(viewed.screen.title, viewed.socket) for viewed in host.screens] == [
            ("guest 0, the host", str(tmp_path / "own")), ("guest 1", str(tmp_path / "a")),
        ]  # fmt: skip
        assert host.opregion(0) is None and host.opregion(1) is not None
        assert len(host.findings) == 2
    assert not own.is_open and list(tmp_path.iterdir()) == []
