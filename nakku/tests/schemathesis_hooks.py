"""What schemathesis is told beyond the OpenAPI document."""

import json

import schemathesis
from schemathesis.core.failures import AcceptedNegativeData

MIN_POSITION = "Nakku-Min-Position"
PREFER = "Prefer"
IMPORT = "/api/v1/products/import"


@schemathesis.hook
def before_call(context, case, kwargs):
    """What is waited for is not waited for long, and a position that the log has not come to would be answered by 503.

    Nobody appends so much here."""
    wanted = (case.headers or {}).get(MIN_POSITION)
    if isinstance(wanted, str) and wanted.strip().isdecimal():
        case.headers[MIN_POSITION] = "1"
    if (case.headers or {}).get(PREFER):
        case.headers[PREFER] = "wait=1"


@schemathesis.serializer("application/x-ndjson")
def ndjson(context, value):
    """A line for each item; anything else as it is."""
    if isinstance(value, bytes):
        return value
    if isinstance(value, str):
        return value.encode("utf-8", "surrogatepass")
    lines = value if isinstance(value, list) else [value]
    return "".join(json.dumps(line) + "\n" for line in lines).encode()


@schemathesis.hook
def filter_failure(context, failure, case, response):
    """Any text is a catalogue: what is no product is a rejected line of the answer, not a refused request."""
    return not (case.operation.path == IMPORT and isinstance(failure, AcceptedNegativeData))
