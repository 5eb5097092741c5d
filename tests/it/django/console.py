"""A console of the service app, for a test instead of a person.

Each line of the input is a JSON string with Python code. It is run, and the
value of its last expression is the answer: a line {"value": ...}, or
{"error": "..."} with the traceback.
"""

import ast
import html
import json
import re
import sys
import traceback

import django

django.setup()

from django.contrib.auth.models import User  # noqa: E402
from django.db import connection, transaction  # noqa: E402
from django.db.models import F  # noqa: E402
from django.test import Client  # noqa: E402
from django.test.utils import setup_test_environment  # noqa: E402

from ads.models import Ad, AdProduct, AdStatus  # noqa: E402

setup_test_environment()


def admin():
    """A browser in which a person of the service team is logged in to the admin."""
    person, _ = User.objects.get_or_create(username="person", is_staff=True, is_superuser=True)
    browser = Client()
    browser.force_login(person)
    return browser


def words(answer):
    """What a person reads on the page."""
    assert answer.status_code == 200, answer.status_code
    text = re.sub(r"(?s)<(script|style).*?</\1>|<[^>]*>", " ", answer.content.decode())
    return " ".join(html.unescape(text).split())


def form(title, contract, *products):
    """The admin's form of an ad, filled in; a product is (code, its id, quantity, its row)."""
    fields = {"title": title, "contract": contract}
    fields["products-TOTAL_FORMS"] = len(products)
    fields["products-INITIAL_FORMS"] = sum(row is not None for *_, row in products)
    for n, (product, contract_product, quantity, row) in enumerate(products):
        fields[f"products-{n}-product"] = product
        fields[f"products-{n}-contract_product"] = contract_product
        fields[f"products-{n}-quantity"] = quantity
        if row is not None:
            fields[f"products-{n}-id"] = row.pk
            fields[f"products-{n}-ad"] = row.ad_id
    return fields


def run(code):
    tree = ast.parse(code)
    last = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
    exec(compile(tree, "<test>", "exec"), globals())
    return eval(compile(ast.Expression(last.value), "<test>", "eval"), globals()) if last else None


for line in sys.stdin:
    try:
        answer = {"value": run(json.loads(line))}
    except Exception:
        answer = {"error": traceback.format_exc()}
    print(json.dumps(answer, default=str), flush=True)
