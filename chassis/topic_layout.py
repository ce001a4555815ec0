"""In which topics a service writes and reads its events."""

from enum import StrEnum


class TopicLayout(StrEnum):
    """All but the first are steps of a move from topics of before (docs/topics.md)."""

    LANES = "lanes"
    """It writes and reads a topic for each lane."""
    MOVING = "moving"
    """It writes lanes, and reads the topics of before as well."""
    FORMER = "former"
    """It writes the topics of before, and reads both."""
