"""The page's scripts can be run on every machine that has what the tests need."""

import shutil

from tests.book.in_node import in_node


def test_a_machine_without_node_takes_that_of_playwright(monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda name: None)
    assert in_node("return given.one + 1;", {"one": 1}, ()) == 2
