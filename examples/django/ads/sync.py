"""What became of an ad, in words for the people who look after it."""

from decimal import Decimal

# Salesforce's codes that say little to somebody who does not administer it;
# its own words follow. Source: "Core Data Types Used in API Calls" in the SOAP
# API Developer Guide, StatusCode.
CAUSES = {
    "CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY": "an automation in Salesforce stopped it",
    "ENTITY_IS_DELETED": "the product of the contract was deleted in Salesforce",
    "ENTITY_IS_LOCKED": "the record is locked in Salesforce",
    "INSUFFICIENT_ACCESS_ON_CROSS_REFERENCE_ENTITY": "usage-sync may not book on this contract",
    "INVALID_CROSS_REFERENCE_KEY": "there is no such product of a contract in Salesforce",
    "MALFORMED_ID": "the id of the contract's product is not one of Salesforce",
    "REQUIRED_FIELD_MISSING": "something that Salesforce insists on is missing",
}


def explain(status):
    """One sentence for the state that an ad is in; `status` may be None."""
    if status is None:
        return "Not seen by usage-sync yet."
    if status.state == status.State.REPORTED:
        return "Salesforce has it."
    if status.state == status.State.REJECTED:
        return f"Salesforce refused it: {cause(status)}"
    if status.error_code:
        return f"On its way to Salesforce; the last try failed: {cause(status)}"
    return "On its way to Salesforce."


def cause(status):
    """Why it was refused: in our words where we have some, else in Salesforce's."""
    if status.error_code.startswith("VIEW_"):
        return f"the ad's own data cannot be reported: {status.error_message}"
    words = CAUSES.get(status.error_code)
    return f"{words} ({status.error_message})" if words else status.error_message


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
