"""A deliberate bug as an edit of a source file, and the tests that have to find it."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Edit:
    """`was` stands once in the source file, and is `now` while the bug is switched on.

    One of `tests`, pytest's node ids, has to fail.
    """

    file: str
    name: str
    was: str
    now: str
    tests: tuple[str, ...]

    def of(self, source: str) -> str:
        """Raises ValueError where the source has changed so that the bug can't be put in."""
        if (count := source.count(self.was)) != 1:
            raise ValueError(f"{self.name}: {self.file} has {self.was!r} {count} times, not once")
        return source.replace(self.was, self.now)
