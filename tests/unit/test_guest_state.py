"""The driver's states: which acts are legal, and the pictures drawn from the same table."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree

import pytest

from guest_driver import TRANSITIONS, Act, DriverState, draw_svg, draw_text
from guest_driver.state import StateMachine
from pvinfo.errors import StateError


def test_the_undisturbed_probe_leads_through_every_state_of_the_path() -> None:
    machine = StateMachine()
    for act in (Act.PLACE, Act.DETECT, Act.WAKE, Act.SIZE, Act.LISTEN, Act.BALLOON, Act.START, Act.REGISTER):
        machine.perform(act)
    assert machine.state is DriverState.READY
    assert [state.value for state in machine.history] == [
        "unbound", "placed", "detected", "awake", "sized", "listening", "ballooned", "started", "ready",
    ]  # fmt: skip


def test_an_act_that_the_table_does_not_list_is_refused_and_changes_nothing() -> None:
    machine = StateMachine()
    with pytest.raises(StateError, match="balloon needs state listening, but the state is unbound") as caught:
        machine.perform(Act.BALLOON)
    assert caught.value.state == "unbound"
    assert machine.history == [DriverState.UNBOUND]


def test_every_end_of_a_probe_can_be_unloaded_and_nothing_else_can() -> None:
    ends = {step.source for step in TRANSITIONS if step.act is Act.UNLOAD}
    assert ends == {DriverState.READY, DriverState.NATIVE, DriverState.REFUSED, DriverState.FAILED}
    assert all(step.target is DriverState.UNBOUND for step in TRANSITIONS if step.act is Act.UNLOAD)


def test_a_probe_can_fail_or_be_refused_at_every_step_but_never_after_the_last() -> None:
    for act in (Act.FAIL, Act.REFUSE):
        sources = {step.source for step in TRANSITIONS if step.act is act}
        assert DriverState.UNBOUND in sources and DriverState.STARTED in sources
        assert DriverState.READY not in sources and DriverState.NATIVE in sources


def test_the_probe_of_a_bare_gpu_joins_the_path_where_registers_are_looked_at() -> None:
    machine = StateMachine()
    for act in (Act.PLACE, Act.FIND_NO_PAGE, Act.WAKE, Act.SIZE):
        machine.perform(act)
    assert [state.value for state in machine.history] == ["unbound", "placed", "native", "awake", "sized"]
    with pytest.raises(StateError):
        machine.perform(Act.DETECT)


def test_no_state_and_act_lead_to_two_places() -> None:
    pairs = [(step.source, step.act) for step in TRANSITIONS]
    assert len(pairs) == len(set(pairs))
    reachable = {step.target for step in TRANSITIONS}
    assert reachable == set(DriverState)


def test_the_text_names_every_act_and_every_state() -> None:
    text = draw_text()
    assert "placed                          --find no page->  native\n" in text
    assert "unbound … started               --refuse------->  refused\n" in text
    for act in Act:
        assert act.value in text
    for state in DriverState:
        assert state.value in text
    assert all(line == line.rstrip() for line in text.splitlines())


def test_the_picture_is_well_formed_holds_one_box_per_state_and_marks_the_present_one() -> None:
    picture = ElementTree.fromstring(draw_svg(DriverState.BALLOONED))
    namespace = "{http://www.w3.org/2000/svg}"
    boxes = picture.findall(f"{namespace}rect")
    labels = [text.text for text in picture.findall(f"{namespace}text") if text.get("class") is None]
    assert sorted(str(label) for label in labels) == sorted(state.value for state in DriverState)
    marked = [label for box, label in zip(boxes, labels, strict=True) if box.get("fill") == "#ffe8a3"]
    assert marked == ["ballooned"]
    assert len(picture.findall(f"{namespace}path")) == len(TRANSITIONS)
    assert draw_svg() == draw_svg()


def test_no_two_boxes_of_the_picture_overlap() -> None:
    namespace = "{http://www.w3.org/2000/svg}"
    boxes = [
        tuple(int(box.attrib[key]) for key in ("x", "y", "width", "height"))
        for box in ElementTree.fromstring(draw_svg()).findall(f"{namespace}rect")
    ]
    for number, (x, y, width, height) in enumerate(boxes):
        for ox, oy, owidth, oheight in boxes[number + 1 :]:
            assert x + width <= ox or ox + owidth <= x or y + height <= oy or oy + oheight <= y
