"""Playing scenarios, one after the other, and writing down what came of them."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from host_model.report import gpu_report, own_report, vgpu_report
from pvinfo import __version__
from pvinfo.errors import GvtError

from .catalogue import Scenario
from .outcome import Outcome, RunResult, ScenarioResult
from .place import Place
from .stage import CannotStage, CheckFailed, Stage

__all__ = ("play", "run_scenarios")


def _where(error: BaseException, scenario: Scenario) -> str:
    """The line of the scenario's own file that an error came through, else the innermost one."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if frame.filename == scenario.file] or list(frames)
    return f"{Path(own[-1].filename).name}:{own[-1].lineno}" if own else scenario.place


def _act(scenario: Scenario, stage: Stage) -> tuple[Outcome, str]:
    try:
        scenario.act(stage)
        stage.finish(scenario.place)
    except CheckFailed as failure:
        return Outcome.FAILED, str(failure)
    except CannotStage as reason:
        return Outcome.SKIPPED, str(reason)
    except Exception as error:  # a broken scenario must not end the run of the others
        return Outcome.FAILED, f"{_where(error, scenario)}: {type(error).__name__}: {error}"
    return Outcome.PASSED, ""


def _not_played(scenario: Scenario, outcome: Outcome, reason: str) -> ScenarioResult:
    return ScenarioResult(scenario.name, scenario.purpose, scenario.place, outcome, reason, (), 0, (), (), (), ())


def play(scenario: Scenario, place: Place, seed: int = 0) -> ScenarioResult:
    """Play one scenario. It never raises for what the scenario does; Ctrl-C goes through."""
    try:
        setting = place.set_up(scenario.needs)
    except CannotStage as refusal:
        return _not_played(scenario, Outcome.SKIPPED, str(refusal))
    except GvtError as error:
        return _not_played(scenario, Outcome.FAILED, f"{place.title}: {error}")
    stage = Stage(setting, f"{seed if scenario.varies else 0}:{scenario.name}")
    outcome, reason = _act(scenario, stage)
    return ScenarioResult(
        name=scenario.name,
        purpose=scenario.purpose,
        place=scenario.place,
        outcome=outcome,
        reason=reason,
        setting=tuple(stage.remarks),
        duration_ns=stage.elapsed_ns(),
        steps=stage.steps(),
        guests=tuple(guest.record() for guest in setting.guests),
        findings=stage.findings(),
        vgpus=tuple(vgpu_report(vgpu) for vgpu in stage.setting.vgpus),
        gpus=(gpu_report(setting.bare_gpu),) if setting.bare_gpu is not None else (),
        hosts=(own_report(setting.own),) if setting.own is not None else (),
    )


def _played(
    scenarios: Iterable[Scenario], place: Place, seed: int,
    before: Callable[[Scenario], None] | None, after: Callable[[ScenarioResult], None] | None,
) -> Iterator[ScenarioResult]:  # fmt: skip
    for scenario in scenarios:
        if before is not None:
            before(scenario)
        result = play(scenario, place, seed)
        if after is not None:
            after(result)
        yield result


def run_scenarios(
    scenarios: Iterable[Scenario], place: Place, *, seed: int = 0,
    before: Callable[[Scenario], None] | None = None, after: Callable[[ScenarioResult], None] | None = None,
) -> RunResult:  # fmt: skip
    """Play ``scenarios`` in order; ``before`` and ``after`` are called around each, for progress."""
    results = tuple(_played(scenarios, place, seed, before, after))
    return RunResult(__version__, place.platform.name, place.title, seed, results)
