from tests.book.conftest import browser

__all__ = ["browser"]
