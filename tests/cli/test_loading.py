"""A model is loaded without garbage collection."""

import gc

import pytest

from speechvq.cli.loading import without_collection


@pytest.fixture(autouse=True)
def as_it_was():
    enabled = gc.isenabled()
    yield
    gc.unfreeze()
    (gc.enable if enabled else gc.disable)()


def test_what_is_made_within_is_not_looked_through():
    gc.enable()
    with without_collection():
        assert not gc.isenabled()
        made = [[] for _ in range(1000)]
    assert gc.isenabled() and gc.get_freeze_count() > len(made)
    assert not any(one is made for one in gc.get_objects())


def test_after_an_error_it_is_on_again():
    gc.enable()
    with pytest.raises(ValueError, match="no model"), without_collection():
        raise ValueError("no model")
    assert gc.isenabled()


def test_who_turned_it_off_finds_it_off():
    gc.disable()
    with without_collection():
        pass
    assert not gc.isenabled()
