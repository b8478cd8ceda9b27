"""The ranks that the tests here were started with."""

from __future__ import annotations

import pytest

from distsim.comm import Communicator, connect


@pytest.fixture(scope="session")
def comm() -> Communicator:
    return connect()
