"""A headless Chromium, driven over the WebDriver protocol (W3C), which is plain JSON over HTTP."""

from __future__ import annotations

import base64
import io
import json
import shutil
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import imageio.v3 as imageio
import numpy as np

DRIVER = shutil.which("chromedriver")
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
MISSING = "needs chromium and chromedriver (Debian: apt-get install chromium chromium-driver)"

SOFTWARE_GL = ("--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader")
NO_GL = ("--disable-gpu", "--disable-3d-apis")


class Browser:
    """One window of a browser.

    Args:
        port: of the driver.
        flags: of the browser.
    """

    def __init__(self, port: int, flags: tuple[str, ...]) -> None:
        self.driver = f"http://127.0.0.1:{port}"
        options = {"binary": CHROMIUM, "args": ["--headless=new", "--no-sandbox", "--hide-scrollbars", *flags]}
        capabilities = {
            "browserName": "chrome",
            "goog:chromeOptions": options,
            "goog:loggingPrefs": {"browser": "ALL"},
            "timeouts": {"script": 120_000, "pageLoad": 120_000},
        }
        begun = self._call("POST", "/session", {"capabilities": {"alwaysMatch": capabilities}})
        self.session = f"/session/{begun['sessionId']}"

    def show(self, address: str, width: int = 360, height: int = 600, dark: bool = False) -> None:
        """Open a page in a window of this size."""
        self.command(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False
        )
        features = [
            {"name": "prefers-color-scheme", "value": "dark" if dark else "light"},
            {"name": "prefers-reduced-motion", "value": "reduce"},
        ]
        self.command("Emulation.setEmulatedMedia", features=features)
        self.messages()
        self._call("POST", f"{self.session}/url", {"url": address})

    def run(self, script: str) -> Any:
        """The value that a script returns."""
        return self._call("POST", f"{self.session}/execute/sync", {"script": script, "args": []})

    def wait_for(self, script: str, seconds: float = 600) -> None:
        """Wait until a script returns something true. Raises TimeoutError if it does not in time.

        Software draws the page here: on a machine that has much else to do, its scripts wait minutes for their turn.
        """
        end = time.monotonic() + seconds
        while not self.run(f"return {script}"):
            if time.monotonic() > end:
                raise TimeoutError(f"{script} is not true after {seconds} s; the browser says: {self.messages()}")
            time.sleep(0.05)

    def press(self, selector: str, key: str) -> None:
        """Press a key on an element, as a user does."""
        self.run(f"document.querySelector({json.dumps(selector)}).focus()")
        keys = [{"type": kind, "key": key} for kind in ("keyDown", "keyUp")]
        for event in keys:
            self.command("Input.dispatchKeyEvent", **event)

    def picture(self, selector: str) -> np.ndarray:
        """What is drawn where an element is: (height, width, 3) in [0, 255]."""
        self.run("return new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
        element = self._call("POST", f"{self.session}/element", {"using": "css selector", "value": selector})
        png = self._call("GET", f"{self.session}/element/{next(iter(element.values()))}/screenshot")
        return imageio.imread(io.BytesIO(base64.b64decode(png)), extension=".png")[..., :3].astype(int)

    def messages(self) -> list[str]:
        """Warnings and errors of the console since the last call."""
        log = self._call("POST", f"{self.session}/se/log", {"type": "browser"})
        return [entry["message"] for entry in log if entry["level"] in ("WARNING", "SEVERE")]

    def command(self, name: str, **parameters: Any) -> Any:
        """A command of the Chrome DevTools protocol."""
        return self._call("POST", f"{self.session}/goog/cdp/execute", {"cmd": name, "params": parameters})

    def close(self) -> None:
        """End the browser."""
        self._call("DELETE", self.session)

    def _call(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.driver + path, data, {"Content-Type": "application/json"}, method=method)
        try:
            with urllib.request.urlopen(request, timeout=120) as response:
                return json.load(response)["value"]
        except urllib.error.HTTPError as error:
            raise RuntimeError(json.load(error)["value"]["message"]) from None


@contextmanager
def browser(*flags: str) -> Iterator[Browser]:
    """A browser that ends with the block."""
    assert DRIVER is not None, MISSING
    driver = subprocess.Popen([DRIVER, "--port=0"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    window = None
    try:
        assert driver.stdout is not None
        started = next(line for line in driver.stdout if "started successfully on port" in line)
        window = Browser(int(started.rstrip(".\n").rsplit(" ", 1)[1]), flags)
        yield window
    finally:
        if window is not None:
            window.close()
        driver.terminate()
        driver.wait()
