"""HTTP/1.1 of a server on a raw socket: a strict reader of requests, which keeps what came as it came.

What is wrong is not guessed at: it is answered with 400 and the end of the connection. A client that closes its sending half
counts as gone.
"""

import asyncio
import fcntl
import hashlib
import re
import socket
import struct
import termios

PIECE_BYTES = 64 * 1024
HEAD_BYTES_MAX = 1024 * 1024


class Malformed(Exception):
    """What came is not a request."""


class Gone(Exception):
    """The client closed."""


class Request:
    """A request's head, strictly read, and what its body was."""

    def __init__(self, head):
        text = head.decode("latin-1")
        if re.search("[\0\r\n]", text.replace("\r\n", "")):
            raise Malformed("a lone CR or LF, or a NUL")
        line, *self.lines = text.split("\r\n")
        parts = re.fullmatch(r"([!-~]+) ([!-~]+) HTTP/1\.1", line)
        if not parts:
            raise Malformed(f"the request line {line!r}")
        self.method, self.target = parts.groups()
        fields = [re.fullmatch(r"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*(.*?)[ \t]*", line) for line in self.lines]
        if not all(fields):
            raise Malformed("a header line")
        self.headers = [list(field.groups()) for field in fields]
        self.trailer_lines = []
        self.body_bytes = 0
        self.digest = hashlib.sha256()
        lengths, encodings = self.values("content-length"), self.values("transfer-encoding")
        self.chunked = bool(encodings)
        if encodings and (lengths or [value.lower() for value in encodings] != ["chunked"]):
            raise Malformed("Transfer-Encoding")
        if len(lengths) > 1 or not all(re.fullmatch("[0-9]{1,18}", length) for length in lengths):
            raise Malformed("Content-Length")
        self.length = int(lengths[0]) if lengths else 0
        if len(self.values("host")) != 1:
            raise Malformed("Host")
        keys = self.values("idempotency-key")
        self.key = keys[0] if keys else None
        options = ",".join(self.values("connection")).lower().split(",")
        self.wants_close = "close" in [option.strip() for option in options]

    def values(self, name):
        return [value for each, value in self.headers if each.lower() == name]


class Connection:
    """One connection: its requests, one after the other."""

    def __init__(self, upstream, number, sock):
        self.upstream, self.number, self.socket = upstream, number, sock
        self.loop = asyncio.get_running_loop()
        self.buffer = bytearray()
        # The one read under way. It is awaited and left again, never given up: what it has read would be lost.
        self.reading = None
        self.piece_bytes = PIECE_BYTES
        self.rate = None
        self.idle_since = None
        self.idle_timer = None
        self.closed_by = "client"

    async def serve(self):
        try:
            while request := await self.request():
                if not await self.upstream.respond(self, *request):
                    self.closed_by = "upstream"
                    break
        except Malformed:
            self.closed_by = "malformed"
            try:
                await self.send(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
            except OSError:
                pass
        except (Gone, OSError):
            pass
        finally:
            await self.close()

    async def close(self):
        self.idle(False)
        if self.reading:
            self.reading.cancel()
            # The loop lets go of the socket here, before another one gets its number.
            await asyncio.wait({self.reading})
            if not self.reading.cancelled():
                self.reading.exception()
        # Told before the client can see it.
        self.upstream.closed(self)
        self.socket.close()

    def idle(self, is_idle):
        self.idle_since = self.loop.time() if is_idle else None
        self.set_idle_timer()

    def set_idle_timer(self):
        if self.idle_timer:
            self.idle_timer.cancel()
            self.idle_timer = None
        idle_ms = self.upstream.settings["idle_ms"]
        if self.idle_since is not None and idle_ms is not None:
            self.idle_timer = self.loop.call_at(self.idle_since + idle_ms / 1000, self.close_idle)

    def close_idle(self):
        if self.reading and not self.reading.done():
            self.closed_by = "idle"
            self.reading.cancel()

    async def more(self, timeout=None):
        """True when more was read, False at the end, None when the time is up before."""
        if not self.reading:
            self.reading = asyncio.ensure_future(self.loop.sock_recv(self.socket, self.piece_bytes))
        done, _ = await asyncio.wait({self.reading}, timeout=timeout)
        if not done:
            return None
        if self.reading.cancelled():
            return False
        reading, self.reading = self.reading, None
        self.buffer += reading.result()
        return bool(reading.result())

    async def wait(self, seconds):
        """Ends early, with `Gone`, when the client goes; what it sends ahead is kept."""
        end = self.loop.time() + seconds
        while (left := end - self.loop.time()) > 0:
            if len(self.buffer) > HEAD_BYTES_MAX:
                return await asyncio.sleep(left)
            if await self.more(left) is False:
                raise Gone

    async def request(self):
        """A request's head and body and what is to be done about it; none when the connection ended before it."""
        self.idle(True)
        while not self.buffer:
            if not await self.more():
                return None
        self.idle(False)
        request = Request(await self.until(b"\r\n\r\n"))
        behaviour = self.upstream.turn()
        self.rate = behaviour.get("read_bytes_per_second")
        self.piece_bytes = PIECE_BYTES
        if self.rate:
            # Ten pieces a second, and a window that does not take in the whole body at once.
            self.piece_bytes = max(1, min(PIECE_BYTES, self.rate // 10))
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, PIECE_BYTES)
        if any(value.lower() == "100-continue" for value in request.values("expect")):
            await self.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        if request.chunked:
            await self.chunks(request)
        else:
            await self.body(request, request.length)
        return request, behaviour

    async def until(self, end):
        while (found := self.buffer.find(end)) < 0:
            if len(self.buffer) > HEAD_BYTES_MAX:
                raise Malformed("a head without end")
            if not await self.more():
                raise Gone
        taken = bytes(self.buffer[:found])
        del self.buffer[: found + len(end)]
        return taken

    async def body(self, request, count):
        while count:
            if not self.buffer and not await self.more():
                raise Gone
            piece = self.buffer[: min(count, self.piece_bytes)]
            del self.buffer[: len(piece)]
            count -= len(piece)
            request.body_bytes += len(piece)
            request.digest.update(piece)
            if self.rate:
                await asyncio.sleep(len(piece) / self.rate)

    async def chunks(self, request):
        while True:
            size = re.fullmatch(rb"([0-9A-Fa-f]{1,15})(?:[ \t]*;[^\0\r\n]*)?", await self.until(b"\r\n"))
            if not size:
                raise Malformed("a chunk's size")
            if int(size[1], 16) == 0:
                break
            await self.body(request, int(size[1], 16))
            if await self.until(b"\r\n"):
                raise Malformed("a chunk longer than it says")
        while line := await self.until(b"\r\n"):
            request.trailer_lines.append(line.decode("latin-1"))

    async def send(self, data):
        await self.loop.sock_sendall(self.socket, data)

    async def reset(self):
        # What the other side's kernel has not got yet would be thrown away; not for ever, though: it may not read.
        for _ in range(400):
            if not struct.unpack("i", fcntl.ioctl(self.socket, termios.TIOCOUTQ, bytes(4)))[0]:
                break
            await asyncio.sleep(0.005)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
