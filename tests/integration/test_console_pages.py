"""The console as operators use it: a real browser, over real services."""

import re
from collections.abc import Iterator
from typing import Any, Final

import httpx
import pytest
from playwright.sync_api import Browser, Page, expect

from saga_cli.stack import with_console
from saga_cli.stack.issuer import local_issuer
from saga_cli.stack.services import Instance, Services
from tests.support.broken_payment import mend, payment_broken
from tests.support.browser import browsing, opened, serious_faults
from tests.support.shop import checkout
from tests.support.waiting import until

pytestmark = pytest.mark.long(60)
WHO: Final = "anna"
ORDERS: Final = 3
SCHEMES: Final = ("light", "dark")


@pytest.fixture(scope="module")
def console(stack: Services) -> Iterator[Instance]:
    instance = with_console.start(stack)
    yield instance
    stack.instances.remove(instance)
    code = instance.process.stop()
    instance.port.release()
    assert code == 0


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with browsing() as found:
        yield found


def page_of(browser: Browser, console: Instance, *scopes: str, **more: Any) -> Page:
    token = local_issuer().token(WHO, scopes or ("operate", "audit"))
    return opened(browser, token, console.url, **more)


@pytest.fixture
def page(browser: Browser, console: Instance) -> Iterator[Page]:
    found = page_of(browser, console)
    faults: list[str] = []
    found.on("pageerror", lambda error: faults.append(str(error)))
    yield found
    found.context.close()
    assert faults == []


@pytest.fixture
def broken_payment(stack: Services) -> Iterator[None]:
    with payment_broken(stack):
        yield


def test_an_order_moves_over_the_map_while_one_looks(
    stack: Services, console: Instance, page: Page
) -> None:
    page.goto(console.url)
    expect(page.locator("#live")).to_have_attribute("data-state", "live")
    confirmed = page.locator("a.figure", has_text="Confirmed").locator("b")
    before = confirmed.inner_text() if confirmed.count() else "0"
    order_id = checkout(stack).json()["order_id"]
    until(
        lambda: confirmed.count() and confirmed.inner_text() != before, what="one more on the map"
    )
    until(lambda: _is_found(page, order_id), what="the order, which others may be before")
    expect(page.locator("#says")).to_contain_text("Nobody has to act")
    expect(page.locator("#events table tbody tr")).not_to_have_count(0)
    page.get_by_role("group").filter(has_text="order.placed").first.wait_for()
    assert str(page.locator("#order svg.map").text_content()).count("✓") >= 5


def _is_found(page: Page, order_id: str) -> bool:
    with page.expect_navigation():
        page.locator("#find").fill(order_id)
        page.locator("#find").press("Enter")
    return order_id in page.locator("h1").inner_text()


@pytest.mark.usefixtures("broken_payment")
def test_payment_breaks_and_from_the_console_alone_all_is_found_and_mended(
    stack: Services, console: Instance, page: Page
) -> None:
    orders = [checkout(stack, wait_s=0).json()["order_id"] for _ in range(ORDERS)]
    _see_them_wait(console, page)
    _cancel(stack, console, page, orders[0])
    group = _find_the_group(console, page)
    mend(stack)
    _redrive(console, page, group)
    for order_id, state in zip(orders, ("Cancelled", "Confirmed", "Confirmed"), strict=True):
        page.goto(f"{console.url}/orders/{order_id}")
        expect(page.locator("#state")).to_have_text(state)
    _read_the_audit(stack, console, page, orders[0])


def _see_them_wait(console: Instance, page: Page) -> None:
    page.goto(console.url)
    parked = page.get_by_text(f"▲ {ORDERS} parked")
    expect(parked).to_be_visible()
    link = page.get_by_role(
        "link", name=re.compile(rf"^stock.reserved {ORDERS} .* waiting from inventory to payment")
    )
    expect(link).to_be_visible()
    link.click()
    expect(page.locator("#filter")).to_have_value("edge:stock.reserved>payment")
    expect(page.locator("tbody tr")).to_have_count(ORDERS)


def _cancel(stack: Services, console: Instance, page: Page, order_id: str) -> None:
    """The customer does; the order's page shows it by itself, and who must act."""
    page.goto(f"{console.url}/orders/{order_id}")
    expect(page.locator("#says")).to_contain_text("Payment needs somebody")
    expect(page.locator("#facts + dl .tag")).to_have_text("Pending")
    answer = httpx.post(f"{stack.url('order')}/orders/{order_id}/cancel")
    assert answer.status_code == 202
    expect(page.locator("#facts + dl .tag")).to_have_text("Cancelling")


def _find_the_group(console: Instance, page: Page) -> str:
    page.goto(f"{console.url}/failures")
    row = page.locator("tbody tr", has_text="broken")
    expect(row).to_contain_text("stock.reserved")
    row.get_by_role("link").click()
    expect(page.locator("tbody tr")).to_have_count(ORDERS)
    return page.url


def _redrive(console: Instance, page: Page, group: str) -> None:
    page.goto(group)
    page.get_by_label("because").fill("the constraint is gone")
    page.get_by_role("button", name="Look ahead").click()
    expect(page.locator("#plan")).to_contain_text(f"{ORDERS} goes on")
    page.get_by_role("button", name=f"Redrive {ORDERS}").click()
    expect(page).to_have_url(re.compile(f"^{console.url}/jobs/"))
    expect(page.locator("#job")).to_contain_text(f"{ORDERS} acted on, 0 refused, 0 ignored")
    expect(page.locator("#job .tag")).to_have_text("Done")


def _read_the_audit(stack: Services, console: Instance, page: Page, order_id: str) -> None:
    """One entry for the repair by the console, and one for each message by its service."""
    page.goto(f"{console.url}/failures")
    entries = page.locator("[aria-labelledby=audit] tbody tr")
    expect(entries.nth(0)).to_contain_text("repair ended")
    expect(entries.nth(1)).to_contain_text("the constraint is gone")
    headers = {"Authorization": f"Bearer {local_issuer().token('a', ('audit',))}"}
    url = f"{stack.url('payment')}/ops/actions"
    trail = httpx.get(url, params={"key": order_id}, headers=headers).json()
    done = [(each["by"], each["action"], each["note"]) for each in trail]
    assert (WHO, "redrive", "the constraint is gone") in done


def test_one_signs_in_at_the_stacks_own_issuer_as_one_of_its_people(
    browser: Browser, console: Instance
) -> None:
    page = opened(browser, "nothing", console.url)
    page.goto(f"{console.url}/orders?filter=state:confirmed")
    page.get_by_role("link", name="Sign in at 127.0.0.1").click()
    page.get_by_label("Password").fill("a guess")
    page.get_by_role("button", name="vera viewer").click()
    expect(page.get_by_role("alert")).to_have_text("That is not the password.")
    page.get_by_label("Password").fill(local_issuer().sign_in.password)
    page.get_by_role("button", name="vera viewer").click()
    expect(page).to_have_url(re.compile(f"^{console.url}/orders.filter=state:confirmed"))
    expect(page.get_by_text("vera, viewer")).to_be_visible()
    page.context.close()


def test_who_may_only_look_is_shown_no_button_and_signs_in_and_out(
    browser: Browser, console: Instance
) -> None:
    page = opened(browser, "nothing", console.url)
    page.goto(f"{console.url}/orders?filter=state:confirmed")
    page.get_by_text("With an access token").click()
    page.get_by_label("Access token").fill("nothing")
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("alert")).to_contain_text("Not signed in")
    page.get_by_label("Access token").fill(local_issuer().token("vera", ("view",)))
    page.get_by_role("button", name="Sign in").click()
    expect(page).to_have_url(re.compile("filter=state:confirmed"))
    expect(page.get_by_text("vera, viewer")).to_be_visible()
    page.get_by_role("button", name="Sign out").click()
    expect(page).to_have_url(f"{console.url}/login")
    page.context.close()


def test_theme_zone_and_saved_filters_stay(console: Instance, page: Page) -> None:
    page.goto(f"{console.url}/orders?filter=state:confirmed")
    page.get_by_role("button", name="Dark").click()
    page.get_by_role("button", name="UTC", exact=True).click()
    page.get_by_role("button", name="Save").click()
    page.goto(f"{console.url}/orders")
    assert page.locator("html").get_attribute("data-theme") == "dark"
    expect(page.get_by_role("button", name="Local time")).to_be_visible()
    page.get_by_role("link", name="state:confirmed", exact=True).click()
    expect(page.locator("#filter")).to_have_value("state:confirmed")
    page.keyboard.press("Escape")
    page.locator("body").press("/")
    expect(page.locator("#find")).to_be_focused()


@pytest.mark.parametrize("scheme", SCHEMES)
def test_no_page_has_a_serious_fault_of_accessibility(
    stack: Services, browser: Browser, console: Instance, scheme: Any
) -> None:
    order_id = checkout(stack).json()["order_id"]
    # axe-core runs as text that is evaluated, which the pages' own policy forbids.
    page = page_of(browser, console, color_scheme=scheme, bypass_csp=True)
    found: dict[str, list[str]] = {}
    paths = (
        "/",
        "/orders",
        f"/orders/{order_id}",
        "/process",
        "/failures",
        "/services",
        "/find?q=x",
        "/nowhere",
    )
    for path in paths:
        page.goto(f"{console.url}{path}")
        page.wait_for_load_state("load")
        found[path] = serious_faults(page)
    page.context.close()
    assert found == {path: [] for path in paths}
