"""vGPUs that are made and taken away while a server runs: by UUID, or configured, created and destroyed under a name."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.serving import serving_on_demand

from guest_driver.__main__ import main as play
from guest_driver.transport.vfio_user import connect
from host_model.__main__ import main
from host_model.serving import ServedHost
from host_model.serving.on_demand.policy import SocketPolicy
from host_model.serving.on_demand.requests import Requests
from host_model.vfio.mdev import MdevParent
from host_model.view.server import ViewAddress
from host_model.view.shows import Wanted
from pvinfo.errors import GvtError, ResourceExhausted, StateError, UsageError
from pvinfo.page import PVINFO_BASE
from pvinfo.units import GIB, MIB

UUID = "a297db4a-f4c2-11e6-90f6-d3b88d6c9525"
TYPE = "i915-GVTg_V5_8"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The folder of a server that runs for all who look at it; each leaves it as it found it."""
    path = tmp_path_factory.mktemp("s") / "gpu"
    with serving_on_demand(path, "--aperture", "1024"):
        yield path
    assert not path.exists(), "it was made by the server, and goes with it"


def asked(capsys: pytest.CaptureFixture[str], *words: object) -> list[str]:
    """What a command that succeeds prints."""
    assert main([str(word) for word in words]) == 0, capsys.readouterr().err
    return capsys.readouterr().out.splitlines()


def left_of(folder: Path) -> str:
    return (folder / "mdev_supported_types" / TYPE / "available_instances").read_text()


def test_a_vgpu_made_by_uuid_is_served_shown_used_and_removed(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert left_of(folder) == "7\n"
    assert asked(capsys, "mdev", folder, "create", TYPE, UUID.upper()) == [f"ready {folder}/{UUID}.sock"]
    assert left_of(folder) == "6\n"
    shown = folder / "devices" / UUID
    assert ((shown / "intel_vgpu" / "vgpu_id").read_text(), (shown / "mdev_type" / "name").read_text()) == ("1\n", "GVTg_V5_8\n")
    assert asked(capsys, "mdev", folder, "list") == [f"{UUID} {TYPE} vGPU 1 {folder}/{UUID}.sock free"]
    assert play(["run", "first-request-on-vgpu", "--connect", f"{folder}/{UUID}.sock"]) == 0
    capsys.readouterr()
    assert asked(capsys, "mdev", folder, "remove", UUID) == []
    assert left_of(folder) == "7\n" and not shown.exists() and not (folder / f"{UUID}.sock").exists()


def test_without_a_uuid_there_is_a_new_one_each_time(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    paths = [Path(asked(capsys, "mdev", folder, "create", TYPE)[0].removeprefix("ready ")) for _ in range(2)]
    assert len({*paths}) == 2 and all(path.is_socket() for path in paths)
    for path in paths:
        asked(capsys, "mdev", folder, "remove", path.stem)


def test_a_vgpu_in_use_is_not_removed_until_its_client_has_gone_however_it_goes(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = folder / f"{UUID}.sock"
    asked(capsys, "mdev", folder, "create", TYPE, UUID)
    client = (
        "import sys; from pathlib import Path; from guest_driver.transport.vfio_user import connect\n"
        f"machine = connect(Path({str(path)!r}), 1 << 20); print('there', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen([sys.executable, "-c", client], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as user:
        assert user.stdout is not None and user.stdout.readline() == "there\n"
        assert asked(capsys, "mdev", folder, "list") == [f"{UUID} {TYPE} vGPU 1 {path} in use"]
        assert main(["mdev", str(folder), "remove", UUID]) == 1
        assert capsys.readouterr().err == (
            f"host-model mdev: error: removing {UUID} needs state not open: its user closes it first, but the state is open\n"
        )
        user.send_signal(signal.SIGKILL)
        user.wait(20)
    asked(capsys, "mdev", folder, "remove", UUID)
    assert left_of(folder) == "7\n"


def test_a_share_is_fixed_when_it_is_configured_and_kept_through_any_number_of_creations(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert asked(capsys, "device", folder, "configure", "tenant", "GVTg_V5_4") == ["tenant configured"]
    assert left_of(folder) == "5\n", "what is reserved is not available, by UUID either"
    (reserved,) = asked(capsys, "device", folder, "list")
    slices = reserved.removeprefix("tenant configured GVTg_V5_4 ").removesuffix(" -")
    low = int(slices[1:].split(",")[0], 16)
    for _ in range(2):
        assert asked(capsys, "device", folder, "create", "tenant") == [f"ready {folder}/tenant.sock"]
        with connect(folder / "tenant.sock", MIB) as machine:
            registers = machine.gpu.bar(0)
            assert registers is not None and registers.read32(PVINFO_BASE + 0x40) == low
            assert asked(capsys, "device", folder, "list") == [f"tenant bound GVTg_V5_4 {slices} {folder}/tenant.sock"]
        assert asked(capsys, "device", folder, "destroy", "tenant") == ["tenant configured"]
        other = asked(capsys, "mdev", folder, "create", TYPE)[0].removeprefix("ready ")
        asked(capsys, "mdev", folder, "remove", Path(other).stem)
    assert asked(capsys, "device", folder, "unconfigure", "tenant") == ["tenant unconfigured"]
    assert asked(capsys, "device", folder, "list") == [] and left_of(folder) == "7\n"


@pytest.mark.parametrize(
    ("words", "status", "why"),
    [
        (["mdev", "create", "i915-GVTg_V5_3", UUID], 2, "type 'i915-GVTg_V5_3': this GPU offers i915-GVTg_V5_8, i915-GVTg_V5_4,"),
        (["mdev", "create", TYPE, "../../etc/passwd"], 2, "UUID '../../etc/passwd': five groups of 8, 4, 4, 4 and 12 hexadecimal digits"),
        (["mdev", "remove", UUID], 2, f"UUID '{UUID}': there is no such device, but none at all"),
        (["device", "configure", "../x", "GVTg_V5_8"], 2, "name '../x': it is a letter or digit and up to 62 letters, digits, . _ and - more"),
        (["device", "configure", "x", "V9"], 2, "x: profile 'V9', but there are GVTg_V5_8, GVTg_V5_4, GVTg_V5_2, GVTg_V5_1"),
        (["device", "create", "x"], 1, "create of x needs state configured, but the state is unconfigured (legal: configure)"),
        (["device", "destroy", "x"], 1, "destroy of x needs state created, but the state is unconfigured (legal: configure)"),
        (["device", "unconfigure", "x"], 1, "unconfigure of x needs state configured, but the state is unconfigured (legal: configure)"),
    ],
)
def test_what_cannot_be_is_told_to_who_asked(folder: Path, words: list[str], status: int, why: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([words[0], str(folder), *words[1:]]) == status
    out, err = capsys.readouterr()
    assert out == "" and err.startswith(f"host-model {words[0]}: error: {why}")


@pytest.mark.parametrize(
    ("said", "answer"),
    [
        (b"nonsense\n", "Expecting value"), (b"[]\n", "request '': there are mdev types, list, create, remove; device"), (b'["mdev"]\n', "request 'mdev': there are"),
        (b'["mdev", 1]\n', "a request is a JSON array of words"), (b'{"mdev": "list"}\n', "a request is a JSON array of words"), (b"\xff\n", "invalid start byte"),
        (b'["device", "destroy", "x", "now"]\n', "device destroy takes NAME, but 2 words came"), (b'["mdev", "types", "?"]\n', "mdev types takes nothing, but 1 words came"),
    ],
)  # fmt: skip
def test_whatever_is_said_on_the_control_socket_is_answered(folder: Path, said: bytes, answer: str) -> None:
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(folder / "control"))
        for byte in said:
            client.send(bytes((byte,)))
        reply = json.loads(client.makefile().readline())
    assert answer in reply["error"] and reply["status"] == 2


def test_who_says_too_much_or_nothing_keeps_nobody_from_asking(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    silent = [socket.socket(socket.AF_UNIX) for _ in range(20)]
    try:
        for client in silent:
            client.connect(str(folder / "control"))
        silent[-1].sendall(b"x" * 5000)
        assert asked(capsys, "mdev", folder, "list") == []
        assert silent[-1].recv(1) == silent[0].recv(1) == b"", "they have been hung up on"
    finally:
        for client in silent:
            client.close()


def test_a_folder_outlives_a_killed_server(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "g"
    with serving_on_demand(folder) as server:
        asked(capsys, "mdev", folder, "create", TYPE, UUID)
        server.kill()
        server.wait(20)
    assert (folder / "devices" / UUID).exists() and main(["mdev", str(folder), "list"]) == 2
    assert f"no server answers at {folder}/control" in capsys.readouterr().err
    with serving_on_demand(folder):
        assert not (folder / "devices").exists() and left_of(folder) == "2\n"
        assert main(["serve", "--mdev", str(folder)]) == 2
        assert "another server listens there" in capsys.readouterr().err
        asked(capsys, "mdev", folder, "create", TYPE, UUID)
    assert [path.name for path in folder.iterdir()] == []


def test_what_was_removed_is_in_the_report_and_each_has_a_trace_of_its_name(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder, report = tmp_path / "gpu", tmp_path / "report.json"
    with serving_on_demand(folder, "--json", str(report), "--trace", str(tmp_path / "run.tsv")):
        for name in ("a", "b"):
            asked(capsys, "device", folder, "configure", name, "GVTg_V5_8")
            asked(capsys, "device", folder, "create", name)
            assert play(["run", "probe", "--connect", str(folder / f"{name}.sock")]) == 0
        capsys.readouterr()
        asked(capsys, "device", folder, "destroy", "a")
    told = json.loads(report.read_text())
    assert [(vgpu["socket"], vgpu["pv"]["detected"]) for vgpu in told["removed_vgpus"]] == [(f"{folder}/a.sock", True)]
    assert [vgpu["socket"] for vgpu in told["vgpus"]] == [f"{folder}/b.sock"]
    assert all((tmp_path / f"{name}-run.tsv").stat().st_size > 10_000 for name in ("a", "b"))


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["--mdev", "{}/file"], "{}/file cannot be used for vGPUs on demand: File exists"),
        (["--mdev", "{}/none/gpu"], "{}/none/gpu cannot be used for vGPUs on demand: No such file or directory"),
        (["--mdev", "{}/gpu", "--once"], "--once, --frame and --opregion are for vGPUs that are there from the start to the end; with --mdev they come and go"),
        (["--mdev", "{}/gpu", "--physical", "--socket", "{}/a"], "--physical serves one device: it goes with --socket, and with none of --type, --types, --vgpu and --mdev"),
        ([], "nothing to serve: give --socket PATH, --vgpu T=PATH, --own PATH or --mdev DIR"),
    ],
)
def test_what_cannot_be_served_on_demand_is_refused_at_once(tmp_path: Path, words: list[str], why: str, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").touch()
    assert main(["serve", *(word.format(tmp_path) for word in words)]) == 2
    assert capsys.readouterr() == ("", f"host-model serve: error: {why.format(tmp_path)}\n")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_the_live_view_shows_what_is_there_at_the_moment(tmp_path: Path) -> None:
    host = ServedHost("skl", [], wanted=Wanted(view=ViewAddress("127.0.0.1", 0)), on_demand=tmp_path / "g")
    policy = SocketPolicy(host, tmp_path)
    requests = Requests(MdevParent(host.host, policy=policy), policy)
    shown: list[list[str]] = []
    try:
        for words in (["mdev", "create", TYPE, UUID], ["device", "configure", "b", "GVTg_V5_8"], ["device", "create", "b"], ["mdev", "remove", UUID]):
            requests.answer(words)
            shown.append([viewed.screen.title for viewed in host.screens])
    finally:
        host.close()
    assert shown == [[UUID], [UUID], [UUID, "b"], ["b"]]
    assert list(tmp_path.iterdir()) == []


# ---- the requests themselves ----


@pytest.fixture
def requests(tmp_path: Path) -> Iterator[tuple[Requests, ServedHost, Path]]:
    host = ServedHost("skl", [], aperture_size=GIB)
    policy = SocketPolicy(host, tmp_path)
    try:
        yield Requests(MdevParent(host.host, policy=policy), policy), host, tmp_path
    finally:
        host.close()


def test_a_name_is_used_once_in_whichever_way(requests: tuple[Requests, ServedHost, Path]) -> None:
    ask, _, folder = requests
    ask.answer(["device", "configure", UUID, "GVTg_V5_8"])
    with pytest.raises(UsageError, match=f"UUID {UUID}: in use, by a device that is provisioned under this name"):
        ask.answer(["mdev", "create", TYPE, UUID])
    ask.answer(["device", "unconfigure", UUID])
    assert ask.answer(["mdev", "create", TYPE, UUID]) == [f"ready {folder}/{UUID}.sock"]
    with pytest.raises(UsageError, match=f"name {UUID}: in use, as the UUID of a device of type {TYPE}"):
        ask.answer(["device", "configure", UUID, "GVTg_V5_8"])


def test_when_nothing_is_left_the_answer_names_the_devices_that_have_it(requests: tuple[Requests, ServedHost, Path]) -> None:
    ask, host, _ = requests
    ask.answer(["device", "configure", "big", "GVTg_V5_1"])
    ask.answer(["mdev", "create", TYPE, UUID])
    with pytest.raises(ResourceExhausted) as refused:
        ask.answer(["device", "configure", "other", "GVTg_V5_1"])
    assert refused.value.held == {"the host": 128, "big": 512, UUID: 64}
    assert [line.split(" ")[0] for line in ask.answer(["device", "list"])] == ["big"]
    with pytest.raises(StateError, match=r"configure of big needs state unconfigured, but the state is configured \(legal: create and unconfigure\)"):
        ask.answer(["device", "configure", "big", "GVTg_V5_8"])
    assert len(host.host.vgpus) == 1


def test_where_no_socket_can_be_made_the_share_is_as_it_was(requests: tuple[Requests, ServedHost, Path]) -> None:
    ask, host, folder = requests
    fresh = host.host.pool.free
    (folder / f"{UUID}.sock").touch()
    for _ in range(2):
        with pytest.raises(GvtError, match="there is something that is no socket"):
            ask.answer(["mdev", "create", TYPE, UUID])
        assert host.host.pool.free == fresh and not host.host.vgpus and not host.devices and not host.host.guard.machines
    ask.answer(["device", "configure", UUID, "GVTg_V5_8"])
    with pytest.raises(GvtError, match="there is something that is no socket"):
        ask.answer(["device", "create", UUID])
    assert ask.answer(["device", "list"])[0].startswith(f"{UUID} configured GVTg_V5_8 ")
    (folder / f"{UUID}.sock").unlink()
    assert ask.answer(["device", "create", UUID]) == [f"ready {folder}/{UUID}.sock"]
