"""What the servers of the tests share: they end with the test, say when they are ready, and write down what they did.

Each is started as `python NAME.py JSON`, where the JSON is an object with at least `dir`, its folder, and `port`, 0 for a
free one. It prints `ready PORT`, and ends when its standard input does: with the test process, however that ends.
"""

import json
import os
import ssl
import sys
import threading


def settings():
    """What the test wants."""
    return json.loads(sys.argv[1])


def end_with_parent():
    """Ends this process when nobody holds the other side of its standard input any more."""

    def watch():
        while sys.stdin.buffer.read(1024):
            pass
        os._exit(0)

    threading.Thread(target=watch, daemon=True).start()


def ready(port):
    """Tells the test where."""
    print(f"ready {port}", flush=True)


def certified(folder):
    """A context for TLS as `localhost` and `127.0.0.1`, by an authority of its own: `authority.pem` in the folder."""
    # Half a second of importing, which the servers without TLS need not wait for.
    import trustme

    authority = trustme.CA()
    authority.cert_pem.write_to_path(os.path.join(folder, "authority.pem"))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost", "127.0.0.1").configure_cert(context)
    return context


class Record:
    """A file with one JSON value a line, which survives this process."""

    def __init__(self, folder, name, durable=False):
        path = os.path.join(folder, name)
        self.before = []
        if os.path.exists(path):
            with open(path, encoding="utf-8") as lines:
                self.before = [json.loads(line) for line in lines]
        self.file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        self.durable = durable

    def append(self, value):
        # One write a line: a process that is killed leaves whole lines or nothing.
        os.write(self.file, (json.dumps(value) + "\n").encode())
        if self.durable:
            os.fsync(self.file)
