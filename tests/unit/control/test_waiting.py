"""Commands that wait for the operator: what became of them meanwhile, and who signed them."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from gateway import effects
from gateway.config.truststore import TrustStore
from gateway.control.commands.reasons import Reason
from gateway.control.commands.signers import outdated
from gateway.control.phases import Phase
from tests.fixtures.commands import OPS, trust
from tests.fixtures.control_site import ControlSite, site, ulid

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.checked import Site
    from gateway.clock import Now
    from gateway.config.truststore import TrustedKey


def armed(**arguments: object) -> ControlSite:
    made = ControlSite(site("bess-1", approval="local", **arguments)).ready()  # type: ignore[arg-type]  # by name
    made.act("approve", id=made.command("arm"))
    assert made.phase() is Phase.ARMED
    return made


def test_an_older_command_does_not_take_the_place_of_a_newer_one_that_was_approved() -> None:
    made = armed()
    older = made.command(powerW=600_000, lives_s=120)
    made.run(3)
    newer = made.command(powerW=200_000, lives_s=120)
    made.run(3)
    newest = made.command(powerW=300_000, lives_s=120)
    made.act("approve", id=newer)
    assert made.ends(older) == "superseded"
    assert "does not wait" in made.ask("approve", id=older)["error"]
    made.run(5)
    assert made.rtac.remote_w == 200_000
    made.act("approve", id=newest)
    made.run(5)
    assert made.rtac.remote_w == 300_000


def test_one_that_needs_no_approval_supersedes_what_waits_and_no_other_verb() -> None:
    made = armed(threshold_w=250_000.0)
    older = made.command(powerW=600_000, lives_s=120)
    reserve = made.command("reserve", percent=30)
    made.run(3)
    made.command(powerW=200_000)
    made.run(1)
    assert made.ends(older) == "superseded"
    assert [row["id"] for row in made.ask("pending")["pending"]] == [reserve]


def with_key(found: Site, changed: Callable[[TrustedKey], TrustedKey | None]) -> Site:
    """The same site, with the same digest, where the dispatcher's key is another one."""
    assert found.safety is not None
    store = found.safety.trust
    keys = [key for kid in store.kids() if (key := store.find(kid)) is not None]
    kept = [new for key in keys if (new := changed(key) if key.kid == OPS.kid else key)]
    return replace(found, safety=replace(found.safety, trust=TrustStore(tuple(kept))))


def test_a_signature_that_ran_out_while_it_waited_is_not_approved() -> None:
    made = armed()
    safety = made.site.safety
    assert safety is not None
    until_ms = made.wall_ms + 10_000
    made.reload(with_key(made.site, lambda key: replace(key, not_after_ms=until_ms)))
    id_ = made.command(powerW=600_000, lives_s=120)
    made.run(12)
    answer = made.ask("approve", id=id_)
    assert "KEY_EXPIRED" in str(answer["error"])
    assert made.ends(id_) == "rejected"
    made.run(5)
    assert not any(made.written())


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        (lambda key: replace(key, revoked=True), Reason.KEY_EXPIRED),
        (lambda key: replace(key, thumbprint="another"), Reason.UNKNOWN_KEY),
        (lambda _: None, Reason.UNKNOWN_KEY),
    ],
)
def test_a_key_that_is_revoked_replaced_or_gone_signed_nothing(
    changed: Callable[[TrustedKey], TrustedKey | None], reason: Reason
) -> None:
    found = site()
    signer = trust().find(OPS.kid)
    assert signer is not None
    assert found.safety is not None
    assert outdated((signer,), found.safety.trust, now_ms=0) is None
    other = with_key(found, changed).safety
    assert other is not None
    rejected = outdated((signer,), other.trust, now_ms=0)
    assert rejected is not None
    assert rejected.reason is reason


def test_an_id_is_one_commands_at_whatever_battery_and_over_a_reload_and_a_restart() -> None:
    made = ControlSite(site("bess-1", "bess-2")).ready()
    made.command("arm", asset="bess-1", id_=ulid(900))
    assert made.acks[ulid(900)] == "received"
    made.command("arm", asset="bess-2", id_=ulid(900))
    assert made.acks[ulid(900)] == "DUPLICATE"
    made.command("idle", asset="bess-1")
    made.until(lambda: not made.control("bess-1").unsettled)
    made.reload(site("bess-1", "bess-2", labels="other"))
    made.run(40)  # challenges, and a lease
    made.command("arm", asset="bess-1", id_=ulid(900))
    assert made.acks[ulid(900)] == "DUPLICATE"
    made.activate(id_=ulid(901))
    made.power_on()
    made.ready("bess-2")
    made.command("arm", asset="bess-2", id_=ulid(901))
    assert made.acks[ulid(901)] == "DUPLICATE"


def test_what_waits_when_a_reload_takes_its_battery_ends_and_says_so() -> None:
    made = ControlSite(site("bess-1", "bess-2", approval="local")).ready()
    id_ = made.command("arm", asset="bess-2", lives_s=120)
    handle = made.core.handle
    told: list[tuple[str, str, str]] = []

    def noting(event: object, now: Now) -> list[effects.Effect]:
        out = handle(event, now)
        batches = [one.batch for one in out if isinstance(one, effects.StoreBatch)]
        bodies = [json.loads(one.body) for one in batches if one.stream.value == "result"]
        told.extend((body["id"], body["state"], body["reason"]) for body in bodies)
        return out

    made.core.handle = noting  # type: ignore[method-assign]
    made.reload(site("bess-1", approval="local"))
    assert told == [(id_, "aborted", "reload")]
