"""An HTTP/1.1 server with the faults of a network and of a service, on raw sockets.

Settings (the start's, changed later through the control port):

  behaviour     one of the table, or a list of them: flapping, each request gets the next in turn
  accepting     false: the queue of the listener is full and nobody takes from it, so connecting hangs
  idle_ms       connections are closed after so long without a request
  honours_keys  false: a second POST with an Idempotency-Key is an effect like the first one (true)

What a behaviour does once a request came whole is said by its `kind`:

  answer          status (200), headers ([[name, value], …]), body (text) or body_bytes (so many `x`), chunked (false);
                  problem: the body is a problem of this code instead
  echo            200 with JSON: method, target and header_lines exactly as they came, trailer_lines, body_bytes, body_sha256
  in-flight       409 `command-in-flight` for the first `times` (1) requests under one Idempotency-Key, then 201
  silent          never answers
  hang-up         closes without an answer
  hang-up-midway  announces body_bytes (1000), sends half of them and closes
  reset           resets the connection (RST) instead of the answer
  reset-midway    announces body_bytes (1000), sends half of them and resets
  events          server-sent events: a comment every interval_ms (1000)
  raw             writes `text` (a character is a byte) as it is, then goes on, or closes if `close` (false)

Each may have delay_ms (0) before the answer begins, read_bytes_per_second for the request's body (a client that sends more is
slowed down), and `effect`: whether a POST has one. Without `effect` it does unless the answer is a status outside of 2xx.

What was wrong in a request is not guessed at: 400 and the end of the connection, and no line among the requests.
A client that closes its sending half counts as gone.

connections.jsonl  a line when one opens and one when it is closed, with by whom: client, upstream, idle, malformed or killed
requests.jsonl     a line for each request that came whole, before the answer
effects.jsonl      a line for each POST that had an effect, before the answer; `repeated` where the key had had its effect

The control port stands in the file `control`. It takes a line of JSON, the settings to change, and answers with a line of
JSON: how many connections are `open` and how many of them are `listening` for events, or an `error`.
"""

import asyncio
import json
import os
import resource
import socket
import struct
import time

import server
import wire

SETTINGS = server.settings()
CONNECTIONS = server.Record(SETTINGS["dir"], "connections.jsonl")
REQUESTS = server.Record(SETTINGS["dir"], "requests.jsonl")
EFFECTS = server.Record(SETTINGS["dir"], "effects.jsonl")
BACKLOG = 1024
# A listener with a backlog of 0 takes one connection; several where another one left the queue meanwhile.
FILLERS_MAX = 8
CONTROL_LINE_BYTES_MAX = 16 * 1024 * 1024
REASONS = {200: "OK", 201: "Created", 204: "No Content", 304: "Not Modified", 409: "Conflict", 503: "Service Unavailable"}
ALWAYS = {"kind", "delay_ms", "read_bytes_per_second", "effect"}
MEMBERS = {
    "answer": {"status", "headers", "body", "body_bytes", "chunked", "problem"},
    "echo": set(),
    "in-flight": {"times"},
    "silent": set(),
    "hang-up": set(),
    "hang-up-midway": {"body_bytes"},
    "reset": set(),
    "reset-midway": {"body_bytes"},
    "events": {"interval_ms"},
    "raw": {"text", "close"},
}


class Upstream:
    def __init__(self, listener):
        self.listener = listener
        self.settings = {"behaviour": {"kind": "answer"}, "accepting": True, "idle_ms": None, "honours_keys": True}
        self.open = set()
        self.listening = 0
        self.fillers = []
        self.filler_addresses = set()
        self.turns = 0
        self.in_flight = {}
        self.keys = {effect["key"] for effect in EFFECTS.before}
        numbers = {line["connection"]: line["event"] for line in CONNECTIONS.before}
        for number in [number for number, event in numbers.items() if event == "opened"]:
            CONNECTIONS.append({"connection": number, "event": "closed", "by": "killed", "at": time.time()})
        self.number = max(numbers, default=0)

    def take_connections(self):
        asyncio.get_running_loop().add_reader(self.listener, self.accept)

    def accept(self):
        try:
            sock, address = self.listener.accept()
        except OSError:
            return
        if address in self.filler_addresses:
            return sock.close()
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.number += 1
        CONNECTIONS.append({"connection": self.number, "event": "opened", "at": time.time()})
        connection = wire.Connection(self, self.number, sock)
        # Held here, because the loop alone would let its task be collected.
        self.open.add(connection)
        connection.task = asyncio.ensure_future(connection.serve())

    def closed(self, connection):
        self.open.discard(connection)
        CONNECTIONS.append({"connection": connection.number, "event": "closed", "by": connection.closed_by, "at": time.time()})

    async def change(self, settings):
        if unknown := set(settings) - set(self.settings) - {"dir", "port"}:
            raise ValueError(f"unknown settings {sorted(unknown)}, known are {sorted(self.settings)}")
        if "behaviour" in settings:
            behaviours = settings["behaviour"]
            for behaviour in behaviours if isinstance(behaviours, list) else [behaviours]:
                unknown = set(behaviour) - ALWAYS - MEMBERS[behaviour["kind"]]
                if unknown:
                    raise ValueError(f"unknown members {sorted(unknown)} of {behaviour['kind']}")
            self.turns, self.in_flight = 0, {}
        was_accepting = self.settings["accepting"]
        self.settings.update(settings)
        if was_accepting and not self.settings["accepting"]:
            await self.fill_queue()
        elif self.settings["accepting"] and not was_accepting:
            self.listener.listen(BACKLOG)
            for filler in self.fillers:
                filler.close()
            self.fillers = []
            self.take_connections()
        for connection in self.open:
            connection.set_idle_timer()

    async def fill_queue(self):
        asyncio.get_running_loop().remove_reader(self.listener)
        self.listener.listen(0)
        for _ in range(FILLERS_MAX):
            # Of a listener these two of struct tcp_info are the length of its queue and its bound.
            queue = self.listener.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 104)
            length, bound = struct.unpack_from("II", queue, 24)
            if length > bound:
                return
            filler = socket.socket()
            filler.setblocking(False)
            filler.connect_ex(self.listener.getsockname())
            self.fillers.append(filler)
            self.filler_addresses.add(filler.getsockname())
            await asyncio.sleep(0.001)
        raise ValueError("the kernel goes on taking connections")

    async def control(self, reader, writer):
        try:
            await self.change(json.loads(await reader.readline()))
            answer = {"open": len(self.open), "listening": self.listening}
        except (KeyError, TypeError, ValueError) as error:
            answer = {"error": f"{type(error).__name__}: {error}"}
        writer.write((json.dumps(answer) + "\n").encode())
        writer.close()

    def turn(self):
        behaviour = self.settings["behaviour"]
        if isinstance(behaviour, list):
            behaviour = behaviour[self.turns % len(behaviour)]
            self.turns += 1
        return behaviour

    async def respond(self, connection, request, behaviour):
        """Whether the connection goes on."""
        REQUESTS.append(
            {
                "connection": connection.number,
                "method": request.method,
                "target": request.target,
                "headers": request.headers,
                "key": request.key,
                "body_bytes": request.body_bytes,
                "body_sha256": request.digest.hexdigest(),
                "at": time.time(),
            }
        )
        kind = behaviour["kind"]
        if kind == "in-flight":
            behaviour = self.once_in_flight(request, behaviour)
        status = behaviour.get("status", 200)
        is_repeated = self.perform(connection, request, behaviour.get("effect", 200 <= status < 300))
        await connection.wait(behaviour.get("delay_ms", 0) / 1000)
        match kind:
            case "silent":
                await connection.wait(float("inf"))
            case "hang-up":
                return False
            case "reset":
                await connection.reset()
                return False
            case "hang-up-midway" | "reset-midway":
                await self.half(connection, behaviour.get("body_bytes", 1000))
                if kind == "reset-midway":
                    await connection.reset()
                return False
            case "events":
                return await self.events(connection, behaviour.get("interval_ms", 1000) / 1000)
            case "raw":
                await connection.send(behaviour["text"].encode("latin-1"))
                return not behaviour.get("close", False)
        replayed = [["Idempotent-Replayed", "true"]] if is_repeated and status < 300 else []
        if kind == "echo":
            echo = {"method": request.method, "target": request.target, "header_lines": request.lines}
            echo |= {"trailer_lines": request.trailer_lines, "body_bytes": request.body_bytes}
            echo |= {"body_sha256": request.digest.hexdigest()}
            headers = [["Content-Type", "application/json"], *replayed]
            return await self.answer(connection, request, {"body": json.dumps(echo), "headers": headers})
        return await self.answer(connection, request, behaviour | {"headers": behaviour.get("headers", []) + replayed})

    def once_in_flight(self, request, behaviour):
        before = self.in_flight.get(request.key, 0)
        self.in_flight[request.key] = before + 1
        if before < behaviour.get("times", 1):
            return behaviour | {"status": 409, "problem": "command-in-flight"}
        return behaviour | {"status": 201}

    def perform(self, connection, request, has_effect):
        """Whether the key had had its effect."""
        if request.method != "POST" or not has_effect:
            return False
        is_repeated = self.settings["honours_keys"] and request.key is not None and request.key in self.keys
        self.keys.add(request.key)
        effect = {"key": request.key, "connection": connection.number, "repeated": is_repeated, "at": time.time()}
        EFFECTS.append(effect)
        return is_repeated

    async def answer(self, connection, request, behaviour):
        status, fields = behaviour.get("status", 200), list(behaviour["headers"])
        prefix, filling = behaviour.get("body", "").encode(), behaviour.get("body_bytes", 0)
        if code := behaviour.get("problem"):
            problem = {"type": f"/problems/{code}", "title": code, "status": status, "detail": "of the tests' upstream"}
            prefix = json.dumps(problem | {"code": code, "trace_id": "0" * 31 + "1"}).encode()
            fields.append(["Content-Type", "application/problem+json"])
        is_chunked = behaviour.get("chunked", False)
        if is_chunked:
            fields.append(["Transfer-Encoding", "chunked"])
        elif status not in (204, 304):
            fields.append(["Content-Length", str(len(prefix) + filling)])
        if request.wants_close:
            fields.append(["Connection", "close"])
        lines = [f"HTTP/1.1 {status} {REASONS.get(status, 'Status')}", *(f"{name}: {value}" for name, value in fields)]
        head = ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")
        if request.method == "HEAD" or status in (204, 304):
            await connection.send(head)
            return not request.wants_close
        framed = (lambda piece: b"%x\r\n%s\r\n" % (len(piece), piece)) if is_chunked else (lambda piece: piece)
        # In one write where it is small: a client must not see a head without its body when this process is killed.
        await connection.send(head + (framed(prefix) if prefix else b""))
        while filling:
            piece = b"x" * min(filling, wire.PIECE_BYTES)
            filling -= len(piece)
            await connection.send(framed(piece))
        if is_chunked:
            await connection.send(b"0\r\n\r\n")
        return not request.wants_close

    @staticmethod
    async def half(connection, body_bytes):
        await connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % body_bytes + b"x" * (body_bytes // 2))

    async def events(self, connection, interval):
        head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nCache-Control: no-cache\r\nTransfer-Encoding: chunked\r\n\r\n"
        self.listening += 1
        try:
            await connection.send(head.encode())
            number = 0
            while True:
                number += 1
                comment = b": %d\n\n" % number
                await connection.send(b"%x\r\n%s\r\n" % (len(comment), comment))
                await connection.wait(interval)
        finally:
            self.listening -= 1


async def run():
    listener = socket.socket()
    listener.setblocking(False)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("127.0.0.1", SETTINGS["port"]))
    listener.listen(BACKLOG)
    upstream = Upstream(listener)
    upstream.take_connections()
    await upstream.change(SETTINGS)
    control = await asyncio.start_server(upstream.control, "127.0.0.1", 0, limit=CONTROL_LINE_BYTES_MAX)
    with open(os.path.join(SETTINGS["dir"], "control"), "w", encoding="ascii") as file:
        file.write(str(control.sockets[0].getsockname()[1]))
    server.ready(listener.getsockname()[1])
    await control.serve_forever()


def main():
    server.end_with_parent()
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    asyncio.run(run())


main()
