#!/usr/bin/env python3
"""The sales team and Salesforce's administrator, at the sandbox, for trying the app out.

    sandbox.py env                  settings for usage-sync, as lines for a shell
    sandbox.py contract             closes a contract; its ids, as lines for a shell
    sandbox.py status ID STATUS     Activated, or Fulfilled: then its usage is locked
    sandbox.py show                 what Salesforce has

Reads sandbox.json, which `usage-sync sandbox --ready-file sandbox.json` writes.
"""

import json
import shlex
import sys
import time
from pathlib import Path
from urllib.request import Request, urlopen

PLACE = Path(__file__).resolve().parent / "sandbox.json"
PATIENCE = 60  # seconds, until the sandbox is there: it makes a key first


def sandbox():
    for tenths in range(PATIENCE * 10):
        if PLACE.exists():
            return json.loads(PLACE.read_text())
        if tenths == 30:
            print("waiting for sandbox.json, which `usage-sync sandbox --ready-file` writes here", file=sys.stderr)
        time.sleep(0.1)
    sys.exit("sandbox.json is not there: start `usage-sync sandbox --ready-file sandbox.json &` in this folder")


def control(method, path, record=None):
    body = json.dumps(record).encode() if record else None
    request = Request(f"{sandbox()['control_url']}/records/{path}", body, {"Content-Type": "application/json"})
    request.method = method
    with urlopen(request) as answer:
        return json.loads(answer.read() or "{}")


def export(**variables):
    for name, value in variables.items():
        print(f"export {name}={shlex.quote(value)}")


def env():
    place = sandbox()
    export(
        SALESFORCE_LOGIN_URL=place["base_url"],
        SALESFORCE_CLIENT_ID=place["client_id"],
        SALESFORCE_USERNAME=place["username"],
        SALESFORCE_PRIVATE_KEY=Path(place["private_key_file"]).read_text(),
    )


def contract():
    account = control("POST", "Account", {"Name": "Bakery"})["id"]
    new = {"AccountId": account, "Status": "Activated", "StartDate": "2026-01-01"}
    contract = control("POST", "Contract", new)["id"]
    export(CONTRACT=contract)
    for code in ["small", "gigantic"]:
        product = {"Contract__c": contract, "Name": code, "Product_Code__c": code, "Units__c": 100, "Price__c": 10}
        export(**{code.upper(): control("POST", "Contract_Product__c", product)["id"]})


def status(contract, status):
    control("PATCH", f"Contract/{contract}", {"Status": status})


def show():
    for product in control("GET", "Contract_Product__c"):
        print(f"{product['Name']}: {product['Consumed__c']} consumed, {product['Available__c']} available")
    for usage in control("GET", "Usage__c"):
        print(f"    usage record {usage['External_Id__c']}: {usage['Quantity__c']}")


COMMANDS = {"env": env, "contract": contract, "status": status, "show": show}

if __name__ == "__main__":
    name, *arguments = sys.argv[1:] or [""]
    if name not in COMMANDS or len(arguments) != COMMANDS[name].__code__.co_argcount:
        sys.exit(__doc__)
    COMMANDS[name](*arguments)
