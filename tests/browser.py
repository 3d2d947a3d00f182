"""A headless Chromium that opens a page without network and answers questions about it.

It is spoken to over two pipes (``--remote-debugging-pipe``: messages of JSON, each ended by a zero
byte), so that nothing but Chromium is needed. ``python -m tests.browser PAGE PICTURE`` takes a
picture of a page.
"""

from __future__ import annotations

import argparse
import base64
import itertools
import json
import os
import select
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

PROGRAM = "chromium"
TIMEOUT_S = 60.0
OPTIONS = (
    *("--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"),
    *("--disable-dev-shm-usage", "--disable-extensions", "--no-first-run", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update", "--mute-audio"),
    # No name can be looked up, and no address reached.
    *("--host-resolver-rules=MAP * ~NOTFOUND", "--proxy-server=127.0.0.1:9"),
    "--remote-debugging-pipe",
)


@dataclass(kw_only=True)
class Page:
    """An open page.

    Attributes
    ----------
    told
        What the console and the browser's log have said about it.
    requests
        Addresses that it has asked for, but for its own and for data inside it.
    """

    write_fd: int
    read_fd: int
    session: str = ""
    told: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)
    _numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))
    _buffer: bytes = b""
    _events: list[dict[str, Any]] = field(default_factory=list)

    # --------------------------------------------------------------------------------- messages

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        """Call a method of the browser and wait for its result."""
        number = next(self._numbers)
        message: dict[str, Any] = {"id": number, "method": method, "params": params}
        if self.session:
            message["sessionId"] = self.session
        os.write(self.write_fd, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._receive()
            if answer.get("id") == number:
                assert "error" not in answer, f"{method}: {answer['error']}"
                result: dict[str, Any] = answer["result"]
                return result

    def wait_for(self, event: str) -> None:
        """Wait for an event of the page."""
        while not any(each["method"] == event for each in self._events):
            self._receive()
        self._events.clear()

    def _receive(self) -> dict[str, Any]:
        end = time.monotonic() + TIMEOUT_S
        while b"\0" not in self._buffer:
            ready, _, _ = select.select([self.read_fd], [], [], max(0, end - time.monotonic()))
            chunk = os.read(self.read_fd, 1 << 20) if ready else b""
            if not chunk:
                raise TimeoutError("the browser gives no answer")
            self._buffer += chunk
        line, _, self._buffer = self._buffer.partition(b"\0")
        message: dict[str, Any] = json.loads(line)
        if "method" in message:
            self._note(message)
        return message

    def _note(self, message: dict[str, Any]) -> None:
        self._events.append(message)
        method, params = message["method"], message["params"]
        if method == "Log.entryAdded":
            self.told.append(f"{params['entry']['level']}: {params['entry']['text']}")
        elif method in ("Runtime.consoleAPICalled", "Runtime.exceptionThrown"):
            self.told.append(json.dumps(params))
        elif method == "Network.requestWillBeSent":
            address = params["request"]["url"]
            if not address.startswith("data:") and address != params["documentURL"]:
                self.requests.append(address)

    # ------------------------------------------------------------------------------- the page

    def open(self, path: Path, *, width: int, height: int = 900, scheme: str = "light") -> None:
        """Open a file as it looks in a window of this size."""
        self.told.clear()
        self.requests.clear()
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=False,
        )
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        self.call("Emulation.setEmulatedMedia", features=features)
        self._events.clear()
        self.call("Page.navigate", url=path.resolve().as_uri())
        self.wait_for("Page.loadEventFired")

    def ask(self, script: str) -> Any:
        """Return the value of an expression."""
        answer = self.call("Runtime.evaluate", expression=script, returnByValue=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def key(self, name: str) -> None:
        """Press a key."""
        for kind in ("keyDown", "keyUp"):
            self.call("Input.dispatchKeyEvent", type=kind, key=name, code=name)

    def picture(self, **box: float) -> bytes:
        """Return a PNG of the page, or of a box on it: x, y, width, height."""
        clip = {"clip": {**box, "scale": 1}} if box else {}
        shot = self.call("Page.captureScreenshot", captureBeyondViewport=True, **clip)
        return base64.b64decode(shot["data"])


@contextmanager
def browser() -> Iterator[Page]:
    """Start a browser that shows one page, and end it again."""
    to_browser, ours = os.pipe()
    answers, from_browser = os.pipe()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        # Chromium reads from file 3 and writes to file 4.
        shell = 'exec 3<&"$1" 4>&"$2"; shift 2; exec "$@"'
        process = subprocess.Popen(
            [
                *("/bin/bash", "-c", shell, "browser", str(to_browser), str(from_browser)),
                *(PROGRAM, *OPTIONS, f"--user-data-dir={profile}", "about:blank"),
            ],
            env={**os.environ, "TMPDIR": profile},
            pass_fds=(to_browser, from_browser),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(to_browser)
        os.close(from_browser)
        try:
            yield _attached(Page(write_fd=ours, read_fd=answers))
        finally:
            process.terminate()
            process.wait(TIMEOUT_S)
            os.close(ours)
            os.close(answers)


def _attached(page: Page) -> Page:
    target = page.call("Target.createTarget", url="about:blank")["targetId"]
    attached = page.call("Target.attachToTarget", targetId=target, flatten=True)
    page.session = attached["sessionId"]
    for domain in ("Page", "Log", "Runtime", "Network"):
        page.call(f"{domain}.enable")
    page.call(
        "Network.emulateNetworkConditions",
        offline=True,
        latency=0,
        downloadThroughput=-1,
        uploadThroughput=-1,
    )
    return page


def main() -> int:
    """Take a picture of a page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("page", type=Path)
    parser.add_argument("picture", type=Path)
    parser.add_argument("--width", type=int, default=1280)
    parser.add_argument("--height", type=int, default=0, help="of the picture; 0: all")
    parser.add_argument("--from", dest="start", default="", help="id of the part to begin with")
    parser.add_argument("--scheme", choices=("light", "dark"), default="light")
    args = parser.parse_args()
    with browser() as page:
        page.open(args.page, width=args.width, scheme=args.scheme)
        part = f"document.getElementById({json.dumps(args.start)}).getBoundingClientRect().y"
        top = page.ask(part) if args.start else 0
        rest = page.ask("document.documentElement.scrollHeight") - top
        picture = page.picture(x=0, y=top, width=args.width, height=args.height or rest)
    args.picture.write_bytes(picture)
    return 0


if __name__ == "__main__":
    sys.exit(main())
