"""A web hook's receiver, which verifies with the library of Standard Webhooks and answers as the path asks for.

  /status/NNN   NNN
  /redirect     307 to /status/200
  /silent       reads the request and never answers
  /cut          reads the request and cuts the connection

calls.jsonl has a line for each request that came whole.
"""

import json
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import server
from standardwebhooks import Webhook, WebhookVerificationError

SETTINGS = server.settings()
CALLS = server.Record(SETTINGS["dir"], "calls.jsonl")
WEBHOOK = Webhook(SETTINGS["secret"])


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def log_message(self, *_):
        pass

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
        headers = {name.lower(): value for name, value in self.headers.items()}
        try:
            WEBHOOK.verify(body, headers)
            verified = True
        except WebhookVerificationError:
            verified = False
        CALLS.append({"path": self.path, "headers": headers, "body": json.loads(body), "verified": verified})
        match self.path.split("/"):
            case ["", "status", status]:
                self.answer(int(status))
            case ["", "redirect"]:
                self.answer(307, location="/status/200")
            case ["", "silent"]:
                self.close_connection = True
                self.connection.recv(1)
            case _:
                self.close_connection = True
                self.connection.close()

    def answer(self, status, location=None):
        self.send_response(status)
        if location:
            self.send_header("Location", location)
        self.send_header("Content-Length", "0")
        self.end_headers()


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_):
        """Clients come and go."""


def main():
    server.end_with_parent()
    receiver = Server(("127.0.0.1", SETTINGS["port"]), Handler)
    if SETTINGS.get("tls"):
        context = server.certified(SETTINGS["dir"])
        receiver.socket = context.wrap_socket(receiver.socket, server_side=True, do_handshake_on_connect=False)
    server.ready(receiver.server_address[1])
    receiver.serve_forever()


main()
