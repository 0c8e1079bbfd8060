"""Login with a token: aiosmtpd, with XOAUTH2 after its published description.

The server requires STARTTLS. It rejects a wrong token as large providers do: it sends the reason as a
challenge, and the rejection after the empty line of the client.
"""

import asyncio
import base64
import json
import logging
import ssl
import sys
import threading
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "lib"))
import trustme
from aiosmtpd.smtp import SMTP, AuthResult
from ground import claim, command, end, wait_for, work_folder

USER, TOKEN = "avatar-watch@example.com", "t0ken-from-a-program"


class Provider:
    """A mail server that accepts only a token."""

    def __init__(self, context):
        self.mails, self.attempts, self.answers = [], [], []
        self.context = context
        self.loop = asyncio.new_event_loop()
        listening = self.loop.create_server(self.session, "127.0.0.1", 0)
        self.port = self.loop.run_until_complete(listening).sockets[0].getsockname()[1]
        threading.Thread(target=self.loop.run_forever, daemon=True).start()

    def session(self):
        return SMTP(self, loop=self.loop, tls_context=self.context, require_starttls=True,
                    auth_required=True, auth_exclude_mechanism=["PLAIN", "LOGIN"])

    async def auth_XOAUTH2(self, server, arguments):
        said = base64.b64decode(arguments[1]).decode()
        self.attempts.append((said, server.session.ssl is not None))
        if said == f"user={USER}\x01auth=Bearer {TOKEN}\x01\x01":
            return AuthResult(success=True, auth_data=USER)
        reason = json.dumps({"status": "401", "schemes": "bearer"})
        self.answers.append(await server.challenge_auth(reason))
        return AuthResult(success=False, handled=False)

    async def handle_DATA(self, _server, session, envelope):
        self.mails.append((session.authenticated, envelope.rcpt_tos))
        return "250 kept"


def channel(name, port, token):
    return f"""
[channels.{name}]
type = "email"
from = "{USER}"
to = ["studio@example.com"]
[channels.{name}.smtp]
host = "localhost"
port = {port}
auth = "xoauth2"
username = "{USER}"
ca_file = "mail-ca.pem"
token_command = ["/bin/echo", "{token}"]
"""


logging.getLogger("mail.log").setLevel(logging.CRITICAL)
ground = work_folder()
authority = trustme.CA()
authority.cert_pem.write_to_path(ground / "mail-ca.pem")
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
authority.issue_cert("localhost").configure_cert(context)
provider = Provider(context)
config = ground / "avatar-watch.toml"
config.write_text(
    '[argil]\napi_key = { env = "ARGIL_API_KEY" }\n'
    + channel("good", provider.port, TOKEN)
    + channel("bad", provider.port, "another-token"),
    encoding="utf-8",
)
good = command("test", "good", "--config", config)
claim("a token from a program logs in", good.returncode == 0, good.stdout + good.stderr)
claim("… inside TLS", provider.attempts == [(f"user={USER}\x01auth=Bearer {TOKEN}\x01\x01", True)], provider.attempts)
claim("… and the mail is accepted", wait_for(lambda: provider.mails == [(True, ["studio@example.com"])]))
bad = command("test", "bad", "--config", config)
said = bad.stdout + bad.stderr
claim("a wrong token is a rejected login", bad.returncode == 1 and "at `auth` (535)" in said, said)
claim("… after an empty reply to the reason", provider.answers == [b""], provider.answers)
claim("… and no token is shown", "another-token" not in said and TOKEN not in good.stdout + good.stderr)
claim("… and nothing was sent", len(provider.mails) == 1)
end()
