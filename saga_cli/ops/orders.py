"""saga why | resolve | expedite: one order, seen and helped through the services."""

import time
from collections.abc import Iterator
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Annotated, Any, Final

import typer

from guarantees.diagnosis import Diagnosis, Finding, diagnose, for_other_stacks
from guarantees.whereabouts import OrderReport
from saga_cli.ops.ops_client import Directory
from saga_cli.ops.options import AsJson
from saga_cli.terminal import fail, plain, print_json, write

LOOKS: Final = 3
LOOK_AGAIN_S: Final = 0.3
OrderArgument = Annotated[str, typer.Argument(help="An order's id.")]


def why(order_id: OrderArgument, *, as_json: AsJson = False) -> None:
    """Say who must act on an order next, where its message sits, and what helps."""
    asked = Directory.found()
    found = _diagnosed(asked, order_id)
    about = _about(asked, order_id) if found.settled else {}
    if as_json:
        print_json({**asdict(found), **about})
    elif found.known:
        for line in "\n".join(lines(found, about)).split("\n"):
            write(plain(line))
    if not found.known:
        fail(f"there is no order {plain(order_id)}", 1)
    if set(found.states.values()) == {"?"}:
        raise typer.Exit(1)


def resolve(
    order_id: OrderArgument,
    outcome: Annotated[str, typer.Option("--as", help="What became of it, such as refunded.")],
    note: Annotated[str, typer.Option(help="How you know; the audit trail keeps it.")],
    *,
    reference: Annotated[str, typer.Option(help="The provider's id of it.")] = "",
) -> None:
    """Record by hand what became of an effect whose provider does not say."""
    asked = Directory.found()
    reports = asked.reports(order_id)
    owing = [
        report.service
        for report in reports
        for effect in report.effects
        if outcome in effect.may_be_resolved_as
    ]
    if not owing:
        _fail_to_resolve(reports, order_id, outcome)
    body = {"key": order_id, "outcome": outcome, "note": note, "reference": reference}
    result = asked.post(owing[0], "/ops/resolve", **body)
    published = ", ".join(result["published"]) or "nothing"
    write(f"{owing[0]} takes {result['effect']} as {outcome} and publishes {published}.")


def expedite(order_id: OrderArgument) -> None:
    """Ask the order's providers now, not when their turn comes."""
    asked = Directory.found()
    reports = asked.reports(order_id)
    owing = [report for report in reports if report.effects]
    for report in owing:
        asked.post(report.service, "/ops/expedite", key=order_id)
        kinds = ", ".join(effect.kind for effect in report.effects)
        broken = [c.provider for c in report.circuits if c.state != "closed"]
        when = f"when the circuit to {broken[0]} lets it" if broken else "now"
        write(f"{report.service} asks for {kinds} {when}.")
    if not owing:
        fail(f"no call to a provider is outstanding for {plain(order_id)}{_silence(reports)}", 1)


def _diagnosed(asked: Directory, order_id: str) -> Diagnosis:
    """The services are not asked at one instant: a healthy order may pass between the looks."""
    for look in range(LOOKS):
        time.sleep(LOOK_AGAIN_S if look else 0)
        found = diagnose(order_id, asked.reports(order_id), datetime.now(UTC))
        if found.settled or not found.known or any(f.commands + f.advice for f in found.findings):
            break
    return found if asked.is_here else for_other_stacks(found)


def _about(asked: Directory, order_id: str) -> dict[str, Any]:
    order = asked.get("order", f"/orders/{order_id}")
    return {name: order[name] for name in ("reason", "refused_by")}


def lines(found: Diagnosis, about: dict[str, Any]) -> Iterator[str]:
    ended = f": {about['reason']}, by {about['refused_by']}" if about.get("reason") else ""
    state = "unknown to the order service" if found.state == "Absent" else found.state.upper()
    yield f"Order {found.order_id} is {'not known yet' if found.state == '?' else state}{ended}"
    yield "  " + "  ".join(f"{name} {state}" for name, state in found.states.items())
    for finding in found.findings:
        yield f"\n{_headline(found, finding)}"
        yield "  " + finding.what.replace("\n", "\n    ")
        if finding.wait:
            yield f"  {'' if finding.where == 'effect' else 'nothing to do: '}{finding.wait}"
        yield from (f"  $ {command}" for command in finding.commands)
        yield from (f"  - {line}" for line in finding.advice)
    if not found.findings:
        nobody = "it is settled" if found.settled else "it moves while you look: ask again"
        yield f"\nNobody has to act: {nobody}."
    yield from (f"  {note}" for note in found.notes)


def _headline(found: Diagnosis, finding: Finding) -> str:
    first = "".join((*finding.commands, *finding.advice)[:1])
    who = "Kafka" if "kafka" in first else finding.who
    if finding is not found.findings[0]:
        return f"Also: {who}"
    return f"Settled, but {who} is not done" if found.settled else f"Next: {who}"


def _fail_to_resolve(reports: list[OrderReport], order_id: str, outcome: str) -> None:
    known = sorted({name for report in reports for name in report.resolutions})
    silence = _silence(reports)
    if outcome not in known and not silence:
        fail(f"no service takes {plain(outcome)!r}: there are {', '.join(known) or 'none'}")
    takes = sorted({o for r in reports for e in r.effects for o in e.may_be_resolved_as})
    instead = f"; the outstanding effect takes {', '.join(takes)}" if takes else ""
    what = f"no outstanding effect of {plain(order_id)} may end as {plain(outcome)}"
    fail(f"{what}{instead}{silence}", 1)


def _silence(reports: list[OrderReport]) -> str:
    silent = [f"{report.service} {report.silent}" for report in reports if report.silent]
    return f" ({'; '.join(silent)})" if silent else ""
