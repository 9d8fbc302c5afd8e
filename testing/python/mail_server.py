"""A mail server: aiosmtpd, which says to a recipient's mail what the part before the @ asks for.

  refused       550 to the recipient
  greylisted    451 to the recipient the first time
  hangup        the connection is cut at the recipient
  unwanted      554 after the body
  full          452 after the body
  dropped       the mail is taken, and the connection cut instead of the answer
  silent        the mail is taken and never answered
  any other     taken

mails.jsonl has a line for each mail taken, as Python's own parser reads it.
"""

import asyncio
import email
import email.policy
import logging
import warnings

import server
from aiosmtpd.smtp import SMTP, AuthResult

# What it would say about clients that break off and about passwords without TLS is wanted here.
logging.disable()
warnings.simplefilter("ignore")

SETTINGS = server.settings()
MAILS = server.Record(SETTINGS["dir"], "mails.jsonl")


class Handler:
    def __init__(self):
        self.greylisted = set()

    async def handle_RCPT(self, smtp, session, envelope, address, options):
        who = address.split("@")[0]
        if who == "refused":
            return f"550 5.1.1 <{address.upper()}>: Recipient address rejected: {address} is unknown"
        if who == "greylisted" and address not in self.greylisted:
            self.greylisted.add(address)
            return f"451 4.7.1 <{address}>: Greylisted, try again"
        if who == "hangup":
            await hang_up(smtp)
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, smtp, session, envelope):
        who = envelope.rcpt_tos[0].split("@")[0]
        if who == "unwanted":
            return "554 5.7.1 Message content rejected"
        if who == "full":
            return "452 4.2.2 Mailbox full"
        MAILS.append(read(smtp, session, envelope))
        if who == "dropped":
            await hang_up(smtp)
        if who == "silent":
            await asyncio.Event().wait()
        return "250 OK"


def read(smtp, session, envelope):
    mail = email.message_from_bytes(envelope.content, policy=email.policy.default)
    return {
        "envelope_from": envelope.mail_from,
        "envelope_to": envelope.rcpt_tos,
        "headers": [[name, str(value)] for name, value in mail.items()],
        "defects": [str(defect) for defect in mail.defects],
        "text": mail.get_content(),
        "ascii": envelope.content.isascii(),
        "encrypted": smtp.transport.get_extra_info("ssl_object") is not None,
        "user": session.auth_data,
        "greeting": session.host_name,
        "peer": session.peer[1],
    }


async def hang_up(smtp):
    smtp.transport.abort()
    # The connection's end cancels this.
    await asyncio.Event().wait()


def authenticated(smtp, session, envelope, mechanism, data):
    user = data.login.decode()
    ok = (user, data.password.decode()) == (SETTINGS["user"], SETTINGS["password"])
    return AuthResult(success=ok, handled=False, auth_data=user)


async def main():
    server.end_with_parent()
    protection = SETTINGS["protection"]
    context = server.certified(SETTINGS["dir"]) if protection != "none" else None
    handler = Handler()
    login = {"authenticator": authenticated, "auth_required": True} if SETTINGS.get("user") else {}
    starttls = {"tls_context": context, "require_starttls": True} if protection == "starttls" else {}

    def conversation():
        return SMTP(handler, hostname="mail.example.org", auth_require_tls=False, **login, **starttls)

    listener = await asyncio.get_running_loop().create_server(
        conversation, "127.0.0.1", SETTINGS["port"], ssl=context if protection == "tls" else None
    )
    server.ready(listener.sockets[0].getsockname()[1])
    await listener.serve_forever()


asyncio.run(main())
