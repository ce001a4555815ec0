"""saga archive | retention | report"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

import typer

from saga_cli.ops.options import AsJson
from saga_cli.terminal import fail

FROM = "A folder, or a URL that fsspec reads, such as s3://bucket/log."
ArchiveUrl = Annotated[str, typer.Option("--archive", envvar="SAGA_ARCHIVE", help=FROM)]


def archive(
    target: Annotated[str, typer.Argument(envvar="SAGA_ARCHIVE", help=FROM)],
    topic: Annotated[list[str] | None, typer.Option(help="This topic; may be repeated.")] = None,
    every: Annotated[float, typer.Option(min=0.1, help="Seconds between copies.")] = 300,
    *,
    follow: Annotated[bool, typer.Option("--follow/--until-end", help="Go on, or end.")] = False,
    verify: Annotated[bool, typer.Option("--verify", help="Read the archive again.")] = False,
    offline: Annotated[bool, typer.Option("--offline", help="Verify without Kafka.")] = False,
) -> None:
    """Copy the topics to Parquet files, each record once; with --verify, check what was copied."""
    if (verify and follow) or (offline and not verify):
        fail("--verify goes without --follow, and --offline is for --verify")
    with _extra():
        from saga_cli.archive import copying  # noqa: PLC0415 - Parquet is slow to load

    if verify:
        copying.check_all(target, topic, offline=offline)
    else:
        copying.copy(target, topic, every if follow else None)


def report(
    archive: ArchiveUrl = "",
    *,
    as_json: AsJson = False,
) -> None:
    """Print what the archive says by day: the funnel, why orders failed, times, money."""
    if not archive:
        fail("give --archive, or SAGA_ARCHIVE: `saga archive TARGET` makes one")
    with _extra():
        from saga_cli.archive import figures  # noqa: PLC0415 - slow, see above

    figures.report(archive, as_json=as_json)


def retention(archive: ArchiveUrl = "", *, as_json: AsJson = False) -> None:
    """Check that no record can expire in Kafka before it is archived; exit 1 if one could."""
    with _extra():
        from saga_cli.archive.retention import retention as check  # noqa: PLC0415 - slow, see above

    check(archive, as_json=as_json)


@contextmanager
def _extra() -> Iterator[None]:
    try:
        yield
    except ModuleNotFoundError as error:
        fail(f"it needs all services and the extra `archive`: {error}")
