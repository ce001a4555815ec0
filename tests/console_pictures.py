"""Pictures of the console's pages for docs/console.md: `python -m tests.console_pictures` makes them, or
those of the pages that are named.

The pages show values that are made up (tests/support/console_sample.py), in light and dark, at the width of a
desktop and of a phone.
"""

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any, Final

import uvicorn
from PIL import Image
from playwright.sync_api import Browser

from console.web.app import ConsoleOptions, make_console
from tests.support.browser import browsing, opened
from tests.support.callers import gate_for
from tests.support.console_sample import ORDER_ID, SampleQueries, SampleServices
from tests.support.waiting import until

FOLDER: Final = Path(__file__).parents[1] / "docs" / "images"
WAITING: Final = {
    "order.placed>inventory": 3,
    "stock.reserved>payment": 12,
    "payment:Capture": 180,
    "payment.captured>shipping": 1,
    "shipment.cancelled>payment": 7,
    "shipping:DispatchDue": 240,
    "points.awarded>order": 1,
}
"""By edge, how many orders wait there, and for how many seconds the oldest."""
PAGES: Final = {
    "map": "/",
    "orders": "/orders?filter=flight:yes",
    "order": f"/orders/{ORDER_ID}",
    "process": "/process",
    "failures": "/failures",
    "services": "/services",
}
SIZES: Final = {"desktop": (1360, 900), "phone": (390, 844)}
SCHEMES: Final = ("light", "dark")
COLOURS: Final = 256
TOKEN: Final = "anna"


def main() -> None:
    FOLDER.mkdir(exist_ok=True)
    with serving() as url, browsing() as browser:
        for name, path in ((name, PAGES[name]) for name in sys.argv[1:] or PAGES):
            for size in SIZES:
                for scheme in SCHEMES:
                    file = FOLDER / f"console-{name}-{size}-{scheme}.png"
                    file.write_bytes(picture(browser, f"{url}{path}", size, scheme))
                    sys.stdout.write(f"{file.name}\n")


@contextmanager
def serving() -> Iterator[str]:
    """The console over the sample, in a thread; gives its URL."""
    services = SampleServices()
    gate = gate_for(**{TOKEN: ("operate", "audit")})
    queries = SampleQueries(WAITING).as_queries()
    options = ConsoleOptions(transport=services.transport)
    app = make_console(queries, services.urls, gate, _nothing_fails, options)
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="error", lifespan="off"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    until(lambda: server.started, what="the console listens")
    port = server.servers[0].sockets[0].getsockname()[1]
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        app.state.console.stopping.set()
        server.should_exit = True
        thread.join(10)


def picture(browser: Browser, url: str, size: str, scheme: Any) -> bytes:
    width, height = SIZES[size]
    viewport: Any = {"width": width, "height": height}
    page = opened(browser, TOKEN, url, viewport=viewport, color_scheme=scheme)
    page.goto(url)
    page.wait_for_selector("#live[data-state=live], main:not(:has(#live))")
    page.wait_for_selector("#says table, main:not(:has(#says))", state="attached")
    taken = Image.open(BytesIO(page.screenshot(full_page=True))).convert("RGB")
    page.context.close()
    small = BytesIO()
    taken.quantize(COLOURS, Image.Quantize.MAXCOVERAGE).save(small, "PNG", optimize=True)
    return small.getvalue()


async def _nothing_fails() -> tuple[Any, ...]:
    return ()


if __name__ == "__main__":
    main()
