"""vGPU types: which a host offers, and how many of each fit."""

from __future__ import annotations

import re

import pytest

from host_model.mediator.resources import ResourcePool
from host_model.mediator.types import default_type, type_named, types_for
from pvinfo.errors import UsageError
from pvinfo.platform import PLATFORMS, platform_named
from pvinfo.units import GIB, MIB

SKL = PLATFORMS["skl"]

# aperture in MiB, GGTT in GiB, and the instances of types 8, 4, 2, 1 that fit a fresh host (None: not offered)
WORKED_TABLE = [
    (128, 4, (None, None, None, None)),
    (256, 4, (2, 1, None, None)),
    (512, 4, (6, 3, 1, None)),
    (1024, 4, (7, 5, 2, 1)),
    (2048, 4, (4, 3, 1, 0)),
    (512, 2, (3, 2, 1, None)),
]


@pytest.mark.parametrize(("aperture_mib", "ggtt_gib", "expected"), WORKED_TABLE)
def test_the_aperture_decides_which_types_exist_and_what_is_left_how_many(
    aperture_mib: int, ggtt_gib: int, expected: tuple[int | None, ...]
) -> None:
    pool = ResourcePool(aperture_mib * MIB, ggtt_gib * GIB)
    instances = {offer.name: pool.instances(offer) for offer in types_for(SKL, aperture_mib * MIB)}
    names = [f"GVTg_V5_{divisor}" for divisor in (8, 4, 2, 1)]
    assert instances == {name: fit for name, fit in zip(names, expected, strict=True) if fit is not None}


def test_the_four_types_have_absolute_sizes() -> None:
    table = [
        (offer.low_size // MIB, offer.high_size // MIB, offer.fences, offer.weight, offer.resolution)
        for offer in types_for(SKL, GIB)
    ]
    assert table == [
        (64, 384, 4, 2, "1024x768"),
        (128, 512, 4, 4, "1920x1200"),
        (256, 1024, 4, 8, "1920x1200"),
        (512, 2048, 4, 16, "1920x1200"),
    ]


@pytest.mark.parametrize(
    ("platform", "prefix"), [("bdw", "GVTg_V4"), ("skl", "GVTg_V5"), ("kbl", "GVTg_V5"), ("bxt", "GVTg_V5"), ("cfl", "GVTg_V5")]
)
def test_only_broadwell_counts_as_version_four(platform: str, prefix: str) -> None:
    offered = types_for(platform_named(platform), GIB)
    assert [offer.name for offer in offered] == [f"{prefix}_{divisor}" for divisor in (8, 4, 2, 1)]


@pytest.mark.parametrize(("aperture_mib", "count"), [(191, 0), (192, 1), (255, 1), (256, 2), (383, 2), (384, 3), (639, 3), (640, 4)])
def test_a_type_exists_as_soon_as_its_aperture_fits_beside_the_hosts(aperture_mib: int, count: int) -> None:
    assert len(types_for(SKL, aperture_mib * MIB)) == count


def test_an_unknown_type_is_answered_with_what_there_is_and_why_not_more() -> None:
    with pytest.raises(
        UsageError,
        match=re.escape(
            "no vGPU type 'GVTg_V5_2' on skl: a host with 256 MiB of aperture, 128 MiB of it its own, offers GVTg_V5_8, GVTg_V5_4"
        ),
    ):
        type_named("GVTg_V5_2", SKL, 256 * MIB)


def test_another_generations_type_name_is_unknown() -> None:
    with pytest.raises(UsageError, match=r"no vGPU type 'GVTg_V4_8' on skl.*offers GVTg_V5_8"):
        type_named("GVTg_V4_8", SKL, 256 * MIB)


def test_a_host_with_too_little_aperture_offers_no_types() -> None:
    with pytest.raises(UsageError, match="128 MiB of aperture, 128 MiB of it its own, offers no types"):
        default_type(SKL, 128 * MIB)


def test_the_default_is_the_smallest_type() -> None:
    assert default_type(PLATFORMS["bdw"], 256 * MIB).name == "GVTg_V4_8"


def test_a_type_describes_itself_in_a_line() -> None:
    assert default_type(SKL, 256 * MIB).description == "64 MiB aperture + 384 MiB, 4 fences, weight 2, 1024x768"
