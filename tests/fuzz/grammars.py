"""Texts of a grammar, spoilt here and there.

A text is as bytes arrive: of characters up to 255, which are the bytes of a header. `SAGA_FUZZ_EXAMPLES`
is how many are made for each target (`make fuzz` asks for many).
"""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from hypothesis import HealthCheck, note, settings
from hypothesis import strategies as st

EXAMPLES: Final = int(os.environ.get("SAGA_FUZZ_EXAMPLES", "60"))
CORPUS: Final[dict[str, list[str]]] = json.loads(
    Path(__file__).with_name("corpus.json").read_text("utf-8")
)
"""By target what broke something once, or is on the edge; a new line is whatever a failure prints."""
NASTY: Final = (
    *(
        "",
        " ",
        "\t",
        "\x00",
        "\r\n",
        "\x7f",
        "\xff",
        "\xa0",
        "\xb2",
        "\u2028",
        "\ud800",
        "\U0001f600",
    ),
    *('"', '\\"', "\\", "'", ",", ";", "=", ":", "/", "%00", "%ff", "-", "_", ".", "*", "{", "["),
    *("0", "-0", "+1", "1e9", "1_0", "0x1f", "NaN", "Infinity", "9" * 20, "9" * 400),
    *(str(2**31), str(2**53), str(2**63), str(-(2**63) - 1), "\uff11", "\u0661"),
)
HEADER: Final = st.text(st.characters(max_codepoint=255), max_size=40)
fuzzed = settings(
    max_examples=EXAMPLES, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)


@st.composite
def spoilt(draw: Callable[[Any], Any], valid: st.SearchStrategy[str]) -> str:
    """A valid text with up to four changes: cut, doubled, with a foreign piece in it, or many times over.

    What takes exponential time to read shows here: a piece that comes forty times is enough.
    """
    text: str = draw(valid)
    for _ in range(draw(st.integers(0, 4))):
        first, last = sorted((draw(st.integers(0, len(text))), draw(st.integers(0, len(text)))))
        last = min(last, first + 8)
        middle = draw(
            st.sampled_from(NASTY)
            | st.just("")
            | st.just(text[first:last] * 2)
            | st.just(text[first:last] * 40)
            | HEADER
        )
        text = text[:first] + middle + text[last:]
        text = text[:4000]
    return text


def joined(*parts: st.SearchStrategy[str] | str) -> st.SearchStrategy[str]:
    made = [st.just(part) if isinstance(part, str) else part for part in parts]
    return st.tuples(*made).map("".join)


def listed(element: st.SearchStrategy[str], separator: str = ", ") -> st.SearchStrategy[str]:
    return st.lists(element, min_size=1, max_size=4).map(separator.join)


def kept(target: str, text: str) -> None:
    """Prints, with a failure, what to add to the corpus."""
    note(f"to keep in tests/fuzz/corpus.json, {target!r}: {text!a}")
