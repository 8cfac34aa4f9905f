"""What a campaign plays: a product of scenarios, platforms, types, hypervisors and seeds, cut into units of work."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from functools import cache
from typing import NamedTuple

from host_model.hypervisor.registry import DEFAULT_HYPERVISOR
from pvinfo.errors import UsageError
from pvinfo.platform import DEFAULT_PLATFORM, platform_named
from pvinfo.units import MIB

from ..catalogue import Scenario
from ..in_process import InProcess
from ..needs import DeviceKind
from ..outcome import Json
from ..place import insist_on_platform
from ..stage import CannotStage

__all__ = ("Plan", "Unit")


@cache
def _hosts(platform: str, vgpu_type: str, hypervisor: str, aperture_mib: int) -> InProcess:
    return InProcess(
        platform, vgpu_type=vgpu_type or None, aperture_size=aperture_mib * MIB or None, hypervisor=hypervisor or DEFAULT_HYPERVISOR
    )


class Unit(NamedTuple):
    """One scenario, on one host, with one seed: what a worker is handed. What is empty, 0 or None is left to the usual choice."""

    scenario: str
    """The word that means it on a command line: its name, or ``FILE::NAME``."""
    platform: str
    vgpu_type: str = ""
    hypervisor: str = ""
    aperture_mib: int = 0
    seed: int | None = None
    """None: the scenario leaves nothing to chance."""

    @property
    def command(self) -> str:
        """The command line that plays the same again."""
        words = ["guest-driver", "run", self.scenario, "--platform", self.platform]
        options = {"--type": self.vgpu_type, "--hypervisor": self.hypervisor, "--aperture": self.aperture_mib}
        for option, value in options.items():
            words += [option, str(value)] if value else []
        words += ["--seed", str(self.seed)] if self.seed is not None else []
        return shlex.join(words)

    @property
    def setting(self) -> str:
        """The same in a phrase, without the scenario and the platform."""
        parts = [self.vgpu_type, f"under {self.hypervisor}" if self.hypervisor else "", f"seed {self.seed}" if self.seed is not None else ""]
        return ", ".join(part for part in parts if part)

    def place(self) -> InProcess:
        """Where it is played. Raises: UsageError when there is no such place."""
        return _hosts(self.platform, self.vgpu_type, self.hypervisor, self.aperture_mib)


class Plan(NamedTuple):
    """What a campaign plays. Of a type either the name is given, or the end of it, such as ``4``, which every platform has."""

    scenarios: tuple[Scenario, ...]
    platforms: tuple[str, ...] = (DEFAULT_PLATFORM,)
    types: tuple[str, ...] = ("",)
    """For scenarios that ask for no type of their own."""
    hypervisors: tuple[str, ...] = ("",)
    aperture_mib: int = 0
    seeds: tuple[int, ...] = (0,)

    def units(self) -> Iterator[Unit]:
        """The units of work, each once: with the first seed everything that means something on a platform, then with each other seed
        what leaves something to chance."""
        for turn, seed in enumerate(self.seeds):
            for platform in self.platforms:
                for scenario in self.scenarios:
                    if (scenario.varies or not turn) and self.unsuited(scenario, platform) is None:
                        yield from self._on(platform, scenario, seed if scenario.varies else None)

    def _on(self, platform: str, scenario: Scenario, seed: int | None) -> Iterator[Unit]:
        mediated = scenario.needs.devices[0] is DeviceKind.VGPU
        types = self.types if mediated and scenario.needs.type_suffix is None else ("",)
        for word in types:
            vgpu_type = f"{platform_named(platform).type_prefix}_{word}" if word.isdecimal() else word
            for hypervisor in self.hypervisors if mediated else ("",):
                yield Unit(scenario.word, platform, vgpu_type, hypervisor, self.aperture_mib, seed)

    @staticmethod
    def unsuited(scenario: Scenario, platform: str) -> str | None:
        """Why ``scenario`` means nothing on ``platform``; None: it does mean something."""
        try:
            insist_on_platform(scenario.needs, platform_named(platform))
        except CannotStage as reason:
            return str(reason)
        return None

    def check(self) -> None:
        """Raises: UsageError for an axis with nothing on it or something twice, and for a host that there is not."""
        axes = {"scenario": self.scenarios, "platform": self.platforms, "type": self.types, "hypervisor": self.hypervisors, "seed": self.seeds}
        for axis, values in axes.items():
            if not values:
                raise UsageError(f"a campaign without any {axis} has nothing to play")
            twice = [value for value in values if values.count(value) > 1]
            if twice:
                named = twice[0].word if isinstance(twice[0], Scenario) else twice[0]
                raise UsageError(f"{axis} {named} is in the campaign twice")
        for hosted in {unit._replace(scenario="", seed=None): unit for unit in self.units()}.values():
            hosted.place()

    def to_json(self) -> Json:
        """The plan as data: equal for equal plans."""
        return {
            "scenarios": [scenario.word for scenario in self.scenarios],
            "platforms": list(self.platforms),
            "types": list(self.types),
            "hypervisors": list(self.hypervisors),
            "aperture_mib": self.aperture_mib,
            "seeds": list(self.seeds),
        }
