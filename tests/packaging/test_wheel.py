"""The wheel works in an empty environment, called from an empty folder."""

import os
import shutil
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

from tests.conftest import TOP, write_pipeline

pytestmark = pytest.mark.slow  # a wheel and an environment


def run(command: list[str | Path], folder: Path) -> str:
    """Run a program without what this environment sets for Python, and return what it printed."""
    env = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "PYSPARK", "PIP_"))}
    done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True)
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from a copy of what belongs into it, without a network."""
    source, dist = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("dist")
    for name in ("curate.py", "curation", "filters", "jobs", "manifests", "pyproject.toml", "README.md", "LICENSE"):
        path = TOP / name
        ignore = shutil.ignore_patterns("__pycache__")
        shutil.copytree(path, source / name, ignore=ignore) if path.is_dir() else shutil.copy(path, source / name)
    pip = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    run([*pip, "--wheel-dir", dist, source], source)
    (found,) = dist.glob("*.whl")
    return found


@pytest.fixture(scope="module")
def curate(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The command of a new environment that has the wheel, and beside it only the dependencies of this one."""
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, with_pip=False, symlinks=True)
    python = folder / "bin/python"
    run(
        [sys.executable, "-m", "pip", "--python", python, "install", "--quiet", "--no-deps", "--no-index", wheel],
        folder,
    )
    # A path that another .pth adds brings its packages, not the editable checkout among them.
    packages = next((folder / "lib").glob("python*/site-packages"))
    (packages / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return folder / "bin/curate"


def test_the_wheel_contains_what_is_no_code_too(wheel: Path):
    names = zipfile.ZipFile(wheel).namelist()
    for package in ("curation", "filters", "jobs", "manifests"):
        for path in (TOP / package).rglob("*"):
            if path.is_file() and "__pycache__" not in path.parts:
                assert path.relative_to(TOP).as_posix() in names
    assert not [name for name in names if name.startswith(("tests", "docs", "benchmarks", "examples"))]


def test_the_api_is_that_of_the_wheel(curate: Path, tmp_path: Path):
    where = "import curate, jobs; print(curate.__file__, jobs.__file__)"
    assert str(TOP) not in run([curate.parent / "python", "-c", where], tmp_path)


@pytest.mark.spark
def test_doctor_and_run_work_from_an_empty_folder(curate: Path, corpus: Path, tmp_path: Path):
    assert "curate, version" in run([curate, "--version"], tmp_path)
    run([curate, "doctor"], tmp_path)
    tar = min(corpus.glob("*.tar"))
    settings = {"dedupe": {"copies": ["exact"]}, "choose": {"keep": "all"}, "score": {"max_lines": 1}}
    run([curate, "run", write_pipeline(tmp_path / "pipeline.yaml", [tar], "out", **settings)], tmp_path)
    assert list((tmp_path / "out/shards").glob("*.tar"))
