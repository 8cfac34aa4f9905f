"""Types of vGPU of the user's own: read from a file, offered beside the kernel's, and made."""

from __future__ import annotations

from pathlib import Path

import pytest

from host_model.__main__ import main
from host_model.host import Host
from host_model.mediator.own_types import read_types
from host_model.mediator.types import VgpuType
from pvinfo.errors import SetupError, UsageError
from pvinfo.units import GIB, MIB

FILE = """\
[container]
low_mib = 32
high_mib = 64
fences = 0
weight = 1
resolution = "640x480"

["big.one"]
low_mib = 600
high_mib = 2000
fences = 20
weight = 100
resolution = "1920x1080"
"""


def test_types_of_ones_own_are_offered_beside_the_kernels(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "types.toml"
    path.write_text(FILE)
    container, big = read_types(path)
    assert container == VgpuType("container", 32 * MIB, 64 * MIB, 0, 1, "640x480")
    assert big == VgpuType("big.one", 600 * MIB, 2000 * MIB, 20, 100, "1920x1080")
    host = Host(aperture_size=GIB, own_types=(container, big))
    assert {offer.type.name: offer.instances for offer in host.types()} == {"GVTg_V5_8": 7, "GVTg_V5_4": 5, "GVTg_V5_2": 2, "GVTg_V5_1": 1, "container": 28, "big.one": 1}
    vgpu = host.plug("container", ram_size=MIB).vgpu
    assert (vgpu.type, len(vgpu.resources.low), vgpu.resources.fences, vgpu.weight) == (container, 32 * MIB, (), 1)
    with pytest.raises(UsageError, match="offers GVTg_V5_8, GVTg_V5_4, GVTg_V5_2, GVTg_V5_1, container, big.one$"):
        host.type_named("contaner")
    assert main(["types", "--types", str(path)]) == 0
    assert [line.split() for line in capsys.readouterr().out.splitlines()][-2][:2] == ["container", "32"]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("low_mib = 3", "type 'low_mib': a table of low_mib, high_mib, fences, weight and resolution, no more and no fewer"),
        (FILE.replace("fences = 0\n", ""), "type 'container': a table of low_mib, high_mib, fences, weight and resolution, no more and no fewer"),
        (FILE.replace("fences = 0", "fences = 33"), "type 'container': fences = 33, but it is a number from 0 to 32"),
        (FILE.replace("low_mib = 32", "low_mib = true"), "type 'container': low_mib = True, but it is a number from 1 to 4095"),
        (FILE.replace("640x480", "VGA"), "type 'container': resolution = 'VGA', but it is WIDTHxHEIGHT"),
        (FILE.replace("[container]", '["a=b"]'), "type 'a=b': a name is letters, digits, _ . and -"),
        ("[", "is no TOML: "),
    ],
)
def test_what_is_no_type_is_named_with_the_rule(tmp_path: Path, text: str, why: str) -> None:
    path = tmp_path / "types.toml"
    path.write_text(text)
    with pytest.raises(UsageError) as error:
        read_types(path)
    assert why in str(error.value) and str(path) in str(error.value)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(SetupError, match="none.toml cannot be read: No such file or directory"):
        read_types(tmp_path / "none.toml")
