"""Pins that ``__all__`` is the public face of every module: sorted, complete, and all that other modules take."""

from __future__ import annotations

import ast
import importlib
import inspect
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from types import ModuleType

import pytest

import batch_os_provider

ROOT = Path(batch_os_provider.__file__).parent
MODULES = sorted(
    ".".join(path.relative_to(ROOT).with_suffix("").parts)
    for path in ROOT.rglob("*.py")
    if path.stem != "__init__" and path.relative_to(ROOT).parts[0] not in {"cli", "simulator"}
)
PACKAGES = sorted(
    ".".join(path.parent.relative_to(ROOT).parts)
    for path in ROOT.rglob("*/__init__.py")
    if path.relative_to(ROOT).parts[0] != "simulator"
)


def module_of(name: str) -> ModuleType:
    return importlib.import_module(f"batch_os_provider.{name}")


def natural(name: str) -> tuple[int, str]:
    """Constants, then classes, then functions: the order that ruff keeps."""
    return (0 if name.isupper() else 1 if name[0].isupper() else 2, name)


@pytest.mark.parametrize("name", MODULES)
def test_all_is_sorted_and_exists(name: str) -> None:
    exported = module_of(name).__all__
    assert exported == sorted(exported, key=natural)
    assert all(hasattr(module_of(name), one) for one in exported)
    assert not [one for one in exported if one.startswith("_")]


@pytest.mark.parametrize("name", MODULES)
def test_every_public_class_and_function_is_exported(name: str) -> None:
    module = module_of(name)
    public = {
        one
        for one, value in vars(module).items()
        if not one.startswith("_")
        and (inspect.isclass(value) or inspect.isfunction(value))
        and value.__module__ == module.__name__
    }
    assert public - set(module.__all__) == set()


@pytest.mark.parametrize("name", ["__init__", *MODULES])
def test_a_module_takes_from_another_only_what_it_exports(name: str) -> None:
    tree = ast.parse((ROOT / f"{name.replace('.', '/')}.py").read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("batch_os_provider."):
            source = importlib.import_module(str(node.module))
            taken = {alias.name for alias in node.names}
            offered = set(getattr(source, "__all__", ())) | {each.rpartition(".")[2] for each in MODULES}
            assert taken <= offered, f"{name} takes {taken - offered} of {node.module}"


@pytest.mark.parametrize("name", MODULES)
def test_every_module_says_what_it_is_and_why(name: str) -> None:
    what, _, why = (module_of(name).__doc__ or "").partition("\n\n")
    assert what.endswith(".")
    assert why.strip()


@pytest.mark.parametrize("name", PACKAGES)
def test_every_folder_says_what_is_in_it_and_imports_nothing(name: str) -> None:
    package = module_of(name)
    assert len((package.__doc__ or "").split()) > 10
    tree = ast.parse(Path(str(package.__file__)).read_text(encoding="utf-8"))
    assert len(tree.body) == 1, "the docstring, so that a module costs only what it imports itself"


def test_the_package_exports_its_resources() -> None:
    assert batch_os_provider.__all__ == sorted(batch_os_provider.__all__)
    assert batch_os_provider.__all__ == ["PoolFleet", "PoolImageVersion", "PoolOsVersion", "__version__"]
    resources = batch_os_provider.__all__[:-1]
    assert [getattr(batch_os_provider, name).__name__ for name in resources] == resources


def test_the_version_is_that_of_the_installed_package_and_costs_no_import_of_pulumi() -> None:
    program = (
        "import sys, batch_os_provider as b; print(b.__version__, 'pulumi' in sys.modules, 'click' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)  # noqa: S603 - ours
    assert done.stdout == f"{metadata.version('batch-os-provider')} False False\n"
