"""The app's own tests: in a database that has the schema usage_sync, without a daemon."""

import json
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from unittest import mock

from django.contrib import admin
from django.db import connection
from django.test import SimpleTestCase, TestCase, override_settings

from . import contracts, sync
from .models import Ad, AdProduct, AdStatus

CONTRACT, PRODUCT = "800000000000001AAA", "a00000000000001AAA"


def captured():
    """The ads that usage-sync would be told of if this transaction were committed."""
    with connection.cursor() as cursor:
        cursor.execute("select distinct ad_id from usage_sync.change")
        return {ad for (ad,) in cursor.fetchall()}


class CaptureTest(TestCase):
    def test_an_ad_is_captured_with_its_transaction(self):
        ad = Ad.objects.create(title="sale", contract=CONTRACT)
        AdProduct.objects.bulk_create([AdProduct(ad=ad, product="small", contract_product=PRODUCT, quantity=3)])

        self.assertEqual(captured(), {str(ad.pk)})

    def test_the_view_says_what_is_reported(self):
        ad = Ad.objects.create(title="sale", contract=CONTRACT)
        ad.products.create(product="small", contract_product=PRODUCT, quantity="2.5")

        with connection.cursor() as cursor:
            cursor.execute("select ad_id, line, contract, fields->>'Quantity__c' from usage_sync.usage")
            self.assertEqual(cursor.fetchall(), [(ad.pk, "small", CONTRACT, "2.5000")])

    def test_an_ad_that_nobody_has_seen_has_no_state(self):
        ad = Ad.objects.create(title="sale", contract=CONTRACT)

        self.assertIsNone(ad.status)
        self.assertIsNone(Ad.objects.with_sync_state().get().sync_state)
        self.assertEqual(sync.explain(ad.status), "Not seen by usage-sync yet.")


class WordsTest(SimpleTestCase):
    def test_each_state_is_a_sentence(self):
        for state, reason, words in [
            ("reported", None, "Salesforce has it."),
            ("pending", None, "On its way to Salesforce."),
            ("pending", "Busy. It is tried again by itself", "On its way to Salesforce. Busy. It is tried again by itself."),
            ("rejected", "Contract 1 is fulfilled", "Refused. Contract 1 is fulfilled."),
            ("rejected", "Salesforce refuses this: no.", "Refused. Salesforce refuses this: no."),
        ]:
            status = AdStatus(ad_id="1", state=state, reason=reason)
            self.assertEqual(sync.explain(status), words)


class Gateway(BaseHTTPRequestHandler):
    """Answers as the gateway does, or not at all."""

    seen = []
    go_on = threading.Event()

    def do_GET(self):
        self.seen.append((self.path, self.headers["Authorization"]))
        if "slow" in self.path:
            self.go_on.wait()
            return
        if "away" in self.path:
            self.send_response(302)
            self.send_header("Location", "/contracts/elsewhere")
            self.end_headers()
            return
        self.send_response(503 if "down" in self.path else 200)
        self.end_headers()
        product = {"name": "Small", "units": 10, "available": 7, "pending": 2}
        answer = {"number": "00000101", "status": "Activated", "locked": False, "products": [product]}
        self.wfile.write(json.dumps(answer).encode())

    def log_message(self, *_):
        pass


class ContractTest(SimpleTestCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.server = HTTPServer(("127.0.0.1", 0), Gateway)
        threading.Thread(target=cls.server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{cls.server.server_port}"
        gateway = override_settings(USAGE_SYNC_GATEWAY_URL=url, USAGE_SYNC_GATEWAY_TOKEN="token")
        gateway.enable()
        cls.addClassCleanup(gateway.disable)
        # A loaded machine may take longer to answer than a person is to wait.
        patience = mock.patch.object(contracts, "TIMEOUT", 60)
        patience.start()
        cls.addClassCleanup(patience.stop)
        cls.addClassCleanup(cls.server.server_close)
        cls.addClassCleanup(cls.server.shutdown)

    def setUp(self):
        Gateway.seen.clear()

    def test_a_contract_is_read_with_the_token(self):
        self.assertEqual(contracts.contract("800/1")["products"][0]["available"], 7)
        self.assertEqual(Gateway.seen, [("/contracts/800%2F1", "Bearer token")])

    def test_the_page_has_what_is_available(self):
        page = admin.site.get_model_admin(Ad).live_contract(Ad(title="sale", contract=CONTRACT))

        product = "<li>Small: 7 of 10 available, 2 of them on the way to Salesforce</li>"
        self.assertEqual(page, f"00000101 (Activated)<ul>{product}</ul>")

    def test_a_contract_that_cannot_be_had_is_none(self):
        for contract in ["down", "away"]:
            with self.assertLogs("ads.contracts"):
                self.assertIsNone(contracts.contract(contract))
        self.assertNotIn("/contracts/elsewhere", [path for path, _ in Gateway.seen])

    def test_a_slow_gateway_is_not_waited_for(self):
        with mock.patch.object(contracts, "TIMEOUT", 0.1), self.assertLogs("ads.contracts"):
            self.assertIsNone(contracts.contract("slow"))
        Gateway.go_on.set()

    def test_without_a_gateway_nobody_is_asked(self):
        with override_settings(USAGE_SYNC_GATEWAY_URL=""):
            self.assertIsNone(contracts.contract(CONTRACT))
        self.assertEqual(Gateway.seen, [])
