"""A mail in plain text; the mails of one event are one thread.

    Subject: BTC longs liquidated
    Message-ID: <3c...@undertow.invalid>
    References: <9f...@undertow.invalid>

Source: RFC 5322; `References` names the same root for all of an event, as mail programs thread by.
"""

from email import policy
from email.message import EmailMessage
from email.utils import format_datetime

from sinks.alerts.message import Message, moment
from sinks.alerts.targets.clip import clip

SUBJECT, TEXT = 200, 20_000
_PRIORITY = {"critical": "1", "warning": "3", "info": "5"}


def body(message: Message, sender: str, receivers: list[str]) -> bytes:
    """Return the whole mail, as SMTP carries it."""
    mail = EmailMessage(policy=policy.SMTP)
    # A line break in a header would begin another one.
    mail["Subject"] = clip(" ".join(message.title.split()), SUBJECT)
    mail["From"], mail["To"] = sender, ", ".join(receivers) or "undisclosed-recipients:;"
    mail["Date"] = format_datetime(moment(message.ts_event))
    mail["Message-ID"] = f"<{message.notification_id}@undertow.invalid>"
    mail["References"] = f"<{_message_id_part(message.key)}.{message.ts_first}@undertow.invalid>"
    mail["X-Priority"] = _PRIORITY[message.severity]
    mail["Auto-Submitted"] = "auto-generated"
    lines = [*message.lines, *filter(None, (message.query, message.link))]
    mail.set_content(clip("\n".join(lines), TEXT), cte="quoted-printable")
    return mail.as_bytes()


def _message_id_part(key: str) -> str:
    return "".join(c if c.isascii() and c.isalnum() else "-" for c in key)[:64]
