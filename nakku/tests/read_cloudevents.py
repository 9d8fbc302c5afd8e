"""Reads Kafka as a service of somebody else would: records from kcat, parsed by the CloudEvents SDK.

    kcat -C … -J | python read_cloudevents.py

Standard input holds kcat's JSON envelopes, one a line. Fails on the first record that is no CloudEvent of nakku's; prints
one JSON object: `records`, `positions` (the highest), and how many events there are of each type at each version.
"""

import json
import sys
import uuid
from datetime import timedelta

from cloudevents.core.bindings.kafka import KafkaMessage, from_binary
from cloudevents.core.formats.json import JSONFormat
from cloudevents.v1.kafka import KafkaMessage as KafkaMessageV1
from cloudevents.v1.kafka import from_binary as from_binary_v1

# The SDK draws an id and takes the time where they are missing.
HEADERS = {"ce_specversion", "ce_id", "ce_source", "ce_type", "ce_subject", "ce_time", "content-type"}
# Beside the attributes that CloudEvents itself knows.
EXTENSIONS = {"log", "position", "sequence", "streamtype", "eventversion", "epoch"}
OPTIONAL_EXTENSIONS = {"correlationid", "causationid", "userid"}
# What the SDK makes of a record's key.
KEY = "partitionkey"


def check(condition, what):
    if not condition:
        raise ValueError(what)


def attributes_are_complete(event, headers):
    extensions = set(event.get_attributes()) - {
        "id", "source", "specversion", "type", "time", "subject", "datacontenttype", KEY,
    }
    check(event.get_specversion() == "1.0", "specversion is not 1.0")
    uuid.UUID(event.get_id())
    check(event.get_datacontenttype() == "application/json", "the data is not said to be JSON")
    check(event.get_time().utcoffset() == timedelta(0), "the time is not UTC")
    check(EXTENSIONS <= extensions, f"missing: {EXTENSIONS - extensions}")
    check(extensions <= EXTENSIONS | OPTIONAL_EXTENSIONS, f"unknown: {extensions - EXTENSIONS - OPTIONAL_EXTENSIONS}")
    check(event.get_extension("log") == "main", "another log")
    for number in ("position", "sequence", "epoch"):
        check(int(event.get_extension(number)) >= 1, f"{number} is not from 1 on")
    others = {name for name in headers if not name.startswith("ce_")}
    check(others <= {"content-type", "traceparent"}, f"unknown headers: {others}")


def names_agree(event):
    stream_type, stream = event.get_extension("streamtype"), event.get_subject()
    check(event.get_source() == f"/nakku/{stream_type}", "source and stream type differ")
    check(event.get_extension(KEY) == f"{stream_type}-{stream}", "the key is not the stream's")
    data = event.get_data()
    check(isinstance(data, dict), "the data is no JSON object")
    check(data.get("type") == event.get_type(), "data and attributes name different types")


def parse(envelope):
    names, values = envelope["headers"][::2], envelope["headers"][1::2]
    check(len(set(names)) == len(names), "a header is there twice")
    headers = {name: value.encode() for name, value in zip(names, values)}
    check(HEADERS <= set(headers), f"missing: {HEADERS - set(headers)}")
    key, value = envelope["key"].encode(), envelope["payload"].encode()
    event = from_binary(KafkaMessage(headers=headers, key=key, value=value), JSONFormat())
    attributes_are_complete(event, headers)
    names_agree(event)
    # The SDK's first generation, which most services still have.
    older = from_binary_v1(KafkaMessageV1(headers=headers, key=key, value=value))
    check((older["id"], older["type"], older.data) == (event.get_id(), event.get_type(), event.get_data()),
          "the two generations of the SDK disagree")
    return event


def main():
    positions, types = [], {}
    for line in sys.stdin:
        envelope = json.loads(line)
        try:
            event = parse(envelope)
        except Exception as error:
            place = "/".join(str(envelope.get(member)) for member in ("topic", "partition", "offset"))
            sys.exit(f"{place}: {type(error).__name__}: {error}")
        positions.append(int(event.get_extension("position")))
        name = f'{event.get_type()} {event.get_extension("eventversion")}'
        types[name] = types.get(name, 0) + 1
    check(len(set(positions)) == len(positions), "a position is there twice")
    print(json.dumps({"records": len(positions), "positions": max(positions, default=0), "types": types}))


if __name__ == "__main__":
    main()
