"""Makes ``ansible_collections.t9k.gpu`` importable from this clone, as ansible itself does it."""

from __future__ import annotations

import os
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
