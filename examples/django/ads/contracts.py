"""Contracts, read live from Salesforce through usage-sync's gateway.

Nothing is kept: an old number of available units is worse than none. Whatever
goes wrong, the answer is None within seconds and the page says "not available".
"""

import json
import logging
from decimal import Decimal
from http.client import HTTPException
from urllib.parse import quote
from urllib.request import HTTPRedirectHandler, Request, build_opener

from django.conf import settings

# For the connection and for each read: a person waits for the page.
TIMEOUT = 2
LARGEST = 1_000_000

log = logging.getLogger(__name__)


class NoRedirects(HTTPRedirectHandler):
    """The token goes to the gateway and nowhere else."""

    def redirect_request(self, *_):
        return None


def contract(contract_id):
    """The contract with its products, or None."""
    if not settings.USAGE_SYNC_GATEWAY_URL:
        return None
    url = f"{settings.USAGE_SYNC_GATEWAY_URL.rstrip('/')}/contracts/{quote(contract_id, safe='')}"
    request = Request(url, headers={"Authorization": f"Bearer {settings.USAGE_SYNC_GATEWAY_TOKEN}"})
    try:
        with build_opener(NoRedirects).open(request, timeout=TIMEOUT) as answer:
            return json.loads(answer.read(LARGEST), parse_float=Decimal)
    # No connection, no time, another status than 200, or no JSON.
    except (OSError, HTTPException, ValueError) as error:
        log.warning("contract not available: %s", error)
        return None
