"""A payment provider by the protocol of docs/payments.md, written apart from its client.

What it does with a charge is said by its token:

  tok_ok               charged
  tok_declined         declined
  tok_timeout          never answered, never charged
  tok_slow_MS          charged at once, answered after MS milliseconds
  tok_late_MS          charged and answered after MS milliseconds
  tok_flaky[_N]        503 N times (2), then charged
  tok_busy[_N]         429 N times (1), then charged
  tok_lost[_N]         charged, and the connection is cut N times (1) instead of the answer
  tok_refundfails_N    charged; its refund is 503 N times, then done
  tok_refundlost[_N]   charged; its refund is done, and the connection is cut N times (1) instead of the answer
  tok_garbled, tok_huge, tok_wrong, tok_cut   charged, with an answer that is not JSON, too long, not of the protocol, half
  tok_forgetful[_N]    charged with every request, whatever its key, and the connection is cut N times (1): a broken provider
  tok_forbidden        403
  any other            declined

record.jsonl has a line for each charge and refund performed and each key voided; what it says survives kill -9.
requests.jsonl has a line for each request that came.
"""

import json
import re
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import server

SETTINGS = server.settings()
RECORD = server.Record(SETTINGS["dir"], "record.jsonl", durable=True)
REQUESTS = server.Record(SETTINGS["dir"], "requests.jsonl")
REFUND_PATH = re.compile(r"/charges/([^/]+)/refund")
BODY_BYTES_MAX = 64 * 1024


class Key:
    """All that happened under one idempotency key."""

    def __init__(self):
        # Requests under one key are handled one after the other.
        self.lock = threading.Lock()
        self.body = None
        self.token = None
        self.tries = {"charge": 0, "refund": 0}
        self.charge = None
        self.refund = None
        self.voided = False


class Keys:
    """Every key, rebuilt from the record after a restart."""

    def __init__(self):
        self.lock = threading.Lock()
        self.keys = {}
        for entry in RECORD.before:
            key = self.of(entry["key"])
            if entry["type"] == "charged":
                key.charge, key.token = entry["reference"], entry["token"]
            elif entry["type"] == "refunded":
                key.refund = entry["reference"]
            else:
                key.voided = True

    def of(self, name):
        with self.lock:
            return self.keys.setdefault(name, Key())


KEYS = Keys()


def switch(token):
    """`tok_flaky_3` is ("flaky", 3)."""
    match = re.fullmatch(r"tok_([a-z]+)(?:_(\d+))?", token)
    if not match:
        return ("", None)
    return (match[1], int(match[2]) if match[2] else None)


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # An answer is headers and body in two writes: without this the second waits for the client's acknowledgement.
    disable_nagle_algorithm = True

    def log_message(self, *_):
        pass

    def do_POST(self):
        length = int(self.headers.get("Content-Length", "0"))
        if length > BODY_BYTES_MAX:
            return self.answer(413, {})
        raw = self.rfile.read(length)
        name = self.headers.get("Idempotency-Key")
        REQUESTS.append({"path": self.path, "key": name, "at": time.time()})
        bearer = SETTINGS.get("bearer")
        if bearer and self.headers.get("Authorization") != f"Bearer {bearer}":
            return self.answer(401, {})
        try:
            body = json.loads(raw)
        except ValueError:
            return self.answer(400, {})
        if not name or not self.is_amount(body.get("amount")):
            return self.answer(400, {})
        refund = REFUND_PATH.fullmatch(self.path)
        if self.path == "/charges" and set(body) == {"amount", "token"}:
            return self.charge(name, body)
        if refund and refund[1] == name and set(body) <= {"amount", "charged"}:
            return self.refund(name, body)
        return self.answer(404, {})

    @staticmethod
    def is_amount(amount):
        return (
            isinstance(amount, dict)
            and set(amount) == {"amount_minor", "currency"}
            and isinstance(amount["amount_minor"], int)
            and amount["amount_minor"] > 0
        )

    def charge(self, name, body):
        what, number = switch(body["token"])
        if what == "timeout":
            return self.never()
        if what == "forbidden":
            return self.answer(403, {})
        if what == "late":
            time.sleep(number / 1000)
        key = KEYS.of(name)
        with key.lock:
            if key.body not in (None, body):
                return self.answer(422, {})
            key.body = body
            key.tries["charge"] += 1
            tries = key.tries["charge"]
            if key.voided:
                return self.answer(409, {"status": "voided"})
            if what == "flaky" and tries <= (2 if number is None else number):
                return self.answer(503, {})
            if what == "busy" and tries <= (number or 1):
                return self.answer(429, {})
            if what == "declined":
                return self.answer(402, {"status": "declined", "reason": "insufficient\r\nfunds"})
            performed = "ok slow late flaky busy lost forgetful refundfails refundlost garbled huge wrong cut".split()
            if what not in performed:
                return self.answer(402, {"status": "declined", "reason": "unknown token"})
            if key.charge is None or what == "forgetful":
                key.charge, key.token = f"pay_{name}", body["token"]
                RECORD.append({"type": "charged", "key": name, **body["amount"], "reference": key.charge, "token": key.token})
        if what == "slow":
            time.sleep(number / 1000)
        if what in ("lost", "forgetful") and tries <= (number or 1):
            return self.hang_up()
        if what == "garbled":
            return self.send(200, b"<html>welcome</html>")
        if what == "huge":
            return self.send(200, b" " * 1_000_000)
        if what == "wrong":
            return self.answer(200, {"status": "charged", "reference": ""})
        if what == "cut" and tries == 1:
            self.send(200, b'{"status":', length=100)
            return self.hang_up()
        return self.answer(201, {"status": "charged", "reference": key.charge})

    def refund(self, name, body):
        key = KEYS.of(name)
        with key.lock:
            key.tries["refund"] += 1
            tries = key.tries["refund"]
            if key.charge is None:
                if not key.voided:
                    key.voided = True
                    RECORD.append({"type": "voided", "key": name, **body["amount"], "reference": None, "token": None})
                return self.answer(200, {"status": "nothing-charged"})
            what, number = switch(key.token)
            if what == "refundfails" and tries <= number:
                return self.answer(503, {})
            if body.get("charged") not in (None, key.charge):
                return self.answer(422, {})
            if key.refund is None:
                key.refund = f"ref_{name}"
                RECORD.append({"type": "refunded", "key": name, **body["amount"], "reference": key.refund, "token": key.token})
        if what == "refundlost" and tries <= (number or 1):
            return self.hang_up()
        return self.answer(200, {"status": "refunded", "reference": key.refund})

    def answer(self, status, body):
        self.send(status, json.dumps(body).encode())

    def send(self, status, body, length=None):
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(length or len(body)))
        self.end_headers()
        self.wfile.write(body)

    def never(self):
        # Ends when the client hangs up.
        self.close_connection = True
        self.connection.recv(1)

    def hang_up(self):
        self.close_connection = True
        self.wfile.flush()
        self.connection.close()


class Server(ThreadingHTTPServer):
    request_queue_size = 128
    daemon_threads = True

    def handle_error(self, *_):
        """Clients come and go."""


def main():
    server.end_with_parent()
    provider = Server(("127.0.0.1", SETTINGS["port"]), Handler)
    if SETTINGS.get("tls"):
        context = server.certified(SETTINGS["dir"])
        # The handshake belongs to the connection's thread: a silent client must not keep the others out.
        provider.socket = context.wrap_socket(provider.socket, server_side=True, do_handshake_on_connect=False)
    server.ready(provider.server_address[1])
    provider.serve_forever()


main()
