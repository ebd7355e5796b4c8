"""A loopback exchange: answers in the real shape, and misbehaves on request."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from toolchain.data.bybit.client import Client, Patience

START_MS = 1_743_699_900_000
STEP_MS = 300_000
IMPATIENT = Patience(
    attempts=6, first_wait_s=0.001, longest_wait_s=0.02, answer_s=0.4, requests_per_second=1e6, clock_tolerance_s=5
)
#: Every way to misbehave that the client must survive.
FAULTS = (
    "429", "429 retry-after", "503", "10006", "10006 header", "10000", "10016", "truncated", "cut connection", "drip",
    "gap", "duplicate rows", "other page", "clock ahead", "clock behind", "empty", "not json", "other symbol",
)  # fmt: skip


def candle(number: int) -> list[str]:
    """Row ``number`` of the exchange's series, each different, as the exchange writes them."""
    close, opened = 80_000 + number % 977, 80_000 + (number - 1) % 977
    return [
        str(START_MS + number * STEP_MS), f"{opened}", f"{max(close, opened) + 0.5}", f"{min(close, opened) - 1}",
        f"{close}", f"{number % 31}.25", f"{number}.5",
    ]  # fmt: skip


class Exchange:
    """``candles`` closed candles and the open one. ``faults(request number)`` names what goes wrong, or nothing."""

    def __init__(self, candles: int, faults: Callable[[int], str] = lambda _number: "") -> None:
        self.candles = candles
        self.faults = faults
        self.requests = 0
        self.seen: list[dict[str, str]] = []
        self.missing: set[int] = set()
        self.unlisted = 0  # candles before the first one that the exchange has
        self.began = time.monotonic()
        exchange = self

        class Handler(BaseHTTPRequestHandler):
            """One request."""

            protocol_version = "HTTP/1.1"
            wbufsize = -1  # headers and body in one packet: no delayed acknowledgement between them

            def do_GET(self) -> None:
                exchange.answer(self)

            def log_message(self, *_: Any) -> None:
                """Says nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> Exchange:
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def client(self, patience: Patience = IMPATIENT) -> Client:
        return Client(self.url, patience)

    def now_ms(self) -> int:
        """The open candle is one minute old."""
        return START_MS + self.candles * STEP_MS + 60_000 + int((time.monotonic() - self.began) * 1000)

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        self.requests += 1
        fault = self.faults(self.requests)
        parts = urlsplit(handler.path)
        asked = {name: values[0] for name, values in parse_qs(parts.query).items()}
        self.seen.append(asked)
        if fault in _STATUS:
            status, kind, text = _STATUS[fault]
            return _send(handler, text.encode(), status, {"Content-Type": kind, **_headers(fault)})
        if fault in _CODES:
            code, message = _CODES[fault]
            extra = {"X-Bapi-Limit-Reset-Timestamp": str(self.now_ms() + 5)} if fault.endswith("header") else {}
            return self._reply(handler, code, message, {}, extra)
        if parts.path.endswith("/time"):
            return self._time(handler, fault)
        return self._page(handler, asked, fault)

    def _time(self, handler: BaseHTTPRequestHandler, fault: str) -> None:
        now = self.now_ms()
        result = {"timeSecond": str(now // 1000), "timeNano": str(now * 1_000_000)}
        self._reply(handler, 0, "OK", result, {}, fault if fault in _BROKEN else "")

    def _page(self, handler: BaseHTTPRequestHandler, asked: dict[str, str], fault: str) -> None:
        first, last, limit = (int(asked[name]) for name in ("start", "end", "limit"))
        if fault == "other page":
            first, last = first - limit * STEP_MS, last - limit * STEP_MS
        numbers = range(max(-(-(first - START_MS) // STEP_MS), self.unlisted), (last - START_MS) // STEP_MS + 1)
        rows = [candle(n) for n in numbers if n <= self.candles and n not in self.missing][::-1][:limit]
        if fault == "gap":
            rows = [row for place, row in enumerate(rows) if (place + self.requests) % 7 > 1]
        elif fault == "duplicate rows":
            rows = [row for row in rows for _ in (0, 1)]
        elif fault == "empty":
            rows = []
        symbol = "ETHUSDT" if fault == "other symbol" else asked["symbol"]
        self._reply(handler, 0, "OK", {"symbol": symbol, "category": asked["category"], "list": rows}, {}, fault)

    def _reply(
        self, handler: Any, code: int, message: str, result: Any, extra: dict[str, str], fault: str = ""
    ) -> None:
        skew = {"clock ahead": 3_600_000, "clock behind": -3_600_000}.get(fault, 0)
        document = {
            "retCode": code,
            "retMsg": message,
            "result": result,
            "retExtInfo": {},
            "time": self.now_ms() + skew,
        }
        body = json.dumps(document).encode()
        if fault == "truncated":
            body = body[: len(body) // 2]
        if fault == "not json":
            body = b"upstream says no"
        _send(handler, body, 200, {"Content-Type": "application/json", **extra}, fault)


_BROKEN = ("truncated", "cut connection", "drip", "not json")
_STATUS = {
    "429": (429, "text/plain", "slow down"),
    "429 retry-after": (429, "text/plain", "slow down"),
    "503": (503, "text/html", "<html>maintenance</html>"),
    "403 html": (403, "text/html", "<!DOCTYPE html><html><body>The request could not be satisfied</body></html>"),
    "403 json": (403, "application/json", '{"retMsg": "access too frequent"}'),
    "404": (404, "text/plain", "404 page not found"),
    "302": (302, "text/plain", ""),
}
_CODES = {
    "10006": (10006, "Too many visits!"),
    "10006 header": (10006, "Too many visits!"),
    "10000": (10000, "Server Timeout"),
    "10016": (10016, "Internal System Error"),
    "10001": (10001, "Not supported symbols"),
    "10029": (10029, "Requested symbol is invalid"),
}


def _headers(fault: str) -> dict[str, str]:
    return {"Retry-After": "86400"} if fault == "429 retry-after" else {}


def _send(handler: Any, body: bytes, status: int, headers: dict[str, str], fault: str = "") -> None:
    handler.send_response(status)
    for name, value in headers.items():
        handler.send_header(name, value)
    handler.send_header("Content-Length", str(len(body)))
    handler.end_headers()
    try:
        if fault == "drip":
            for byte in body:
                handler.wfile.write(bytes([byte]))
                handler.wfile.flush()
                time.sleep(0.02)
        elif fault == "cut connection":
            handler.wfile.write(body[: len(body) // 3])
            handler.wfile.flush()
            handler.close_connection = True
        else:
            handler.wfile.write(body)
            handler.wfile.flush()
    except OSError:
        handler.close_connection = True  # the client has gone: what it should do with a body that drips
