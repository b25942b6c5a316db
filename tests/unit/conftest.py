"""Makes ``ansible_collections.t9k.gpu`` importable from this clone, as ansible itself does it."""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest
from ansible.utils.collection_loader._collection_finder import _AnsibleCollectionFinder

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


@pytest.fixture(scope="session")
def cuda_library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The lab's libcuda.so.1, built here."""
    from tests.lab.hosts import cuda

    return cuda.build(tmp_path_factory.mktemp("cuda") / "libcuda.so.1")
