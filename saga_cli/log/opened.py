"""Archive and live tail as one log."""

from saga_cli.log.kafka import KafkaLog
from saga_cli.log.source import Source, UnreadableError
from saga_cli.targets import Targets


def opened(places: Targets, archive: str = "") -> Source:
    """What is archived at a URL, and what Kafka has beyond it; without a URL, Kafka alone."""
    live = KafkaLog(places.kafka)
    if not archive:
        return live
    try:
        from saga_cli.archive.archived import ArchivedLog  # noqa: PLC0415 - Parquet is slow to load
        from saga_cli.archive.files import Archive  # noqa: PLC0415
    except ModuleNotFoundError as error:
        raise UnreadableError(f"it needs the extra `archive`: {error}") from error
    return ArchivedLog(Archive.at(archive), live)
