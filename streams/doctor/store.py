"""ClickHouse: does it answer, are its tables of this version, does its clock agree with ours."""

import json
from collections.abc import Callable, Iterator

from schemas.words import SECOND
from sinks.clickhouse.client import chdb_path
from sinks.clickhouse.migrate import migrations
from sinks.sql.protocol import QueryError
from streams.doctor.verdict import Verdict, broken, look, span, well
from streams.process.settings import Settings, mask_url

SKEW_US = 5 * SECOND
#: ClickHouse's codes: wrong user or password, no such database, no such table.
_REFUSED, _NO_DATABASE, _NO_TABLE = (516, 192, 193, 194), 81, 60
Ask = Callable[[str], str]


def checks(settings: Settings, ask: Ask, clock: Callable[[], int]) -> Iterator[Verdict]:
    """Yield what the store is like; `ask` answers a query, `clock` tells the time."""
    url = mask_url(settings.clickhouse_url)
    path = chdb_path(settings.clickhouse_url, settings.data_dir)
    if path is not None and not path.is_dir():
        what = f"nothing is stored in {path} yet"
        yield look("clickhouse", what, "`undertow run` or `undertow sink` makes it")
        return
    try:
        theirs_us = int(json.loads(ask("SELECT toUnixTimestamp64Micro(now64(6))"))[0])
    except QueryError as problem:
        yield _refused(url, problem)
        return
    except OSError as problem:
        next_step = "start it, or set CLICKHOUSE_URL to http(s)://user:password@host:port/database"
        yield broken("clickhouse", f"{url} does not answer: {problem}", next_step)
        return
    yield well("clickhouse", f"{url} answers")
    skew_us = theirs_us - clock()
    if path is None and abs(skew_us) > SKEW_US:
        what = (
            f"ClickHouse's clock is {span(skew_us)} {'ahead of' if skew_us > 0 else 'behind'} ours"
        )
        yield broken("clocks", what, "set the clock of one of the two (`chronyc tracking`)")
    yield tables(ask)


def _refused(url: str, problem: QueryError) -> Verdict:
    if problem.code in _REFUSED:
        return broken(
            "clickhouse", f"{url} refuses our user or password", "mend them in CLICKHOUSE_URL"
        )
    if problem.code == _NO_DATABASE:
        return broken("clickhouse", f"{url} has no such database", "make it: `undertow migrate`")
    return broken("clickhouse", f"{url}: {problem}", "look into the server's log")


def tables(ask: Ask) -> Verdict:
    """Say whether every migration of this version was applied, unchanged."""
    try:
        answer = ask("SELECT name, checksum FROM schema_migrations FINAL")
    except QueryError as problem:
        if problem.code in (_NO_TABLE, _NO_DATABASE):
            return broken("tables", "there are none", "make them: `undertow migrate`")
        return broken("tables", str(problem), "look into the server's log")
    applied = dict(json.loads(line) for line in answer.splitlines())
    shipped = {migration.name: migration.checksum for migration in migrations()}
    if missing := shipped.keys() - applied.keys():
        what = f"{len(missing)} migrations are missing, from {min(missing)} on"
        return broken("tables", what, "stop the sinks, then `undertow migrate`")
    if newer := applied.keys() - shipped.keys():
        what = f"{max(newer)} is of a newer version than this one"
        return broken("tables", what, "run that version, or restore a backup from before it")
    if changed := [name for name in shipped if shipped[name] != applied[name]]:
        what = f"{changed[0]} is another than the one that was applied"
        return broken("tables", what, "install the version again that made these tables")
    return well("tables", f"all {len(shipped)} migrations are applied")
