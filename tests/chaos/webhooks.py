"""Receivers that fail in every way a receiver can: each alert arrives once, or is seen to wait."""

import asyncio
import random
import sqlite3
import time
from contextlib import suppress

from aiohttp import web
from say import say

from chaos.judge import condemn
from chaos.outcome import Outcome
from chaos.receiver import SECRET, TAKEN, Manner, polite
from chaos.rig import Rig
from sinks.webhooks.endpoints import Endpoint

#: Longer than a delivery may take.
HANGS_S = 20
ASKED_TO_WAIT_S = 10
#: An alert that waits for another endpoint's trouble would be this late at least.
DELAYED_S = 10.0


def first_times(some: int, spoil: Manner) -> Manner:
    """Spoil the first coming of some ids; take everything else."""
    spoilt: set[str] = set()

    async def answer(request: web.Request, times: int) -> web.StreamResponse:
        webhook_id = request.headers["webhook-id"]
        if times == 1 and len(spoilt) < some:
            spoilt.add(webhook_id)
            return await spoil(request, times)
        return web.Response(status=204)

    return answer


async def fail(request: web.Request, times: int) -> web.StreamResponse:
    return web.Response(status=500)


async def hang(request: web.Request, times: int) -> web.StreamResponse:
    await asyncio.sleep(HANGS_S)
    return web.Response(status=500)


async def reset(request: web.Request, times: int) -> web.StreamResponse:
    assert request.transport is not None
    request.transport.abort()
    return web.Response(status=500)


async def throttle(request: web.Request, times: int) -> web.StreamResponse:
    return web.Response(status=429, headers={"Retry-After": str(ASKED_TO_WAIT_S)})


async def drip(request: web.Request, times: int) -> web.StreamResponse:
    """Take it, with an answer whose body never ends."""
    answer = web.StreamResponse(status=200)
    await answer.prepare(request)
    request[TAKEN]()
    with suppress(ConnectionError):
        for _ in range(600):
            await answer.write(b".")
            await asyncio.sleep(1)
    return answer


async def redirect(request: web.Request, times: int) -> web.StreamResponse:
    inside = f"http://127.0.0.1:{request.url.port}/stolen"
    where = inside if times % 2 else "http://169.254.169.254/latest/meta-data"
    return web.Response(status=307, headers={"Location": where})


async def gone(request: web.Request, times: int) -> web.StreamResponse:
    return web.Response(status=410)


MANNERS: dict[str, Manner] = {
    "/steady": polite,
    "/errors": first_times(5, fail),
    "/timeouts": first_times(2, hang),
    "/resets": first_times(5, reset),
    "/throttled": first_times(2, throttle),
    "/dripping": drip,
    "/redirecting": redirect,
    "/gone": gone,
}
#: What never takes anything; its alerts must be visible in the outbox instead.
NEVER = {"/redirecting": "pending", "/gone": "dead"}


def spoil_webhooks(
    rig: Rig, rng: random.Random, rounds: int, outcome: Outcome, deadline: float
) -> None:
    """Play the recording to all receivers at once, and kill notify now and then."""
    rig.feeder.start(30)
    polite_ones = [path for path in MANNERS if path not in NEVER]
    for number in range(1, rounds + 1):
        time.sleep(rng.uniform(10, 25))
        rig.of("notify")[0].kill()
        outcome.rounds = number
        say(f"round {number}/{rounds}: killed notify")
    rig.feeder.finish(deadline)
    for kind in ("rollup", "detect", "notify"):
        rig.watcher.wait_read(kind, deadline, lambda: None)
    wanted = rig.alerts_told()
    while time.monotonic() < deadline:
        if all(wanted <= set(rig.receiver.taken[path]) for path in polite_ones):
            break
        time.sleep(0.5)
    time.sleep(3)
    for stage in rig.stages:
        stage.stop()
    outcome.records = rig.recording.records
    _judge(rig, outcome, wanted, polite_ones)
    condemn(outcome)


def _judge(rig: Rig, outcome: Outcome, wanted: set[str], polite_ones: list[str]) -> None:
    receiver = rig.receiver
    outcome.deliveries_differ, outcome.sent_again = receiver.forged, 0
    for path in polite_ones:
        taken = receiver.taken[path]
        outcome.deliveries_differ += len(wanted ^ set(taken))
        twice = sum(taken.values()) - len(taken)
        outcome.sent_again += twice
        if twice > outcome.rounds:  # one may be under way at each kill
            outcome.blame(f"{path} took {twice} alerts twice, with {outcome.rounds} kills")
        if wanted ^ set(taken):
            outcome.notes.append(f"{path}: took {len(taken)} of {len(wanted)}")
    states = _outbox(rig)
    for path, state in NEVER.items():
        name = _endpoint_name(rig, path)
        count = states.get((name, state), 0)
        outcome.notes.append(
            f"{path}: {count} {state}, {sum(receiver.came[path].values())} requests"
        )
        if count != len(wanted) or receiver.taken[path]:
            outcome.blame(f"{path}: {count} of {len(wanted)} alerts visibly {state}")
    if sum(receiver.came["/gone"].values()) != 1:
        outcome.blame(f"/gone was asked {sum(receiver.came['/gone'].values())} times after its 410")
    if receiver.strays:
        outcome.blame(f"a redirect was followed: {receiver.strays[:3]}")
    _delays(rig, outcome, wanted)


def _delays(rig: Rig, outcome: Outcome, wanted: set[str]) -> None:
    """No receiver's trouble may delay another: compare with whoever heard of an alert first."""
    heard = rig.receiver.first_at
    late = [
        heard["/steady"][webhook_id]
        - min(at[webhook_id] for at in heard.values() if webhook_id in at)
        for webhook_id in wanted
        if webhook_id in heard["/steady"]
    ]
    worst = max(late, default=0.0)
    outcome.notes.append(f"/steady heard each alert within {worst:.1f} s of the first to hear it")
    if worst > DELAYED_S:
        outcome.blame(f"/steady was {worst:.1f} s behind another receiver")


def _outbox(rig: Rig) -> dict[tuple[str, str], int]:
    with sqlite3.connect(rig.of("notify")[0].data_dir / "outbox.sqlite") as file:
        counted = file.execute("SELECT endpoint, state, count(*) FROM deliveries GROUP BY 1, 2")
        return {(endpoint, state): number for endpoint, state, number in counted}


def _endpoint_name(rig: Rig, path: str) -> str:

    return Endpoint(f"http://127.0.0.1:{rig.receiver.port}{path}", SECRET, allow_private=True).name
