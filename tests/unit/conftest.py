"""Makes ``ansible_collections.t9k.gpu`` importable from this clone, as ansible itself does it."""

from __future__ import annotations

import os
import random
import shutil
from pathlib import Path

import pytest
from ansible.utils.collection_loader._collection_finder import _AnsibleCollectionFinder

from tests.lab.hosts.machine import TESTS as PACKAGES

FIXTURES = Path(__file__).parent / "fixtures"

# ./dev puts a tree with ansible_collections/t9k/gpu -> this clone on this path.
_AnsibleCollectionFinder(paths=os.environ["ANSIBLE_COLLECTIONS_PATH"].split(":"))._install()


@pytest.fixture
def fixtures() -> Path:
    """The folder of captures."""
    return FIXTURES


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--shuffle", metavar="SEED", help="run the tests in an order of chance, the same for the same seed"
    )


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """No test may need another to have run before it."""
    seed = config.getoption("--shuffle")
    if seed is not None:
        random.Random(seed).shuffle(items)


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "needs(*programs): the test asks these programs of the machine")


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Fail where a program is missing that the test asks: a test that is passed over in silence tests nothing."""
    wanted = [program for mark in item.iter_markers("needs") for program in mark.args]
    missing = [each for each in wanted if not shutil.which(each)]
    packages = sorted({PACKAGES.get(each, each.partition("-")[0]) for each in missing})
    if missing:
        do = f"apt-get install {' '.join(packages)}"
        pytest.fail(f"wanted: {', '.join(missing)}, which this test needs; found: none; next: {do}", pytrace=False)


@pytest.fixture(scope="session")
def cuda_library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The lab's libcuda.so.1, built here."""
    from tests.lab.hosts import cuda

    return cuda.build(tmp_path_factory.mktemp("cuda") / "libcuda.so.1")
