"""Makes the collection importable here as it is for the unit tests."""

from __future__ import annotations

import importlib

importlib.import_module("tests.unit.conftest")
