"""The panel in a real browser before a real broker with a real instance: tree, form, streams, chooser."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.ui.conftest import open_panel, shot

if TYPE_CHECKING:
    from playwright.sync_api import Request, WebSocket, WebSocketRoute

    from tests.ui.conftest import Broker

pytestmark = [pytest.mark.ui, pytest.mark.timeout(180)]

SECOND = 1000


def line(page: Page, key: str) -> Locator:
    return page.locator(f".tl-TreeItem[data-key='{key}']")


def label(page: Page, key: str) -> Locator:
    return line(page, key).locator("> .tl-TreeItem-label")


def search(page: Page, text: str) -> None:
    page.get_by_role("searchbox", name="Search the configuration").fill(text)


def show(page: Page, key: str) -> None:
    """Find a node by its key and open its form."""
    search(page, key)
    label(page, key).click()
    expect(page.locator(f".tl-Form[data-key='{key}'] form")).to_be_visible()


def field(page: Page, name: str) -> Locator:
    return page.locator(f"#tl_{name}")


def press(page: Page, name: str) -> None:
    page.get_by_role("button", name=name, exact=True).click()


def row(page: Page, name: str) -> Locator:
    return page.locator(f".tl-StreamRow[data-key='/stream/shop/orders/{name}']")


def status(page: Page, name: str) -> Locator:
    return row(page, name).locator(".tl-Status-text")


def number(page: Page, name: str, column: str) -> int:
    text = row(page, name).locator(f"[data-column='{column}']").inner_text()
    return int(text.replace(",", "").split()[0])


def connection(page: Page) -> Locator:
    return page.locator(".tl-Brokers .tl-Status-dot")


class TestTree:
    def test_all_tables_hang_below_their_namespace(self, page: Page) -> None:
        folders = page.locator(".tl-TreeItem[data-id^='/namespace/shop#'] > .tl-TreeItem-label")
        assert folders.all_inner_texts() == ["Tasks", "Groups", "Instances", "Addresses", "Variables"]

    def test_it_is_used_by_keyboard_alone(self, page: Page) -> None:
        page.locator(".tl-Tree-view").focus()
        for key in ("Home", "ArrowDown", "ArrowRight"):
            page.keyboard.press(key)
        expect(line(page, "/task/shop/orders")).to_be_visible()
        for key in ("ArrowDown", "ArrowRight"):
            page.keyboard.press(key)
        expect(line(page, "/partition/shop/orders/all")).to_be_visible()
        for key in ("ArrowDown", "Enter"):
            page.keyboard.press(key)
        expect(line(page, "/partition/shop/orders/all")).to_have_attribute("aria-selected", "true")
        expect(page.locator(".tl-Form")).to_have_attribute("data-key", "/partition/shop/orders/all")

    def test_a_search_leaves_what_matches(self, page: Page) -> None:
        search(page, "madrid")
        expect(page.locator(".tl-TreeItem[data-table='stream'] > .tl-TreeItem-label")).to_have_text(["madrid"])
        search(page, "nothing like this")
        expect(page.get_by_text('Nothing matches "nothing like this".')).to_be_visible()

    def test_a_change_made_elsewhere_appears_by_itself(self, page: Page, broker: Broker) -> None:
        expect(connection(page)).to_have_attribute("aria-label", re.compile("^Live"))
        broker.put("/variable/elsewhere/v", {"arguments": {"a": 1}})
        search(page, "elsewhere")
        expect(label(page, "/variable/elsewhere/v")).to_be_visible()
        broker.ask("DELETE", "/config", params={"key": "/variable/elsewhere/v"})
        expect(label(page, "/variable/elsewhere/v")).to_have_count(0)

    def test_the_instance_is_online(self, page: Page) -> None:
        search(page, "/instance/")
        mark = line(page, "/instance/shop/one").locator(".tl-Status-dot")
        expect(mark).to_have_attribute("aria-label", "Online")


class TestForm:
    def test_save_stores_what_was_typed_and_nothing_else(self, page: Page, broker: Broker) -> None:
        key = "/source/shop/orders/madrid/in"
        before = broker.get(key)
        show(page, key)
        expect(page.get_by_role("button", name="Save", exact=True)).to_be_disabled()
        expect(field(page, "ack_cacheSize")).to_have_attribute("placeholder", "65536")
        field(page, "client_rate").fill("25")
        press(page, "Save")
        expect(page.get_by_text("Saved.")).to_be_visible()
        assert broker.get(key) == before | {"client": before["client"] | {"rate": 25}}

    def test_refresh_applies_what_is_saved(self, page: Page) -> None:
        show(page, "/task/shop/orders")
        press(page, "Refresh")
        expect(page.get_by_text("Applied on /instance/shop/one.")).to_be_visible()

    def test_problems_stand_at_their_fields(self, page: Page, broker: Broker, allowed: list[str]) -> None:
        allowed.append("422")
        key = "/source/shop/orders/madrid/in"
        before = broker.get(key)
        show(page, key)
        field(page, "client_rate").fill("-1")
        press(page, "Save")
        group = page.locator(".form-group", has=field(page, "client_rate")).last
        expect(group.locator(".validationErrors li")).to_be_in_viewport()
        expect(page.get_by_role("alert")).to_be_in_viewport()
        shot(page, "problems")
        assert broker.get(key) == before
        page.get_by_role("button", name="Discard the changes").click()
        expect(field(page, "client_rate")).to_have_value(str(before["client"]["rate"]))

    def test_another_category_brings_its_own_fields(self, page: Page) -> None:
        show(page, "/sink/shop/orders/madrid/out")
        field(page, "category").select_option(label="file")
        expect(field(page, "client_path")).to_be_visible()
        page.get_by_role("button", name="Discard the changes").click()
        expect(field(page, "client_name")).to_have_value("orders")

    def test_a_secret_is_never_shown_and_outlives_a_save(self, page: Page, broker: Broker) -> None:
        key = "/address/shop/warehouse"
        show(page, key)
        expect(field(page, "client_password")).to_have_value("••••")
        field(page, "client_poolSize").fill("7")
        press(page, "Save")
        expect(page.get_by_text("Saved.")).to_be_visible()
        stored = broker.ask("GET", "/config", params={"key": key, "raw": "true"})["value"]
        assert stored["client"]["password"] == "${env:SHOP_PASSWORD}"
        assert stored["client"]["poolSize"] == 7

    def test_a_change_made_elsewhere_meanwhile_is_told(self, page: Page, broker: Broker) -> None:
        key = "/group/shop/workers"
        show(page, key)
        field(page, "instanceOfflineReBalanceTime").fill("2.minutes")
        broker.put(key, broker.get(key) | {"instanceOfflineReBalanceTime": "3.minutes"})
        expect(page.get_by_text("Changed elsewhere meanwhile.")).to_be_visible()
        press(page, "Take theirs")
        expect(field(page, "instanceOfflineReBalanceTime")).to_have_value("3.minutes")

    def test_a_node_is_made_and_deleted(self, page: Page, broker: Broker) -> None:
        key = "/variable/shop/made"
        page.get_by_role("button", name="New node…").click()
        page.locator(".jp-Dialog input").fill(key)
        press(page.locator(".jp-Dialog").page, "Continue")
        press(page, "Create")
        expect(page.get_by_text("Saved.")).to_be_visible()
        assert broker.get(key) == {}
        page.get_by_role("button", name="Delete this node…").click()
        press(page, "Delete")
        expect(line(page, key)).to_have_count(0)
        expect(page.get_by_text("Select a node of the configuration")).to_be_visible()


class TestStreams:
    def test_start_restart_and_stop(self, page: Page, broker: Broker) -> None:
        expect(status(page, "berlin")).to_have_text("Stopped")
        press(page, "Start berlin")
        expect(status(page, "berlin")).to_have_text("Running")
        seen = number(page, "berlin", "Read")
        page.wait_for_function(
            "before => +document.querySelector(\"[data-key='/stream/shop/orders/berlin'] [data-column='Read']\")"
            ".textContent.replace(/,/g, '') > before + 100",
            arg=seen,
        )
        expect(row(page, "berlin").locator("[data-column='Rate']")).not_to_have_text("0/s")
        press(page, "Restart berlin")
        expect(status(page, "berlin")).to_have_text("Running")
        page.get_by_role("button", name=re.compile("^Refresh berlin")).click()
        press(page, "Stop berlin")
        expect(status(page, "berlin")).to_have_text("Stopped")
        assert broker.get("/stream/shop/orders/berlin")["status"] == "STOPPED"

    def test_a_failure_tells_its_reason(self, page: Page, broker: Broker) -> None:
        press(page, "Start paris")
        expect(status(page, "paris")).to_have_text("Failed")
        expect(row(page, "paris")).to_contain_text("/no/such/file")
        broker.ask("POST", "/streams/stop", json={"key": "/stream/shop/orders/paris"})

    def test_its_name_shows_its_configuration(self, page: Page) -> None:
        row(page, "madrid").locator(".tl-StreamRow-name").click()
        expect(line(page, "/stream/shop/orders/madrid")).to_be_visible()
        expect(page.locator(".tl-Form")).to_have_attribute("data-key", "/stream/shop/orders/madrid")

    def test_the_context_menu_commands_it(self, page: Page) -> None:
        row(page, "madrid").click(button="right")
        menu = page.locator(".lm-Menu")
        expect(menu.get_by_text("Start Stream", exact=True)).to_be_visible()
        expect(menu.get_by_text("Copy Key")).to_be_visible()
        page.keyboard.press("Escape")


class TestBrokers:
    def test_another_one_is_started_chosen_and_stopped(self, page: Page) -> None:
        chooser = page.get_by_label("Broker", exact=True).locator("select")
        page.get_by_role("button", name="Start another broker…").click()
        page.locator(".jp-Dialog input").fill("second")
        press(page, "Start")
        expect(page.get_by_text("Starting second…")).to_be_visible()
        expect(page.get_by_text("No configuration yet.")).to_be_visible(timeout=60 * SECOND)
        expect(chooser).to_have_value("second")
        page.get_by_role("button", name="Stop broker second…").click()
        press(page, "Stop")
        expect(page.get_by_role("alert")).to_contain_text("stopped", timeout=60 * SECOND)
        chooser.select_option("default")
        expect(page.locator(".tl-TreeItem").first).to_be_visible()

    def test_the_browser_talks_to_jupyter_alone(self, window: Page, lab: str, instance: str, broker: Broker) -> None:
        """And never sees the broker's token."""
        asked: list[str] = []
        bodies: list[str] = []

        def hear(request: Request) -> None:
            asked.append(request.url)

        window.on("request", hear)
        window.on("websocket", lambda socket: asked.append(socket.url))
        window.on(
            "requestfinished",
            lambda request: bodies.append(request.url) if "teleporter-lab/brokers" in request.url else None,
        )
        open_panel(window, lab)
        expect(connection(window)).to_have_attribute("aria-label", re.compile("^Live"))
        hosts = {urlsplit(url).netloc for url in asked if not url.startswith(("data:", "blob:"))}
        assert hosts == {urlsplit(lab).netloc}
        assert bodies
        assert broker.token not in window.content()
        assert not [url for url in asked if broker.token in url]

    def test_nobody_looking_means_no_socket(self, window: Page, lab: str, instance: str) -> None:
        sockets: list[WebSocket] = []
        window.on("websocket", lambda socket: sockets.append(socket) if "teleporter-lab" in socket.url else None)
        open_panel(window, lab)
        expect(connection(window)).to_have_attribute("aria-label", re.compile("^Live"))
        (socket,) = sockets
        with socket.expect_event("close"):
            window.evaluate("window.jupyterapp.commands.execute('filebrowser:activate')")
        with window.expect_websocket(lambda socket: "teleporter-lab" in socket.url):
            window.evaluate("window.jupyterapp.commands.execute('teleporter-lab:open')")
        expect(connection(window)).to_have_attribute("aria-label", re.compile("^Live"))

    def test_polling_where_no_socket_can_be_had(self, window: Page, lab: str, instance: str, broker: Broker) -> None:
        def refuse(socket: WebSocketRoute) -> None:
            socket.close()

        window.route_web_socket(re.compile(".*/ws/events.*"), refuse)
        open_panel(window, lab)
        expect(connection(window)).to_have_attribute("aria-label", re.compile("^Polling"))
        broker.put("/variable/polled/v", {"arguments": {}})
        search(window, "polled")
        expect(label(window, "/variable/polled/v")).to_be_visible(timeout=20 * SECOND)
        broker.ask("DELETE", "/config", params={"key": "/variable/polled/v"})


class TestLook:
    """Pictures for a person; what a machine can tell of them is that nothing is cut off sideways."""

    @pytest.fixture(autouse=True)
    def busy(self, page: Page, broker: Broker) -> None:
        for name in ("berlin", "paris"):
            broker.ask("POST", "/streams/start", json={"key": f"/stream/shop/orders/{name}"})
        expect(status(page, "paris")).to_have_text("Failed")
        expect(row(page, "berlin").locator("[data-column='Rate']")).not_to_have_text("0/s")
        search(page, "orders")
        label(page, "/source/shop/orders/berlin/in").click()
        expect(field(page, "client_rate")).to_be_visible()

    @pytest.mark.parametrize("theme", ["Light", "Dark"])
    def test_in_both_themes(self, page: Page, theme: str) -> None:
        page.evaluate(f"window.jupyterapp.commands.execute('apputils:change-theme', {{theme: 'JupyterLab {theme}'}})")
        expect(page.locator("body")).to_have_attribute("data-jp-theme-name", f"JupyterLab {theme}")
        page.wait_for_load_state("networkidle")
        shot(page, theme.lower())
        page.mouse.move(334, 500)
        edge = page.locator("#jp-main-split-panel > .lm-SplitPanel-handle").first.bounding_box()
        assert edge is not None
        page.mouse.move(edge["x"] + 2, 500)
        page.mouse.down()
        page.mouse.move(900, 500, steps=4)
        page.mouse.up()
        expect(page.locator(".tl-StreamTable thead")).to_be_in_viewport()
        shot(page, f"{theme.lower()}-wide")
        for view in (".tl-Tree", ".tl-Form", ".tl-Streams"):
            assert page.locator(view).evaluate("node => node.scrollWidth <= node.clientWidth")
