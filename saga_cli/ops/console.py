"""The command `saga console`, for what the operators' console keeps."""

import typer

from saga_cli.terminal import OneLine

app = typer.Typer(cls=OneLine, no_args_is_help=True)


@app.callback()
def console() -> None:
    """Look after the database of the operators' console."""


@app.command()
def rebuild() -> None:
    """Empty the console's database and have it read the log anew: now if it runs, else when it starts.

    What people did in the console stays.
    """
    from console.command import rebuild_now  # noqa: PLC0415 - with all services it is slow

    rebuild_now()
