"""docs/cli.md: what `saga --help` says, on one page."""

from collections.abc import Iterator
from typing import Any, Final

import typer

from saga_cli.main import EXIT_CODES, app

HEAD: Final = """\
# The command `saga`

Made by `python -m tests.docs_pages` from the commands themselves; do not edit it by hand. `--help` after a
command says the same.

| exit code | means |
|---|---|
"""


def cli_page() -> str:
    root: Any = typer.main.get_command(app)
    codes = "".join(f"| {code} | {means} |\n" for code, means in EXIT_CODES.items())
    panels: dict[str, list[Any]] = {}
    for command in root.commands.values():
        panels.setdefault(command.rich_help_panel, []).append(command)
    order = dict.fromkeys(command.rich_help_panel for command in root.commands.values())
    sections = (f"## {panel}\n\n{''.join(_commands(panels[panel]))}" for panel in order)
    return f"{HEAD}{codes}\nErrors are one line on stderr.\n\n{''.join(sections)}".rstrip() + "\n"


def _commands(commands: list[Any]) -> Iterator[str]:
    for command in commands:
        if hasattr(command, "commands"):
            if command.invoke_without_command:
                yield _page(command)
            yield from (_page(each, f"{command.name} ") for each in command.commands.values())
        else:
            yield _page(command)


def _page(command: Any, group: str = "") -> str:
    arguments = [p for p in command.params if p.param_type_name == "argument"]
    options = [p for p in command.params if p.param_type_name == "option" and not p.hidden]
    words = [_word(argument) for argument in arguments]
    usage = " ".join(("saga", f"{group}{command.name}", *words))
    rows = [(_word(a), a.help or "") for a in arguments]
    rows += [("/".join((*o.opts, *o.secondary_opts)), o.help or "") for o in options]
    table = "".join(f"| `{name}` | {_cell(text)} |\n" for name, text in rows)
    head = "| | |\n|---|---|\n" if rows else ""
    return f"### {usage}\n\n{' '.join(command.help.split())}\n\n{head}{table}\n".replace(
        "\n\n\n", "\n\n"
    )


def _word(argument: Any) -> str:
    name = (argument.metavar or argument.name).upper().strip("[]")
    return name if argument.required else f"[{name}]"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
