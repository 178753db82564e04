"""A mail in plain text, and one with a picture; the mails of one event are one thread.

    Subject: BTC longs liquidated
    Message-ID: <3c...@undertow.invalid>
    References: <9f...@undertow.invalid>

Source: RFC 5322; `References` names the same root for all of an event, as mail programs thread by.
"""

from email import policy
from email.message import EmailMessage
from email.utils import format_datetime
from html import escape

from sinks.alerts.message import Message, moment
from sinks.alerts.targets.clip import clip
from sinks.alerts.targets.part import PNG

SUBJECT, TEXT = 200, 20_000
_PRIORITY = {"critical": "1", "warning": "3", "info": "5"}


def body(message: Message, sender: str, receivers: list[str]) -> bytes:
    """Return the whole mail, as SMTP carries it."""
    mail = _headed(message, sender, receivers)
    mail["X-Priority"] = _PRIORITY[message.severity]
    lines = [*message.lines, *filter(None, (message.query, message.link))]
    mail.set_content(clip("\n".join(lines), TEXT), cte="quoted-printable")
    return mail.as_bytes()


def picture(message: Message, sender: str, receivers: list[str], png: bytes) -> bytes:
    """Return a mail that shows a picture, in the thread of its event."""
    mail = _headed(message, sender, receivers)
    mail["X-Priority"] = _PRIORITY["info"]
    mail.set_content(message.link or message.title, cte="quoted-printable")
    shown = f'<img src="cid:{PNG}" alt="{escape(message.title)}" width="950">'
    mail.add_alternative(f"<p>{shown}</p>", subtype="html", cte="quoted-printable")
    page = mail.get_payload()[1]  # type: ignore[index]
    page.add_related(png, "image", "png", cid=f"<{PNG}>", filename=PNG)  # type: ignore[union-attr]
    return mail.as_bytes()


def _headed(message: Message, sender: str, receivers: list[str]) -> EmailMessage:
    mail = EmailMessage(policy=policy.SMTP)
    # A line break in a header would begin another one.
    mail["Subject"] = clip(" ".join(message.title.split()), SUBJECT)
    mail["From"], mail["To"] = sender, ", ".join(receivers) or "undisclosed-recipients:;"
    mail["Date"] = format_datetime(moment(message.ts_event))
    mail["Message-ID"] = f"<{message.notification_id}@undertow.invalid>"
    mail["References"] = f"<{_message_id_part(message.key)}.{message.ts_first}@undertow.invalid>"
    mail["Auto-Submitted"] = "auto-generated"
    return mail


def _message_id_part(key: str) -> str:
    return "".join(c if c.isascii() and c.isalnum() else "-" for c in key)[:64]
