"""A real JupyterLab, a real broker with something in it, and a real browser before both.

Everything lives below one temporary folder. A test fails on any error in the browser's console.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import httpx
import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, sync_playwright

from tests.ui.seed import SEED

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
BUNDLE = ROOT / "teleporter_lab" / "labextension"
SHOTS = ROOT / "build" / "ui"
"""Where the pictures go; git ignores it."""

CHROMIUM = (
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-quic",
)

LAB = (
    "--allow-root",
    "--no-browser",
    "--ServerApp.port=0",
    "--ServerApp.open_browser=False",
    "--ServerApp.jpserver_extensions=teleporter_lab=True",
    "--IdentityProvider.token=ui",
    "--LabApp.extension_manager=readonly",
    "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate",
    "--LabApp.expose_app_in_browser=True",
)

OVERRIDES: dict[str, Any] = {"@jupyterlab/apputils-extension:notification": {"fetchNews": "false"}}

TELEPORTER = (sys.executable, "-m", "teleporter_lab")


@dataclass(frozen=True)
class Broker:
    """The running broker, asked directly."""

    url: str
    token: str

    def ask(self, method: str, path: str, **more: Any) -> Any:
        headers = {"Authorization": f"Bearer {self.token}"}
        response = httpx.request(method, self.url + path, headers=headers, timeout=30, **more)
        assert response.is_success, response.text
        return response.json() if response.content else None

    def put(self, key: str, value: dict[str, Any]) -> None:
        self.ask("POST", "/config", json={"key": key, "value": value})

    def get(self, key: str) -> dict[str, Any]:
        return self.ask("GET", "/config", params={"key": key})["value"]


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("ui")


@pytest.fixture(scope="session")
def environment(home: Path) -> dict[str, str]:
    """What every process of a test is given: one folder for everything, free ports for brokers."""
    settings = home / "config" / "labconfig"
    settings.mkdir(parents=True)
    (settings / "default_setting_overrides.json").write_text(json.dumps(OVERRIDES))
    labextensions = home / "labextensions"
    labextensions.mkdir()
    (labextensions / "teleporter-lab").symlink_to(BUNDLE)
    return os.environ | {
        "TELEPORTER_HOME": str(home / "teleporter"),
        "TELEPORTER_BROKER_PORT": "0",
        "TELEPORTER_BROKER_RPC_PORT": "0",
        "JUPYTER_CONFIG_DIR": str(home / "config"),
        "JUPYTER_DATA_DIR": str(home / "data"),
        "JUPYTER_RUNTIME_DIR": str(home / "runtime"),
        "JUPYTERLAB_WORKSPACES_DIR": str(home / "workspaces"),
        "JUPYTERLAB_SETTINGS_DIR": str(home / "settings"),
        "JUPYTER_PREFER_ENV_PATH": "0",
        "HOME": str(home),
        "PYTHONPATH": str(ROOT),
        "PYTHONWARNINGS": "default",
    }


@pytest.fixture(scope="session")
def broker(environment: dict[str, str]) -> Iterator[Broker]:
    """The broker `default`, with the nodes of `seed.py`."""
    subprocess.run([*TELEPORTER, "broker", "start", "--json"], env=environment, check=True, capture_output=True)
    try:
        file = json.loads((Path(environment["TELEPORTER_HOME"]) / "runtime" / "broker-default.json").read_text())
        broker = Broker(file["url"], file["token"])
        for key, value in SEED.items():
            broker.put(key, value)
        yield broker
    finally:
        subprocess.run([*TELEPORTER, "broker", "stop"], env=environment, check=False, capture_output=True)


@pytest.fixture(scope="session")
def instance(environment: dict[str, str], broker: Broker) -> Iterator[str]:
    """The key of a running instance, which has the streams of the seed."""
    key = "/instance/shop/one"
    verbs = (*TELEPORTER, "instance")
    subprocess.run([*verbs, "start", "--key", key, "--json"], env=environment, check=True, capture_output=True)
    try:
        broker.ask("GET", "/config/notify", params={"key": "/group/shop/workers"})
        yield key
    finally:
        subprocess.run([*verbs, "stop", "--key", key], env=environment, check=False, capture_output=True)


@pytest.fixture(scope="session")
def lab(home: Path, environment: dict[str, str]) -> Iterator[str]:
    """The address of a JupyterLab that has the extension, with its token."""
    if not (BUNDLE / "package.json").is_file():
        missing("The panel is not built: run `npm ci && npm run build:prod` in labextension/.")
    log = (home / "lab.log").open("w")
    command = [sys.executable, "-m", "jupyterlab", *LAB, f"--LabApp.extra_labextensions_path={home / 'labextensions'}"]
    process = subprocess.Popen(command, env=environment, cwd=home, stdout=log, stderr=subprocess.STDOUT)
    try:
        yield _address(home, process)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(30)
        log.close()


def _address(home: Path, process: subprocess.Popen[bytes]) -> str:
    """As soon as the server answers; its own file tells the port."""
    for _ in range(600):
        if process.poll() is not None:
            break
        for file in (home / "runtime").glob("jpserver-*.json"):
            url = json.loads(file.read_text())["url"]
            return f"{url}lab?token=ui"
        time.sleep(0.05)
    return pytest.fail(f"JupyterLab did not start:\n{(home / 'lab.log').read_text()[-3000:]}")


def missing(reason: str) -> NoReturn:
    """Skips the test on a machine that lacks something; fails where nothing may be lacking, as in CI."""
    if os.environ.get("TELEPORTER_REQUIRE_SERVICES"):
        pytest.fail(reason)
    pytest.skip(reason)


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    program = shutil.which("chromium") or shutil.which("chromium-browser")
    if program is None:
        missing("Chromium is not installed (Debian: apt-get install chromium).")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=list(CHROMIUM))
        yield browser
        browser.close()


@pytest.fixture
def allowed() -> list[str]:
    """Parts of console errors that a test means to provoke, such as `422`, which Chromium writes for an answer."""
    return []


@pytest.fixture
def window(browser: Browser, allowed: list[str]) -> Iterator[Page]:
    """A fresh browser window. Fails on errors that its pages wrote or threw."""
    context = browser.new_context(viewport={"width": 1440, "height": 900})
    page = context.new_page()
    page.set_default_timeout(20_000)
    errors: list[str] = []

    def hear(message: ConsoleMessage) -> None:
        if message.type == "error" and not any(part in message.text for part in allowed):
            errors.append(f"{message.text} ({message.location.get('url', '')})")

    page.on("console", hear)
    page.on("pageerror", lambda error: errors.append(str(error)))
    yield page
    context.close()
    assert errors == []


@pytest.fixture
def page(window: Page, lab: str, instance: str) -> Page:
    """JupyterLab with the panel open and the tree drawn."""
    open_panel(window, lab)
    return window


def open_panel(page: Page, lab: str) -> None:
    page.goto(f"{lab}&reset")
    page.wait_for_function("window.jupyterapp")
    page.evaluate("window.jupyterapp.restored")
    page.evaluate("window.jupyterapp.commands.execute('teleporter-lab:open')")
    page.wait_for_selector(".tl-Panel .tl-TreeItem")


def shot(page: Page, name: str) -> None:
    """A picture of the whole window, to be looked at."""
    SHOTS.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=SHOTS / f"{name}.png")
