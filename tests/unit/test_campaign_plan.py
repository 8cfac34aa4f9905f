"""Plans of campaigns: which units of work they come to, and how each is played again."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest

from guest_driver.scenarios import select
from guest_driver.scenarios.campaign import Plan, Unit
from pvinfo.errors import UsageError
from support.campaigns import users_file


def units(words: list[str], **axes: tuple[str, ...]) -> list[Unit]:
    return list(Plan(select(words), **axes).units())  # type: ignore[arg-type]


def test_each_seed_is_for_what_leaves_something_to_chance_and_the_rest_is_played_once() -> None:
    plan = Plan(select(["probe", "second-vgpu-table"]), ("skl", "bdw"), seeds=(3, 4))
    assert list(plan.units()) == [
        Unit("probe", "skl"), Unit("second-vgpu-table", "skl", seed=3), Unit("probe", "bdw"), Unit("second-vgpu-table", "bdw", seed=3),
        Unit("second-vgpu-table", "skl", seed=4), Unit("second-vgpu-table", "bdw", seed=4),
    ]  # fmt: skip


def test_types_are_for_scenarios_on_vgpus_that_ask_for_none_and_hypervisors_for_those_on_vgpus() -> None:
    found = units(["probe", "balloon-type-2", "memory-changes-hands"], types=("8", "4"), hypervisors=("kvm", "xen"), platforms=("skl", "bdw"))
    assert [unit for unit in found if unit.platform == "skl"] == [
        Unit("probe", "skl", "GVTg_V5_8", "kvm"), Unit("probe", "skl", "GVTg_V5_8", "xen"), Unit("probe", "skl", "GVTg_V5_4", "kvm"),
        Unit("probe", "skl", "GVTg_V5_4", "xen"), Unit("balloon-type-2", "skl", "", "kvm"), Unit("balloon-type-2", "skl", "", "xen"),
        Unit("memory-changes-hands", "skl"),
    ]  # fmt: skip
    assert [unit.vgpu_type for unit in found if unit.platform == "bdw"] == ["GVTg_V4_8"] * 2 + ["GVTg_V4_4"] * 2 + [""] * 3


def test_what_means_nothing_on_a_platform_is_not_played_there() -> None:
    plan = Plan(select(["pages-of-2-mib-on-vgpu", "refused-context-registers"]), ("bdw", "skl"))
    assert {unit.platform for unit in plan.units()} == {"skl"}
    assert Plan.unsuited(plan.scenarios[0], "bdw") == "graphics generation 9 only; Broadwell is 8"
    assert Plan.unsuited(plan.scenarios[0], "skl") is None


def test_a_unit_knows_the_command_that_plays_it_again_and_can_be_sent(tmp_path: Path) -> None:
    (scenario,) = select([f"{users_file(tmp_path)}::toss"])
    unit = next(Plan((scenario,), types=("GVTg_V5_4",), hypervisors=("kvm",), aperture_mib=512, seeds=(7,)).units())
    assert unit.command == f"guest-driver run {tmp_path}/my_scenarios.py::toss --platform skl --type GVTg_V5_4 --hypervisor kvm --aperture 512 --seed 7"
    assert unit.setting == "GVTg_V5_4, under kvm, seed 7"
    assert Unit("a file.py::x", "bdw").command == "guest-driver run 'a file.py::x' --platform bdw"
    assert pickle.loads(pickle.dumps(unit)) == unit
    assert [found.word for found in select([unit.scenario])] == [unit.scenario], "the word means that scenario and no other"


@pytest.mark.parametrize(
    ("axes", "message"),
    [
        ({"platforms": ()}, "a campaign without any platform has nothing to play"),
        ({"seeds": ()}, "a campaign without any seed has nothing to play"),
        ({"seeds": (1, 2, 1)}, "seed 1 is in the campaign twice"),
        ({"platforms": ("skl", "skl")}, "platform skl is in the campaign twice"),
        ({"platforms": ("hsw",)}, "no platform 'hsw'; there are bdw, skl, bxt, kbl, cfl"),
        ({"types": ("3",)}, "no vGPU type 'GVTg_V5_3' on skl"),
        ({"platforms": ("skl", "bdw"), "types": ("GVTg_V5_4",)}, "no vGPU type 'GVTg_V5_4' on bdw"),
        ({"hypervisors": ("qnx",)}, "no hypervisor 'qnx': there are local, kvm, xen, acrn"),
        ({"aperture_mib": 300}, "an aperture of 300 MiB: it is a power of two"),
    ],
)
def test_a_plan_that_means_nothing_is_refused(axes: dict[str, tuple[object, ...]], message: str) -> None:
    with pytest.raises(UsageError) as refused:
        Plan(select(["probe"]), **axes).check()  # type: ignore[arg-type]
    assert str(refused.value).startswith(message)
