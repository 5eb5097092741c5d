"""What became of an ad, in words for the people who look after it."""

from decimal import Decimal


def explain(status):
    """One sentence for the state that an ad is in; `status` may be None."""
    if status is None:
        return "Not seen by usage-sync yet."
    if status.state == status.State.REPORTED:
        return "Salesforce has it."
    if status.state == status.State.REJECTED:
        return f"Refused. {status.reason.rstrip('.')}."
    if status.reason:
        return f"On its way to Salesforce. {status.reason.rstrip('.')}."
    return "On its way to Salesforce."


def differences(ad, status):
    """Where Salesforce holds something else than the app asks for, a sentence a product."""
    wanted = {product.product: product.quantity for product in ad.products.all()}
    held = {record["line"]: record["fields"].get("Quantity__c") for record in status.records}
    return [
        f"{product}: {amount(wanted.get(product))} here, {amount(held.get(product))} in Salesforce"
        for product in sorted(wanted.keys() | held.keys())
        if wanted.get(product) != held.get(product)
    ]


def amount(quantity):
    return "none" if quantity is None else f"{Decimal(quantity).normalize():f}"
