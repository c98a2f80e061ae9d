"""Writes the prices of AWS's price list into a file for `BEDROCK_PRICES`: `python -m bedrock_batch.costs --update`."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path

from bedrock_batch.atomic_write import atomic_write
from bedrock_batch.aws.calls.advice import advice
from bedrock_batch.aws.calls.failures import AwsError
from bedrock_batch.aws.calls.retries import RetryPolicy
from bedrock_batch.aws.clients import ClientFactory, make_session
from bedrock_batch.aws.price_list import endpoint_region, list_prices
from bedrock_batch.costs.price_update import render_update, update_prices
from bedrock_batch.environment.context import utc_now
from bedrock_batch.environment.variables.value_types import REGION
from bedrock_batch.errors import BedrockBatchError, ConfigurationError, RunError
from bedrock_batch.text import escape_controls

DEFAULT_FILE = "bedrock-prices.json"


def main(arguments: Sequence[str] | None, environ: Mapping[str, str], today: date) -> int:
    """Run the command and return the exit code: 0 written, 1 the list could not be read, 2 wrong arguments."""
    options = _parser().parse_args(arguments)
    try:
        region = _region(options.region, environ)
        text = _write(Path(options.update), region, environ, today)
        sys.stdout.write(escape_controls(text, keep="\n") + "\n")
    except (BedrockBatchError, OSError) as error:
        help_text = advice(error) if isinstance(error, AwsError) else ""
        sys.stderr.write(f"{error}. {help_text}\n" if help_text else f"{error}\n")
        return getattr(error, "exit_code", 1)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bedrock_batch.costs", description=__doc__)
    parser.add_argument(
        "--update",
        metavar="FILE",
        nargs="?",
        const=DEFAULT_FILE,
        required=True,
        help=f"read AWS's price list (pricing:GetProducts, free) and write it into FILE (default {DEFAULT_FILE})",
    )
    parser.add_argument("--region", help="the region whose prices are read (default: AWS_DEFAULT_REGION)")
    return parser


def _region(given: str | None, environ: Mapping[str, str]) -> str:
    region = given or environ.get("AWS_DEFAULT_REGION") or environ.get("AWS_REGION") or ""
    try:
        parsed = str(REGION.parse(region))
    except ValueError:
        parsed = ""
    if not parsed:
        raise ConfigurationError(f"no prices without a region, and it is {region!r}: set --region REGION")
    return parsed


def _write(path: Path, region: str, environ: Mapping[str, str], today: date) -> str:
    """Write the prices of a region into a file and return what was written and left out."""
    session = make_session(endpoint_region(region), environ.get("AWS_PROFILE"))
    endpoints = {"pricing": environ.get("AWS_ENDPOINT_URL_PRICING", "")}
    client = ClientFactory(session, region_name=endpoint_region(region), endpoint_urls=endpoints).pricing
    update = update_prices(list_prices(client, region, RetryPolicy(5)), today.isoformat())
    if not update.prices:
        raise RunError(f"the price list has no price of a model for {region}: nothing was written; check the region")
    rows = ",\n".join(f"  {json.dumps(name)}: {json.dumps(price)}" for name, price in update.prices.items())
    with atomic_write(path) as file:
        file.write(f"{{\n{rows}\n}}\n".encode())
    return render_update(update, region, str(path))


if __name__ == "__main__":
    raise SystemExit(main(None, os.environ, utc_now().date()))
