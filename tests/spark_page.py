"""The steps of an order that deploy/spark/report.py counts: that program can't import the protocol."""

from pathlib import Path
from typing import Final

from saga_cli.archive.figures import STEPS
from tests.made_parts import between_marks

SPARK: Final = Path(__file__).parents[1] / "deploy" / "spark" / "report.py"


def spark_file() -> str:
    """report.py as it is, with the steps of the protocol."""
    return between_marks(SPARK, f"STEPS = (\n{''.join(_line(step) for step in STEPS)})\n")


def _line(step: str) -> str:
    return f'    "{step}",\n'
