"""What Schemathesis may let pass although one of its checks says no, each with the reason. All else fails the run."""

import copy
import itertools

import schemathesis
from schemathesis import GenerationMode
from schemathesis.core.failures import AcceptedNegativeData
from schemathesis.openapi.checks import RejectedPositiveData

# A request that keeps to the document may still be refused: for what a JSON Schema can't say, or what says more than
# a schema should. By the code of the detail, and the fields that may have it. Types, lengths, characters, unknown
# fields and unknown values are not among them.
BEYOND_SCHEMAS = {
    # What today's catalog, account and order hold.
    "PRODUCT_NOT_FOUND": {"productId"},
    "TEMPLATE_NOT_FOUND": {"templateId"},
    "NOT_A_PRICE_POINT": {"amount", "amountPerLink"},
    "NOT_A_RECIPIENT": {"email"},
    # Decimals by the product's currency, and digits by 64 bits of its minor units.
    "INVALID_AMOUNT": {"amount", "amountPerLink"},
    "TOO_LARGE": {"amount", "amountPerLink", "recipients"},
    # An amount's number of digits and its choice card's range; a time that isn't in the year to come; a clock that
    # would leave its years, or a duration that is finer or longer than it takes.
    "OUT_OF_RANGE": {"amount", "amountPerLink", "scheduledAt", "advance"},
    # The 30th of February; a name that the zone database doesn't have.
    "INVALID": {"scheduledAt", "timezone"},
    # The two hang on sendTiming.type: said in words, since a choice of two objects makes clients clumsy.
    "NOT_ALLOWED": {"scheduledAt", "timezone"},
    "REQUIRED": {"scheduledAt", "timezone"},
    # Two fields against each other, and a field against its header.
    "KEY_MISMATCH": {"idempotencyKey"},
    "AFTER_END": {"startDate"},
    "DUPLICATE_EMAIL": {"email"},
    # A pattern of all that ISO 8601 calls a duration would be unreadable, and still not say "at most 400 days".
    "NOT_A_DURATION": {"advance"},
    "NO_FIXED_LENGTH": {"advance"},
    # `format: email` takes addresses without a dot in the domain, in quotes, and with an IP address.
    "INVALID_EMAIL": {"email", "updatedEmail", "to"},
}

# RFC 6749 has its own words: not one of the app's scopes, and the client's name or secret in two places.
OF_TOKENS = {"invalid_scope", "invalid_request"}


def last_name(field: str) -> str:
    return field.rsplit(".", 1)[-1]


def is_beyond_schemas(response) -> bool:
    """Whether each thing that was wrong is one that no schema says."""
    body = response.json()
    details = body.get("details")
    if not details:
        return body.get("error") in OF_TOKENS
    return all(last_name(detail["field"]) in BEYOND_SCHEMAS.get(detail["code"], ()) for detail in details)


def has_key_header(case) -> bool:
    return any(name.lower() == "x-idempotency-key" and value for name, value in (case.headers or {}).items())


# Of the good orders, each fourth stays as chance made it.
good_orders = itertools.count()


@schemathesis.hook
def before_call(context, case, kwargs) -> None:
    """Lets most good orders get as far as the money: a key of their own, and what belongs to their `sendTiming`."""
    is_good = case.meta is not None and case.meta.generation.mode == GenerationMode.POSITIVE
    if not is_good or not isinstance(case.body, dict) or "idempotencyKey" not in case.body:
        return
    number = next(good_orders)
    if number % 4 == 0:
        return
    # Several cases may hold the same object.
    body = copy.deepcopy(case.body)
    # The document's examples all have the same few keys.
    if str(body["idempotencyKey"]).startswith("018f3f5e-") and not has_key_header(case):
        body["idempotencyKey"] = f"018f3f5e-{number}"
    timing = body.get("sendTiming")
    if isinstance(timing, dict) and timing.get("type") == "IMMEDIATE":
        timing.pop("scheduledAt", None)
        timing.pop("timezone", None)
    elif isinstance(timing, dict) and timing.get("scheduledAt") is not None:
        timing["timezone"] = timing.get("timezone") or "Asia/Tokyo"
    case.body = body


@schemathesis.hook
def filter_failure(context, failure, case, response) -> bool:
    """False lets a failure pass."""
    # Money isn't in the document: 10,000 links cost more than a sandbox ever has.
    if isinstance(failure, RejectedPositiveData) and response.status_code == 402:
        return False
    if isinstance(failure, RejectedPositiveData) and response.status_code == 400:
        return not is_beyond_schemas(response)
    # The header X-Idempotency-Key stands in for the body's field, absent or null: between the two a schema can't tell.
    if isinstance(failure, AcceptedNegativeData) and "idempotencyKey" in str(failure.message):
        body = case.body if isinstance(case.body, dict) else {}
        return not (has_key_header(case) and body.get("idempotencyKey") is None)
    return True
