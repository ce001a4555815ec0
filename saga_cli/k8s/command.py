"""The commands `saga k8s render` and `saga k8s chaos`."""

import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from guarantees.counts import counted
from saga_cli.terminal import OneLine, fail, named, write

app = typer.Typer(
    cls=OneLine, help="Resources for Kubernetes, from the declarations.", no_args_is_help=True
)
PARTS: Final = ("kafka", "topics", "users", "databases", "redis")
Size = Annotated[str, typer.Option(help="Of each volume.")]
Output = Annotated[
    Path | None, typer.Option(help="Write it into this file, for `kubectl apply -f`.")
]


@app.command()
def render(
    only: Annotated[str, typer.Option(help=f"Of {', '.join(PARTS)}: some, by commas.")] = "",
    size: Size = "50Gi",
    backups: Annotated[
        str, typer.Option(help="Where databases are backed up: the URL of an object store.")
    ] = "",
    output: Output = None,
) -> None:
    """Print what the operators Strimzi and CloudNativePG make the servers of, and a Redis, as YAML.

    It has Kafka with all topics, users and their rights, and a database of each process that has one. No
    secret is in it.
    """
    chosen = named(only, PARTS, "part") or PARTS
    show((made for part in PARTS if part in chosen for made in _of(part, size, backups)), output)


@app.command()
def chaos(
    namespace: Annotated[str, typer.Option(help="Where the system runs.")] = "checkout",
    output: Output = None,
) -> None:
    """Print the faults of `saga chaos` as experiments of Chaos Mesh, each of which is applied by itself."""
    from chaos.mesh import experiments  # noqa: PLC0415 - with all services it is slow

    show(experiments(namespace), output)


def _of(part: str, size: str, backups: str) -> Iterator[dict[str, Any]]:
    from saga_cli.k8s import kafka, stores  # noqa: PLC0415 - with all services it is slow

    made: dict[str, Callable[[], Iterable[dict[str, Any]]]] = {
        "kafka": lambda: kafka.cluster(size),
        "topics": kafka.declared_topics,
        "users": kafka.users,
        "databases": lambda: stores.databases(size, backups),
        "redis": lambda: stores.redis(size),
    }
    yield from made[part]()


def show(resources: Iterable[dict[str, Any]], output: Path | None) -> None:
    """On standard output, or in a file; one that can't be written ends the command with 2."""
    import yaml  # noqa: PLC0415 - what most commands do without

    made = list(resources)
    text: str = yaml.dump_all(made, sort_keys=False, width=120, explicit_start=True)
    if output is None:
        sys.stdout.write(text)
        return
    try:
        output.write_text(text, "utf-8")
    except OSError as error:
        fail(f"{output} can't be written: {error.strerror}")
    write(f"{counted(len(made), 'resource')} in {output}")
