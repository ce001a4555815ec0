"""The command `saga secrets`, and options of `saga up`."""

from pathlib import Path
from typing import Annotated

import typer

from saga_cli.terminal import write

Secure = Annotated[
    bool, typer.Option("--secure", help="With TLS, logins and rights on all servers.")
]
WithTracing = Annotated[
    bool, typer.Option("--with-tracing", help="With a viewer of traces, if one is on the PATH.")
]
OtlpEndpoint = Annotated[
    str, typer.Option(metavar="URL", help="With traces, sent here by OTLP over HTTP.")
]
WithoutConsole = Annotated[
    bool, typer.Option("--without-console", help="Without the operators' console.")
]
Detach = Annotated[bool, typer.Option("--detach/--foreground", help="Return when all is ready.")]


def secrets(
    folder: Annotated[Path, typer.Argument(help="Made, or completed.")] = Path(".secrets"),
    *,
    renew: Annotated[
        bool, typer.Option("--renew", help="Issue all certificates anew, not only old ones.")
    ] = False,
) -> None:
    """Make what the secured Compose file mounts: certificates, passwords, users and Kafka's settings.

    What is there stays; a certificate that ends within 30 days is issued anew. Only its owner may enter the
    folder.
    """
    from saga_cli.stack.mounted import TOOLS, make  # noqa: PLC0415 - with what it needs it is slow

    changed = make(folder, renew=renew)
    for name in changed:
        write(f"{name}: made")
    done = f"{len(changed)} made" if changed else "Nothing has to be made"
    write(f"{done}; {folder / TOOLS} has the variables of the commands.")
