"""One question to the exchange, asked politely and again where that can help; every way it fails has a message.

Connection failures and the statuses 429 and 5xx are urllib3's ``Retry``'s; what arrives with status 200 and is still
no answer (a rate limit, a busy server, a body cut short or dripping) is asked again here. Both are bounded.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import requests
from requests.adapters import HTTPAdapter
from urllib3.exceptions import HTTPError
from urllib3.response import BaseHTTPResponse
from urllib3.util import Retry

from toolchain.data.bybit.protocol import MalformedAnswerError, Query, Row, read_page, refusal, server_time
from toolchain.errors import DataSourceError

BASE_URL = "https://api.bybit.com"
_RATE_LIMIT = 10006
_BUSY = {10000: "server time-out", 10016: "internal server error"}
_AGAIN = (429, 500, 502, 503, 504)
_LARGEST_BODY = 16 * 2**20

Answer = TypeVar("Answer")


@dataclass(frozen=True)
class Patience:
    """How often and how long the client waits. Times in seconds."""

    attempts: int = 8
    first_wait_s: float = 0.5  # doubled at every further attempt
    longest_wait_s: float = 60.0
    answer_s: float = 30.0  # for one whole answer, however slowly it drips
    requests_per_second: float = 10.0  # the exchange allows 120
    clock_tolerance_s: float = 60.0  # by which the exchange's clock may run differently from ours since the start

    def wait_s(self, attempt: int) -> float:
        """Before attempt ``attempt`` + 1."""
        return min(self.first_wait_s * 2.0**attempt, self.longest_wait_s)


class _Retry(Retry):
    """urllib3's Retry; a Retry-After header is followed up to the longest wait."""

    def get_retry_after(self, response: BaseHTTPResponse) -> float | None:
        wanted = super().get_retry_after(response)
        return None if wanted is None else min(wanted, float(self.backoff_max))


class Client:
    """Asks for pages of candles. Not for several threads."""

    def __init__(
        self,
        base_url: str = BASE_URL,
        patience: Patience | None = None,
        sleep: Callable[[float], None] = time.sleep,
        note: Callable[[str], None] = lambda _text: None,
    ) -> None:
        self._base = base_url.rstrip("/")
        self._patience = patience or Patience()
        self._sleep = sleep
        self._note = note
        self._last_request = -float("inf")
        self._offset_s: float | None = None  # the exchange's clock minus our monotonic one, at the first answer
        retry = _Retry(
            total=self._patience.attempts, status_forcelist=_AGAIN, allowed_methods={"GET"}, raise_on_status=False,
            backoff_factor=self._patience.first_wait_s, backoff_max=self._patience.longest_wait_s,
        )  # fmt: skip
        self._session = requests.Session()
        for scheme in ("http://", "https://"):
            self._session.mount(scheme, HTTPAdapter(max_retries=retry))

    def close(self) -> None:
        """Close the connections."""
        self._session.close()

    def now_ms(self) -> int:
        """The exchange's time. Raises DataSourceError."""
        return self._ask("/v5/market/time", {}, server_time)

    def page(self, query: Query, first_ms: int, last_ms: int, limit: int) -> tuple[dict[int, Row], int]:
        """The candles that start in ``[first_ms, last_ms]``, at most ``limit``, and the exchange's time.

        Raises DataSourceError.
        """
        parameters: dict[str, str | int] = {
            "category": query.category, "symbol": query.symbol, "interval": query.interval,
            "start": first_ms, "end": last_ms, "limit": limit,
        }  # fmt: skip
        return self._ask("/v5/market/kline", parameters, lambda body: (read_page(body, query), server_time(body)))

    def _ask(self, path: str, parameters: Mapping[str, str | int], read: Callable[[Any], Answer]) -> Answer:
        where = self._base + path
        problem = ""
        for attempt in range(self._patience.attempts):
            wait = self._patience.wait_s(attempt)
            try:
                body, headers = self._get(where, parameters)
                code = body.get("retCode")
                if code == 0:
                    self._check_clock(server_time(body))
                    return read(body)
                if code == _RATE_LIMIT:
                    problem, wait = "asks to wait: too many requests (10006)", _until_reset(body, headers, wait)
                    wait = min(wait, self._patience.longest_wait_s)
                elif code in _BUSY:
                    problem = f"reports: {_BUSY[code]} ({code})"
                elif isinstance(code, int):
                    raise refusal(code, str(body.get("retMsg", "")), where)
                else:
                    problem = "has no retCode"
            except MalformedAnswerError as error:
                problem = str(error)
            if attempt + 1 < self._patience.attempts:
                self._note(f"the answer {problem}; asking again in {wait:.1f} s")
                self._sleep(wait)
        raise DataSourceError(
            f"no usable answer in {self._patience.attempts} attempts; the last {problem}", where=where,
            hint="run the same command again later: what was fetched is kept",
        )  # fmt: skip

    def _get(self, where: str, parameters: Mapping[str, str | int]) -> tuple[dict[str, Any], Mapping[str, str]]:
        """The JSON object that arrives within the time for an answer, and its headers."""
        self._pace()
        limit_s = self._patience.answer_s
        deadline = time.monotonic() + limit_s
        try:
            answer = self._session.get(
                where, params=parameters, stream=True, timeout=(min(10.0, limit_s), limit_s), allow_redirects=False
            )
        except (requests.RequestException, HTTPError) as error:
            raise DataSourceError(
                f"cannot be reached: {_shortly(error)}", where=where,
                hint="check the network and --base-url; what was fetched is kept",
            ) from None  # fmt: skip
        with answer:
            try:
                content = _body(answer, max(deadline, time.monotonic() + limit_s / 2))
            except MalformedAnswerError:
                if answer.status_code == 200:
                    raise
                content = b""
            _check_status(answer, content, where)
        try:
            body = json.loads(content)
        except ValueError:
            raise MalformedAnswerError(f"is not JSON, or cut short ({len(content)} bytes)") from None
        if not isinstance(body, dict):
            raise MalformedAnswerError("is not a JSON object")
        return body, answer.headers

    def _pace(self) -> None:
        rest = self._last_request + 1 / self._patience.requests_per_second - time.monotonic()
        if rest > 0:
            self._sleep(rest)
        self._last_request = time.monotonic()

    def _check_clock(self, server_ms: int) -> None:
        """Whether a candle is closed is told by the exchange's clock alone; so one answer's must not jump."""
        offset = server_ms / 1000 - time.monotonic()
        if self._offset_s is None:
            self._offset_s = offset
        elif abs(offset - self._offset_s) > self._patience.clock_tolerance_s:
            raise MalformedAnswerError(f"has a time that jumps by {offset - self._offset_s:+.0f} s")


def _body(answer: requests.Response, deadline: float) -> bytes:
    parts, size = [], 0
    try:
        # read1 returns what is there; iter_content would wait for a whole block, however slowly it drips.
        while part := answer.raw.read1(1 << 16, decode_content=True):
            parts.append(part)
            size += len(part)
            if time.monotonic() > deadline:
                raise MalformedAnswerError(f"drips too slowly: {size} bytes so far")
            if size > _LARGEST_BODY:
                raise MalformedAnswerError(f"is longer than {_LARGEST_BODY} bytes")
    except (requests.RequestException, HTTPError, OSError) as error:
        raise MalformedAnswerError(f"breaks off: {_shortly(error)}") from None
    return b"".join(parts)


def _check_status(answer: requests.Response, content: bytes, where: str) -> None:
    """Raise DataSourceError for every status but 200, MalformedAnswerError for an empty one that may be repeated."""
    status = answer.status_code
    if status == 200:
        return
    text = content[:200].decode("utf-8", "replace").strip()
    if status == 403:
        html = "html" in answer.headers.get("Content-Type", "").lower() or text.lower().startswith(
            ("<!doctype", "<html")
        )
        raise DataSourceError(
            "access is refused (403)" + (" with a web page instead of data" if html else f": {text!r}"), where=where,
            hint="the exchange may block this country or network: use another --base-url of the exchange"
            if html else "too many requests from this address: wait 10 minutes, then run the same command again",
        )  # fmt: skip
    if status == 404:
        raise DataSourceError("no such address (404)", where=where, hint="check --base-url")
    if status in _AGAIN:
        raise DataSourceError(
            f"still answers with status {status} after all retries", where=where,
            hint="run the same command again later: what was fetched is kept",
        )  # fmt: skip
    raise DataSourceError(f"answers with status {status}: {text!r}", where=where, hint="check --base-url")


def _until_reset(body: Mapping[str, Any], headers: Mapping[str, str], otherwise: float) -> float:
    """Seconds until the exchange's limit is reset, by its own clock; ``otherwise`` where it does not say."""
    try:
        wait = (int(headers["X-Bapi-Limit-Reset-Timestamp"]) - int(body["time"])) / 1000
    except (KeyError, ValueError, TypeError):
        return otherwise
    return wait if wait > 0 else otherwise


def _shortly(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"[:200]
