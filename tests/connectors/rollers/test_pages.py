"""Pages by number."""

from __future__ import annotations

from teleporter_lab.connectors.rollers.pages import Pages


def test_pages_go_on_until_one_is_not_full() -> None:
    pages = Pages(100, first=2, offset=200)
    assert [pages.offset_of(page) for page in (2, 3, 9)] == [200, 300, 900]
    assert pages.next(2, 100) == 3
    assert pages.next(3, 99) is None
    assert pages.next(3, 0) is None


def test_the_last_page_is_the_last_one() -> None:
    assert Pages(1, last=1).next(0, 1) == 1
    assert Pages(1, last=1).next(1, 1) is None
