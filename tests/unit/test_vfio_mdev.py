"""Mediated devices by UUID: what is offered, what of it is left, and what sysfs shows."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from host_model.host import Host
from host_model.vfio.dma.type1 import Type1Container
from host_model.vfio.mdev import AttributeFiles, AttributeTree, MdevParent
from pvinfo.errors import GvtError, ResourceExhausted, StateError, UsageError
from pvinfo.units import GIB, MIB

UUIDS = [f"a297db4a-f4c2-11e6-90f6-d3b88d6c95{number:02x}" for number in range(16)]


def parent_of(aperture: int = 512 * MIB) -> MdevParent:
    return MdevParent(Host(aperture_size=aperture))


@pytest.mark.parametrize(
    ("aperture", "instances"),
    [(256 * MIB, {"8": 2, "4": 1}), (512 * MIB, {"8": 6, "4": 3, "2": 1}), (GIB, {"8": 7, "4": 5, "2": 2, "1": 1}), (2 * GIB, {"8": 4, "4": 3, "2": 1, "1": 0})],
)
def test_types_and_instances_are_those_of_the_kernels_mediator(aperture: int, instances: dict[str, int]) -> None:
    types = parent_of(aperture).types
    assert {name: offered.available_instances for name, offered in types.items()} == {f"i915-GVTg_V5_{name}": count for name, count in instances.items()}
    assert {offered.device_api for offered in types.values()} == {"vfio-pci"}


def test_attributes_are_those_of_sysfs() -> None:
    parent = parent_of()
    tree = AttributeTree(parent)
    at = "mdev_supported_types/i915-GVTg_V5_4"
    assert tree.read(f"{at}/name") == "GVTg_V5_4\n"
    assert tree.read(f"{at}/device_api") == "vfio-pci\n"
    assert tree.read(f"{at}/available_instances") == "3\n"
    assert tree.read(f"{at}/description") == "low_gm_size: 128MB\nhigh_gm_size: 512MB\nfence: 4\nresolution: 1920x1200\nweight: 4\n"
    tree.write(f"{at}/create", UUIDS[0] + "\n")
    assert tree.read(f"{at}/available_instances") == "2\n"
    assert tree.read(f"devices/{UUIDS[0]}/mdev_type") == "../../mdev_supported_types/i915-GVTg_V5_4"
    assert tree.read(f"devices/{UUIDS[0]}/intel_vgpu/vgpu_id") == "1\n"
    with pytest.raises(UsageError, match="'0' was written, 1 removes it"):
        tree.write(f"devices/{UUIDS[0]}/remove", "0")
    tree.write(f"devices/{UUIDS[0]}/remove", "1\n")
    assert tree.read(f"{at}/available_instances") == "3\n" and parent.host.vgpus == {}
    for act, rule in (
        (lambda: tree.read(f"{at}/create"), "can only be written"), (lambda: tree.write(f"{at}/name", "x"), "can only be read"),
        (lambda: tree.read(f"devices/{UUIDS[0]}/remove"), "there is none of that path"),
    ):  # fmt: skip
        with pytest.raises(UsageError, match=rule):
            act()


@pytest.mark.parametrize("uuid", ["", "1", UUIDS[0][:-1], UUIDS[0] + "0", UUIDS[0].replace("-", ""), UUIDS[0].replace("a", "g"), "../" + UUIDS[0]])
def test_what_is_no_uuid_is_refused_with_the_rule(uuid: str) -> None:
    parent = parent_of()
    with pytest.raises(UsageError, match="five groups of 8, 4, 4, 4 and 12") as error:
        parent.create("i915-GVTg_V5_8", uuid)
    assert repr(uuid) in str(error.value) and not parent.devices


def test_a_uuid_is_used_once_however_it_is_spelt_and_an_unknown_type_is_told_the_known_ones() -> None:
    parent = parent_of()
    parent.create("i915-GVTg_V5_8", UUIDS[0])
    with pytest.raises(UsageError, match=f"{UUIDS[0]}: in use, by a device of type i915-GVTg_V5_8"):
        parent.create("i915-GVTg_V5_4", UUIDS[0].upper())
    with pytest.raises(UsageError, match="'GVTg_V5_8': this GPU offers i915-GVTg_V5_8, i915-GVTg_V5_4, i915-GVTg_V5_2"):
        parent.create("GVTg_V5_8", UUIDS[1])
    with pytest.raises(UsageError, match=f"there is no such device, but {UUIDS[0]}"):
        parent.remove(UUIDS[1])


@pytest.mark.parametrize(("aperture", "kind", "resource"), [(256 * MIB, "4", "low graphics memory"), (2 * GIB, "8", "high graphics memory"), (GIB, "8", "fences")])
def test_when_no_instance_is_left_the_error_names_what_ran_out(aperture: int, kind: str, resource: str) -> None:
    parent = parent_of(aperture)
    offered = parent.types[f"i915-GVTg_V5_{kind}"]
    for uuid in UUIDS[: offered.available_instances]:
        offered.create(uuid)
    assert offered.available_instances == 0
    before = list(parent.devices)
    with pytest.raises(ResourceExhausted) as error:
        offered.create(UUIDS[-1])
    assert error.value.resource.startswith(resource)
    assert list(parent.devices) == before


def test_a_device_in_use_is_not_removed_and_has_one_user_at_a_time() -> None:
    parent = parent_of()
    device = parent.create("i915-GVTg_V5_8", UUIDS[0])
    user = device.open()
    with pytest.raises(StateError, match="removing .* the state is open"):
        parent.remove(UUIDS[0])
    with pytest.raises(StateError, match="opening .* its one user closes it first"):
        device.open()
    user.close()
    second = device.open()
    second.bind_container(Type1Container())
    second.close()
    parent.remove(UUIDS[0])
    assert parent.host.pool.free == Host(aperture_size=512 * MIB).pool.free


def files_under(directory: Path) -> dict[str, str]:
    return {
        path.relative_to(directory).as_posix(): str(path.readlink()) if path.is_symlink() else path.read_text()
        for path in sorted(directory.rglob("*"))
        if path.is_symlink() or path.is_file()
    }


def test_files_show_what_the_tree_shows_through_a_random_life(tmp_path: Path) -> None:
    rng = random.Random(3)
    parent = parent_of()
    tree = AttributeTree(parent)
    files = AttributeFiles(tree, tmp_path)
    made = refused = 0
    for _ in range(120):
        uuid = rng.choice(UUIDS[:6])
        try:
            if rng.randrange(2):
                parent.create(rng.choice(list(parent.types)), uuid)
                made += 1
            else:
                parent.remove(uuid)
        except GvtError:
            refused += 1
        attributes = tree.attributes().items()
        expected = {path: tree.read(path) for path, each in attributes if each.write is None}
        assert files_under(tmp_path) == expected
        for uuid in parent.devices:
            assert (tmp_path / "devices" / uuid / "mdev_type" / "name").read_text() == parent.devices[uuid].type.name + "\n"
    assert made > 10 and refused > 10
    assert (tmp_path / "mdev_supported_types/i915-GVTg_V5_8/name").stat().st_mode & 0o777 == 0o444
    assert not (tmp_path / "mdev_supported_types/i915-GVTg_V5_8/create").exists(), "nobody would be told of what is written there"
    files.close()
    assert list(tmp_path.iterdir()) == []
