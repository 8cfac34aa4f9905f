"""The house's rules that no type checker sees: who may import whom, and what stands at the top."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("pvinfo", "guest_driver", "host_model")
TOP_LEVEL = {*PACKAGES, "pyproject.toml", "tests", "tox.ini", "README.md"}
MAY_MEET_THE_HOST = ("guest_driver/scenarios/", "guest_driver/__main__.py")


def imported_modules(path: Path) -> Iterator[tuple[int, str]]:
    """Line and absolute name of each import in a source file."""
    package = ".".join(path.relative_to(ROOT).parent.parts)
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, alias.name
        elif isinstance(node, ast.ImportFrom):
            base = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            yield node.lineno, ".".join([*base, *([node.module] if node.module else [])])


def sources(package: str) -> list[Path]:
    return sorted((ROOT / package).rglob("*.py"))


def allowed(path: str, package: str, module: str) -> bool:
    top = module.split(".")[0]
    if top == package or top in sys.stdlib_module_names:
        return True
    if top == "construct":
        return path == "pvinfo/wire.py"
    if top == "pvinfo":
        return True
    return top == "host_model" and path.startswith(MAY_MEET_THE_HOST)


@pytest.mark.parametrize("package", PACKAGES)
def test_imports_go_one_way_and_only_construct_comes_from_outside(package: str) -> None:
    wrong = [
        f"{relative}:{line} imports {module}"
        for path in sources(package)
        for relative in [path.relative_to(ROOT).as_posix()]
        for line, module in imported_modules(path)
        if not allowed(relative, package, module)
    ]
    assert wrong == []


def test_the_top_level_is_what_the_user_asked_for() -> None:
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False)
    if listed.returncode:
        pytest.skip("not a git checkout")
    tops = {line.split("/")[0] for line in listed.stdout.splitlines()}
    assert {top for top in tops if not top.startswith(".")} == TOP_LEVEL


@pytest.mark.parametrize("package", PACKAGES)
def test_each_package_says_that_it_is_typed(package: str) -> None:
    assert (ROOT / package / "py.typed").is_file()


def test_every_public_name_is_documented() -> None:
    bare = []
    for package in PACKAGES:
        for path in sources(package):
            tree = ast.parse(path.read_text())
            exported = next(
                (
                    {constant.value for constant in ast.walk(node.value) if isinstance(constant, ast.Constant)}
                    for node in tree.body
                    if isinstance(node, ast.Assign) and any(isinstance(t, ast.Name) and t.id == "__all__" for t in node.targets)
                ),
                set[object](),
            )
            if ast.get_docstring(tree) is None:
                bare.append(f"{path.relative_to(ROOT)}")
            for node in tree.body:
                if isinstance(node, (ast.ClassDef, ast.FunctionDef)) and node.name in exported and not ast.get_docstring(node):
                    bare.append(f"{path.relative_to(ROOT)}:{node.lineno} {node.name}")
    assert bare == []
