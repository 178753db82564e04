"""What a failed insert means, and how often it is tried again.

passing   time or an operator heals it: tried again until it is in, or we stop
rows      what is in the batch is at fault: no second try, `poison` takes it apart
store     the table, the account or a setting is at fault: the sink ends and says so
unknown   tried again a few times, then held against the rows
a batch that may be too large passes as well, but is not tried whole for ever

SinkError            a batch is not in, and trying again is not for this module
  permanent          (`gave_up` False) rows or store; `splits` says that it may be taken apart
  gave up            (`gave_up` True) the database did not recover in time
"""

import logging
import struct
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TypeVar

from clickhouse_connect.driver import exceptions as driver

from schemas import metrics
from schemas.redact import redacted

log = logging.getLogger(__name__)
Result = TypeVar("Result")
Fault = Literal["passing", "rows", "store", "unknown"]

#: Server codes that time or an operator heals.
RETRYABLE_CODES: dict[int, str] = {
    74: "CANNOT_READ_FROM_FILE_DESCRIPTOR",
    75: "CANNOT_WRITE_TO_FILE_DESCRIPTOR",
    76: "CANNOT_OPEN_FILE",
    159: "TIMEOUT_EXCEEDED",
    164: "READONLY",
    173: "CANNOT_ALLOCATE_MEMORY",
    198: "DNS_ERROR",
    202: "TOO_MANY_SIMULTANEOUS_QUERIES",
    209: "SOCKET_TIMEOUT",
    210: "NETWORK_ERROR",
    225: "NO_ZOOKEEPER",
    236: "ABORTED",
    241: "MEMORY_LIMIT_EXCEEDED",
    242: "TABLE_IS_READ_ONLY",
    243: "NOT_ENOUGH_SPACE",
    252: "TOO_MANY_PARTS",
    285: "TOO_FEW_LIVE_REPLICAS",
    286: "UNSATISFIED_QUORUM_FOR_PREVIOUS_WRITE",
    319: "UNKNOWN_STATUS_OF_INSERT",
    394: "QUERY_WAS_CANCELLED",
    439: "CANNOT_SCHEDULE_TASK",
    499: "S3_ERROR",
    999: "KEEPER_EXCEPTION",
}
#: Codes of a value, a row or a batch that no table takes.
ROW_CODES: dict[int, str] = {
    6: "CANNOT_PARSE_TEXT",
    26: "CANNOT_PARSE_QUOTED_STRING",
    27: "CANNOT_PARSE_INPUT_ASSERTION_FAILED",
    33: "CANNOT_READ_ALL_DATA",
    38: "CANNOT_PARSE_DATE",
    41: "CANNOT_PARSE_DATETIME",
    43: "ILLEGAL_TYPE_OF_ARGUMENT",
    53: "TYPE_MISMATCH",
    69: "ARGUMENT_OUT_OF_BOUND",
    70: "CANNOT_CONVERT_TYPE",
    72: "CANNOT_PARSE_NUMBER",
    117: "INCORRECT_DATA",
    128: "TOO_LARGE_ARRAY_SIZE",
    131: "TOO_LARGE_STRING_SIZE",
    153: "ILLEGAL_DIVISION",
    158: "TOO_MANY_ROWS",
    190: "SIZES_OF_ARRAYS_DONT_MATCH",
    307: "TOO_MANY_BYTES",
    321: "VALUE_IS_OUT_OF_RANGE_OF_DATA_TYPE",
    349: "CANNOT_INSERT_NULL_IN_ORDINARY_COLUMN",
    395: "FUNCTION_THROW_IF_VALUE_IS_NON_ZERO",
    407: "DECIMAL_OVERFLOW",
    469: "VIOLATED_CONSTRAINT",
    691: "UNKNOWN_ELEMENT_OF_ENUM",
}
#: Codes of a table, a database, an account or a setting: no row would do better.
STORE_CODES: dict[int, str] = {
    10: "NOT_FOUND_COLUMN_IN_BLOCK",
    16: "NO_SUCH_COLUMN_IN_TABLE",
    20: "NUMBER_OF_COLUMNS_DOESNT_MATCH",
    47: "UNKNOWN_IDENTIFIER",
    60: "UNKNOWN_TABLE",
    62: "SYNTAX_ERROR",
    73: "UNKNOWN_FORMAT",
    81: "UNKNOWN_DATABASE",
    115: "UNKNOWN_SETTING",
    192: "UNKNOWN_USER",
    193: "WRONG_PASSWORD",
    194: "REQUIRED_PASSWORD",
    195: "IP_ADDRESS_NOT_ALLOWED",
    218: "TABLE_IS_DROPPED",
    291: "DATABASE_ACCESS_DENIED",
    452: "SETTING_CONSTRAINT_VIOLATION",
    497: "ACCESS_DENIED",
    516: "AUTHENTICATION_FAILED",
}
#: What each driver error means where no code says more: True passing, False the store's, None
#: a gateway or a torn answer, so passing.
DRIVER_ERRORS: dict[type[BaseException], bool | None] = {
    driver.ClickHouseError: None,
    driver.Warning: False,
    driver.Error: None,
    driver.InterfaceError: False,
    driver.DatabaseError: None,
    driver.DataError: False,
    driver.OperationalError: True,
    driver.IntegrityError: False,
    driver.InternalError: None,
    driver.ProgrammingError: False,
    driver.NotSupportedError: False,
    driver.StreamClosedError: False,
    driver.StreamCompleteException: False,
    driver.StreamFailureError: True,
}
#: What the driver, Arrow or we raise while values are turned into bytes.
ROW_ERRORS = (
    driver.DataError,
    driver.IntegrityError,
    ValueError,
    TypeError,
    AttributeError,
    LookupError,
    ArithmeticError,
    struct.error,
)
#: By code, signs that the batch is too large, whatever the code says otherwise; None is a
#: gateway's answer.
_TOO_LARGE = {
    252: ("single INSERT block",),
    241: ("for query", "Query memory limit"),
    None: ("HTTP status 413",),
}
_FULL_DISK = ("No space left on device", "NOT_ENOUGH_SPACE")
#: Codes that pass, but sooner for less at a time.
_SMALLER_CODES = frozenset({159, 173, 241})
#: Tries of an insert whose error nobody has seen before, and of one that may be too large.
UNKNOWN_TRIES = 5
SMALLER_TRIES = 5
#: What a log line keeps of a failure: the driver's words quote its whole URL.
_CAUSE = 200


class SinkError(Exception):
    """A batch that did not get in: `table`, `token`, `cause`, `gave_up` (else permanent)."""

    def __init__(self, table: str, token: str, cause: BaseException, gave_up: bool) -> None:
        how = "gave up retrying" if gave_up else "cannot succeed"
        super().__init__(f"insert into {table} ({token}) {how}: {cause}")
        self.table = table
        self.token = token
        self.cause = cause
        self.gave_up = gave_up

    @property
    def splits(self) -> bool:
        """Whether a part of the batch may succeed where the whole cannot."""
        return not self.gave_up and fault_of(self.cause) != "store"


def fault_of(problem: BaseException) -> Fault:
    """Say what an insert's failure must be held against."""
    code, text = getattr(problem, "code", None), str(problem)
    if code in ROW_CODES or any(sign in text for sign in _TOO_LARGE.get(code, ())):
        return "rows"
    if code in STORE_CODES:
        return "store"
    if code is None or DRIVER_ERRORS.get(type(problem)):
        return _by_type(problem)
    if code in RETRYABLE_CODES or is_full_disk(problem):
        return "passing"
    return "unknown"


def is_full_disk(problem: BaseException) -> bool:
    """Say whether the disk under the tables has no room, or less than is kept free."""
    return getattr(problem, "code", None) == 243 or any(x in str(problem) for x in _FULL_DISK)


def _by_type(problem: BaseException) -> Fault:
    # Transport faults of the embedded engine are the file system's.
    if isinstance(problem, OSError):
        return "passing"
    if isinstance(problem, ROW_ERRORS):
        return "rows"
    if isinstance(problem, (MemoryError, RuntimeError)):
        return "unknown"
    return "store" if DRIVER_ERRORS.get(type(problem), False) is False else "passing"


def _may_be_too_large(problem: BaseException) -> bool:
    """Say whether less at a time may do: memory that was short, an answer that took too long."""
    return getattr(problem, "code", None) in _SMALLER_CODES or "timed out" in str(problem)


def is_retryable(problem: BaseException) -> bool:
    """Say whether the same insert may succeed later without anybody changing it."""
    return fault_of(problem) == "passing"


@dataclass(frozen=True)
class Retry:
    """Exponential backoff, in seconds: `first_s` doubling up to `longest_s`, then giving up."""

    give_up_after_s: float = 300.0
    first_s: float = 0.1
    longest_s: float = 10.0
    sleep: Callable[[float], object] = time.sleep
    clock: Callable[[], float] = time.monotonic

    def run(
        self, action: Callable[[], Result], table: str, token: str, splits: bool = False
    ) -> Result:
        """Return what `action` returns, retrying it; raises SinkError as its tree says.

        `splits` says that it could be done in parts.
        """
        start, pause, unknown, large = self.clock(), self.first_s, 0, 0
        while True:
            try:
                return action()
            except Exception as problem:
                fault = fault_of(problem)
                unknown += fault == "unknown"
                large += splits and _may_be_too_large(problem)
                hopeless = unknown >= UNKNOWN_TRIES or large >= SMALLER_TRIES
                if hopeless or fault in ("rows", "store"):
                    raise SinkError(table, token, problem, gave_up=False) from problem
                if self.clock() - start + pause > self.give_up_after_s:
                    raise SinkError(table, token, problem, gave_up=True) from problem
                cause = redacted(str(problem))[:_CAUSE]
                log.warning("%s (%s) again in %.1f s: %s", table, token, pause, cause)
            metrics.RETRIES.labels("clickhouse").inc()
            self.sleep(pause)
            pause = min(pause * 2, self.longest_s)
