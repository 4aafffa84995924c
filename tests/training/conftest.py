"""Small products are fastest on one thread, the more so beside other tests."""

import pytest


@pytest.fixture(autouse=True, scope="module")
def on_one_thread(one_thread):
    pass
