"""What every parser shares: typed frames and the complaint about an unreadable one."""


class UnreadableFrame(ValueError):
    """A venue message that cannot become a record: `field` and `reason` say why."""

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(f"{field or 'frame'}: {reason}")
        self.field = field
        self.reason = reason
