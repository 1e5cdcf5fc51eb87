"""Headless Chromium, driven over the W3C WebDriver protocol with the standard library alone."""

from __future__ import annotations

import base64
import contextlib
import json
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
DRIVER = shutil.which("chromedriver")
SWITCHES = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
ELEMENT = "element-6066-11e4-a52e-4f735466cecf"


class Browser:
    """A browser with an empty profile in `profile`; close() ends it. Keeps the console's and the network's log."""

    def __init__(self, profile: Path, downloads: Path) -> None:
        assert CHROMIUM
        assert DRIVER
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self.process = subprocess.Popen(
            [DRIVER, f"--port={port}"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        self.address = f"http://127.0.0.1:{port}"
        self.path = ""
        try:
            self.wait(lambda: self.send("GET", "/status")["ready"])
            options = {
                "binary": CHROMIUM,
                "args": [*SWITCHES, f"--user-data-dir={profile}"],
                "prefs": {
                    "download.default_directory": str(downloads),
                    "download.prompt_for_download": False,
                    "profile.default_content_setting_values.automatic_downloads": 1,
                },
            }
            capabilities = {
                "browserName": "chrome",
                "goog:chromeOptions": options,
                "goog:loggingPrefs": {"browser": "ALL", "performance": "ALL"},
            }
            session = self.send("POST", "/session", {"capabilities": {"alwaysMatch": capabilities}})
        except BaseException:
            self.close()
            raise
        self.path = f"/session/{session['sessionId']}"

    def send(self, verb: str, path: str, body: Any = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.address + path, data, {"Content-Type": "application/json"}, method=verb)
        try:
            with urllib.request.urlopen(request, timeout=120) as answer:
                return json.load(answer)["value"]
        except urllib.error.HTTPError as error:
            with error:
                raise AssertionError(json.load(error)["value"]["message"]) from None

    def wait(self, ready: Any, timeout_s: float = 60) -> Any:
        """What `ready()` returns as soon as that is true; an AssertionError after `timeout_s`."""
        end = time.monotonic() + timeout_s
        while True:
            try:
                value = ready()
            except urllib.error.URLError:
                value = None
            if value:
                return value
            assert time.monotonic() < end, f"{ready} did not come true in {timeout_s} s"
            time.sleep(0.05)

    def open(self, file: Path) -> None:
        self.send("POST", f"{self.path}/url", {"url": file.resolve().as_uri()})

    def run(self, script: str, *arguments: Any) -> Any:
        """The value that `script` (the body of a function) returns in the page; a promise is waited for."""
        return self.send("POST", f"{self.path}/execute/sync", {"script": script, "args": list(arguments)})

    def until(self, condition: str) -> Any:
        return self.wait(lambda: self.run(f"return {condition}"))

    def element(self, selector: str) -> str:
        found = self.send("POST", f"{self.path}/element", {"using": "css selector", "value": selector})
        return str(found[ELEMENT])

    def click(self, selector: str) -> None:
        self.send("POST", f"{self.path}/element/{self.element(selector)}/click", {})

    def type(self, selector: str, text: str) -> None:
        self.send("POST", f"{self.path}/element/{self.element(selector)}/value", {"text": text})

    def press(self, keys: str) -> None:
        """Keys to whatever has the focus."""
        focused = self.send("GET", f"{self.path}/element/active")[ELEMENT]
        self.send("POST", f"{self.path}/element/{focused}/value", {"text": keys})

    def log(self, kind: str) -> list[dict[str, Any]]:
        """What came since the last call: `browser` (the console) or `performance` (the network's events)."""
        found: list[dict[str, Any]] = self.send("POST", f"{self.path}/se/log", {"type": kind})
        return found

    def requests(self) -> list[str]:
        """Addresses asked for since the last call."""
        events = [json.loads(entry["message"])["message"] for entry in self.log("performance")]
        return [e["params"]["request"]["url"] for e in events if e["method"] == "Network.requestWillBeSent"]

    def devtools(self, command: str, **parameters: Any) -> Any:
        return self.send("POST", f"{self.path}/goog/cdp/execute", {"cmd": command, "params": parameters})

    def resize(self, width: int, height: int, scale: float = 1, mobile: bool = False) -> None:
        metrics = {"width": width, "height": height, "deviceScaleFactor": scale, "mobile": mobile}
        self.devtools("Emulation.setDeviceMetricsOverride", **metrics)

    def prefer(self, scheme: str) -> None:
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        self.devtools("Emulation.setEmulatedMedia", features=features)

    def screenshot(self, file: Path) -> None:
        file.write_bytes(base64.b64decode(self.send("GET", f"{self.path}/screenshot")))

    def print(self, file: Path) -> None:
        # The protocol's own command gives up after 10 s, which a busy machine may need.
        file.write_bytes(base64.b64decode(self.devtools("Page.printToPDF", printBackground=True)["data"]))

    def close(self) -> None:
        if self.path:
            with contextlib.suppress(OSError, AssertionError):
                self.send("DELETE", self.path)
        self.process.terminate()
        self.process.wait(20)
