"""deploy/spark/report.py says of an archive what `saga report` says of it."""

import asyncio
import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Final

import pytest

from saga_cli.archive.copying import Copier
from saga_cli.archive.files import Archive
from tests.cli.orders import a_shop
from tests.support.saga import saga

ROOT: Final = Path(__file__).parents[2]
PROJECT: Final = ROOT / "deploy" / "spark"
REPORT: Final = PROJECT / "report.py"
SMALL: Final = (
    "spark.sql.shuffle.partitions=1",
    "spark.driver.extraJavaOptions=-XX:TieredStopAtLevel=1",
)
"""For a few orders: no 200 tasks a shuffle, and no time for the best of machine code."""


def uv() -> str:
    return shutil.which("uv") or str(ROOT / ".tools" / "bin" / "uv")


@pytest.mark.long(20)
@pytest.mark.skipif(shutil.which("java") is None, reason="Spark needs Java on PATH")
def test_spark_and_duckdb_say_the_same(tmp_path: Path) -> None:
    asyncio.run(Copier(a_shop().log, Archive.at(str(tmp_path)), limit=7).to_end())
    result = saga("report", "--archive", str(tmp_path), "--json")
    assert result.code == 0
    ours = {name: value for name, value in os.environ.items() if name != "VIRTUAL_ENV"}
    small = f"--master local[1] {' '.join(f'--conf {each}' for each in SMALL)} pyspark-shell"
    local = {"SPARK_LOCAL_IP": "127.0.0.1", "PYSPARK_SUBMIT_ARGS": small}
    command = [uv(), "run", "--project", str(PROJECT), "--frozen", "python", str(REPORT)]
    ended = subprocess.run(
        [*command, str(tmp_path)],
        env=ours | local | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr[-2000:]
    assert json.loads(ended.stdout) == result.json
