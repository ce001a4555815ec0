"""saga chaos: a trial, told line by line, and its verdict."""

import logging
from collections import Counter
from typing import Final

import uvloop

from chaos import trial
from chaos.trial import TrialOptions, Verdict
from guarantees.counts import counted
from saga_cli.terminal import console, fail, message_of, plain

SHOWN: Final = 20


def chaos(options: TrialOptions) -> None:
    """Exit code 0 only where everything is clean; 1 says how to do the same again."""
    seconds, rate = options.seconds, options.rate
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # that brokers are away is no news
    console.print(f"seed {options.seed}: faults for {seconds:g} s, {rate:g} checkouts a second")
    try:
        verdict = uvloop.run(trial.run(options, lambda line: console.print(line, markup=False)))
    except (TimeoutError, RuntimeError, ExceptionGroup) as error:
        fail(f"the trial itself failed: {message_of(error)}; again: {options.command}", 1)
    _print(verdict)
    if not verdict.is_clean:
        fail(f"not clean; again: {options.command}", 1)
    console.print("[green]Clean: G1 to G7 hold, and the provider's ledger agrees.[/]")


def _print(verdict: Verdict) -> None:
    console.print(
        f"\norders: {verdict.acknowledged} acknowledged, {verdict.customers.gave_up} given up by"
        f" the customer; {_counts(verdict.report.states)}"
    )
    console.print(f"answers: {_counts(verdict.customers.tries)}")
    console.print(
        f"faults: {_counts(verdict.faults)}; {verdict.provider_faults} by the card provider"
    )
    if verdict.ended:
        console.print(f"processes that ended by themselves: {_counts(Counter(verdict.ended))}")
    if verdict.settled_s is not None:
        console.print(f"settled {verdict.settled_s:.1f} s after the last fault ended")
    console.print(
        f"{verdict.report.events} events and all databases: {counted(len(verdict.violations), 'violation')}"
    )
    for violation in verdict.violations[:SHOWN]:
        console.print(f"  [red]{plain(violation)}[/]")


def _counts(counted: dict[str, int]) -> str:
    return ", ".join(f"{count} {name}" for name, count in sorted(counted.items())) or "none"
