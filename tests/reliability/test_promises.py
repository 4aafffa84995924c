"""docs/reliability.md tells what was seen, and each promise can still be broken as it says."""

import re

import pytest
from reliability.check import PAGE, ROOT, page, promises, results

LISTED = promises()


@pytest.mark.parametrize("promise", LISTED, ids=lambda promise: promise.text[:40])
def test_a_promise_has_its_test_and_its_edit(promise):
    file, _, name = promise.test.partition("::")
    text = (ROOT / file).read_text()
    assert all(
        re.search(rf"^ *(def|class) {part}\b", text, re.M) for part in name.split("::") if part
    )
    assert (ROOT / promise.edit.file).read_text().count(promise.edit.old) == 1
    assert promise.edit.new != promise.edit.old
    assert promise.text in results(), "not run yet: python tests/reliability/check.py"


def test_no_promise_is_made_twice():
    assert len({promise.text for promise in LISTED}) == len(LISTED)


def test_the_page_is_that_of_the_last_run():
    assert PAGE.read_text() == page(LISTED, results())
