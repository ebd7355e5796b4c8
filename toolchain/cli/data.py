"""``toolchain data``: data from elsewhere."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from toolchain.cli.application import AsJson, app, print_json
from toolchain.cli.display import Display

data = typer.Typer(help="Data from elsewhere.", no_args_is_help=True)
fetch = typer.Typer(help="Download data into a file.", no_args_is_help=True)
data.add_typer(fetch, name="fetch")
app.add_typer(data, name="data")


@fetch.command()
def bybit(
    symbol: Annotated[str, typer.Option(help="such as BTCUSDT")],
    start: Annotated[str, typer.Option(help="first candle: a date or time of ISO 8601, UTC where it names no zone")],
    out: Annotated[Path, typer.Option(help="the file to write: .parquet, .csv or .csv.gz")],
    end: Annotated[str, typer.Option(help="candles that start before this time; default: the newest closed one")] = "",
    category: Annotated[str, typer.Option(help="spot, linear, inverse")] = "linear",
    interval: Annotated[str, typer.Option(help="minutes 1 3 5 15 30 60 120 240 360 720, or D W M")] = "5",
    allow_gaps: Annotated[bool, typer.Option(help="write the file although the exchange lacks candles")] = False,
    base_url: Annotated[str, typer.Option(envvar="TOOLCHAIN_BYBIT_URL", help="another address of the exchange")] = "",
    as_json: AsJson = False,
) -> None:
    """Candles of the exchange Bybit. Interrupted, the same command goes on where it was."""
    from dataclasses import asdict

    from toolchain.data.bybit.client import BASE_URL, Client
    from toolchain.data.bybit.download import Download, download
    from toolchain.data.bybit.protocol import Query, parse_time, show_time

    until = parse_time(end, "--end") if end else None
    query = Query(category, symbol, interval, parse_time(start, "--start"), until)
    display = Display(sys.stderr.isatty())
    client = Client(base_url or BASE_URL, note=display.note)
    try:
        done = download(Download(query, out, allow_gaps), client, display.progress)
    finally:
        client.close()
        display.close()
    for note in done.notes:
        display.note(note)
    earlier = f", {done.resumed} of them from an earlier run" if done.resumed else ""
    sys.stderr.write(
        f"{done.candles} candles from {show_time(done.first_ms)} to {show_time(done.last_ms)}{earlier}: {done.out}\n"
    )
    if as_json:
        print_json(asdict(done))
