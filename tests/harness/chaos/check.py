"""What all books of a run come to."""

from .books import Books
from .kept import check_kept
from .plain import check_plain
from .verdict import Verdict


def check(books: Books, kept: list[str], plain: list[str]) -> list[Verdict]:
    """A verdict for each channel, and one for what concerns none."""
    verdicts = [check_kept(books, channel) for channel in kept] + [check_plain(books, channel) for channel in plain]
    general = Verdict("everything")
    for what in books.unexpected:
        general.violate("unexpected", what)
    return [*verdicts, general]
