"""Section 6: approval, state, interlocks, limits and rate, in order, what waits."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from gateway.control.commands.approve import MAX_PENDING, Approval, PendingCommands
from gateway.control.commands.command import Verb
from gateway.control.commands.permit import Permitted, offered, permit
from gateway.control.commands.reasons import Reason, Rejected
from gateway.control.commands.verify import Admitted
from gateway.control.phases import Phase
from gateway.control.rules.limits import Ceiling, RateWindow
from tests.fixtures.commands import ID, NOW
from tests.fixtures.control import SITE, admitted, command, conditions, facts
from tests.fixtures.shippedmaps import shipped

_SILENT = [Phase.MONITOR, Phase.LOCAL, Phase.BLIND, Phase.ESTOP]
_CALM = [phase for phase in Phase if phase not in _SILENT]


def ask(
    asked: Admitted | None = None,
    *,
    approved: bool = False,
    now_s: float = NOW.mono_s,
    **fields: Any,  # noqa: ANN401 - any condition
) -> Permitted | Rejected:
    return permit(asked or admitted(), now_s, conditions(**fields), approved=approved)


def reason(found: Permitted | Rejected) -> Reason:
    assert isinstance(found, Rejected), found
    assert found.text
    assert found.id == ID
    return found.reason


def test_a_command_inside_the_limits_is_permitted_as_asked() -> None:
    found = ask()
    assert isinstance(found, Permitted)
    assert (found.applied_w, found.warnings, found.waits) == (750_000, (), False)


def test_control_that_is_off_says_why() -> None:
    found = ask(disabled=("SAFETY_CONFIG_MISSING",))
    assert reason(found) is Reason.CONTROL_DISABLED
    assert isinstance(found, Rejected)
    assert found.text == "SAFETY_CONFIG_MISSING"


def test_a_verb_that_the_map_lacks_is_unsupported() -> None:
    assert reason(ask(verbs=frozenset({Verb.IDLE}))) is Reason.UNSUPPORTED


def test_a_map_offers_the_verbs_that_it_has_points_for() -> None:
    rtac = offered(shipped("generic-rtac@1.0.0"), SITE)
    assert rtac == frozenset(Verb) - {Verb.ALARM_RESET}
    assert offered(shipped("an2018-storage@1.0.0"), SITE) == rtac
    assert offered(shipped("example-bess-a@A"), SITE) == frozenset()
    assert offered(shipped("raw@1.0.0"), SITE) == frozenset()


def test_modes_and_reserves_are_offered_only_where_the_site_lists_them() -> None:
    rtac = shipped("generic-rtac@1.0.0")
    everything = offered(rtac, SITE)
    no_mode, no_reserve = replace(SITE, modes=()), replace(SITE, reserve_pct=None)
    assert offered(rtac, no_mode) == everything - {Verb.MODE}
    assert offered(rtac, no_reserve) == everything - {Verb.RESERVE}
    for verb, site in ((Verb.MODE, no_mode), (Verb.RESERVE, no_reserve)):
        asked = admitted(command(verb, **_params(verb)))
        found = ask(asked, verbs=offered(rtac, site), site=site)
        assert reason(found) is Reason.UNSUPPORTED
        assert isinstance(found, Rejected)
        assert found.text.endswith(f"; [limits] of safety.toml allows no {verb}")


@pytest.mark.parametrize("percent", [5, 80])
def test_a_reserve_inside_the_sites_limits_and_a_listed_mode_are_permitted(percent: int) -> None:
    assert isinstance(ask(admitted(command("reserve", percent=percent))), Permitted)
    assert isinstance(ask(admitted(command("mode", name="x"))), Permitted)


@pytest.mark.parametrize("percent", [4, 81])
def test_a_reserve_outside_and_a_mode_that_is_not_listed_are_rejected(percent: int) -> None:
    found = ask(admitted(command("reserve", percent=percent)))
    assert reason(found) is Reason.LIMIT
    assert isinstance(found, Rejected)
    assert found.text == f"reserve {percent} %: must be 5..80 %"
    found = ask(admitted(command("mode", name="y")))
    assert reason(found) is Reason.LIMIT
    assert isinstance(found, Rejected)
    assert found.text == "mode 'y': must be one of x"


# --- approval --------------------------------------------------------------------------------


def test_monitor_permits_no_control_at_all() -> None:
    for verb in Verb:
        asked = admitted(command(verb, **_params(verb)))
        assert reason(ask(asked, policy=Approval.MONITOR)) is Reason.APPROVAL


def _params(verb: Verb) -> dict[str, Any]:
    found: dict[Verb, dict[str, Any]] = {Verb.MODE: {"name": "x"}, Verb.RESERVE: {"percent": 5}}
    return found.get(verb, {})


def test_one_signature_of_two_is_not_dual() -> None:
    assert reason(ask(policy=Approval.DUAL)) is Reason.APPROVAL


def test_a_dispatcher_and_a_different_approver_are_dual() -> None:
    found = ask(admitted(None, "ops-1", "chief-1"), policy=Approval.DUAL)
    assert isinstance(found, Permitted)
    assert not found.waits


def test_one_key_with_both_roles_is_not_dual() -> None:
    assert reason(ask(admitted(None, "ops-2"), policy=Approval.DUAL)) is Reason.APPROVAL
    assert isinstance(ask(admitted(None, "ops-1", "ops-2"), policy=Approval.DUAL), Permitted)


@pytest.mark.parametrize("power_w", [500_000, -500_000])
def test_dual_and_local_apply_above_the_threshold(power_w: int) -> None:
    asked = admitted(command(powerW=power_w))
    assert isinstance(ask(asked, policy=Approval.DUAL, threshold_w=500_000), Permitted)
    assert reason(ask(asked, policy=Approval.DUAL, threshold_w=499_999)) is Reason.APPROVAL
    found = ask(asked, policy=Approval.LOCAL, threshold_w=500_000)
    assert isinstance(found, Permitted)
    assert not found.waits


def test_what_is_not_power_has_no_threshold() -> None:
    asked = admitted(command("arm"))
    terms: dict[str, Any] = {"phase": Phase.IDLE, "threshold_w": 1e9}
    assert reason(ask(asked, policy=Approval.DUAL, **terms)) is Reason.APPROVAL


def test_local_waits_for_the_operator() -> None:
    found = ask(policy=Approval.LOCAL)
    assert isinstance(found, Permitted)
    assert found.waits
    found = ask(policy=Approval.LOCAL, approved=True)
    assert isinstance(found, Permitted)
    assert not found.waits


def test_an_operators_word_is_no_second_signature() -> None:
    assert reason(ask(policy=Approval.DUAL, approved=True)) is Reason.APPROVAL


@pytest.mark.parametrize("verb", ["idle", "disarm", "release"])
@pytest.mark.parametrize("policy", [Approval.DUAL, Approval.LOCAL, Approval.ENVELOPE])
def test_idle_disarm_and_release_need_neither_approval_nor_arming(
    verb: str, policy: Approval
) -> None:
    asked = admitted(command(verb))
    bad = facts({"BI1": True, "AI0": None}, lease=False)
    for phase in _CALM:
        found = ask(asked, policy=policy, phase=phase, facts=bad)
        assert isinstance(found, Permitted), (phase, found)
        assert not found.waits


def test_estop_needs_no_approval_no_arming_and_no_interlock() -> None:
    asked = admitted(command("estop"), "guard-1")
    for phase in list(Phase)[1:]:
        found = ask(asked, policy=Approval.DUAL, phase=phase, facts=facts(lease=False))
        assert isinstance(found, Permitted), phase


def test_what_waits_is_checked_again_when_it_is_approved() -> None:
    terms: dict[str, Any] = {"policy": Approval.LOCAL, "approved": True}
    assert reason(ask(facts=facts(lease=False), **terms)) is Reason.INTERLOCK
    assert reason(ask(phase=Phase.IDLE, **terms)) is Reason.STATE
    assert reason(ask(disabled=("x",), **terms)) is Reason.CONTROL_DISABLED
    assert reason(ask(now_s=NOW.mono_s + 59.1, **terms)) is Reason.EXPIRED


def test_pending_runs_out_after_120_s_or_at_the_commands_expiry() -> None:
    asked = admitted()
    early = PendingCommands().hold(asked, NOW.mono_s)
    assert early.wake_at == asked.expires_at
    assert early.take(ID, early.wake_at)[1] is None
    long = Admitted(asked.command, asked.issuer, asked.signers, NOW.mono_s + 1e6, NOW)
    held = PendingCommands().hold(long, NOW.mono_s)
    assert held.wake_at == NOW.mono_s + 120
    assert held.take(ID, NOW.mono_s + 119.9) == (PendingCommands(), long)
    assert held.expire(NOW.mono_s + 119.9) == (held, ())
    assert held.expire(NOW.mono_s + 120) == (PendingCommands(), (long,))
    assert held.take("other", NOW.mono_s) == (held, None)


def test_only_so_many_wait() -> None:
    pending = PendingCommands()
    for _ in range(MAX_PENDING):
        assert not pending.full
        pending = pending.hold(admitted(), NOW.mono_s)
    assert pending.full


# --- state -----------------------------------------------------------------------------------


@pytest.mark.parametrize("phase", list(Phase))
def test_power_needs_arming(phase: Phase) -> None:
    found = ask(phase=phase)
    if phase in (Phase.ARMED, Phase.ACTIVE):
        assert isinstance(found, Permitted)
    else:
        assert reason(found) is Reason.STATE


@pytest.mark.parametrize("verb", ["mode", "reserve", "alarm_reset"])
def test_other_outputs_need_arming_too(verb: str) -> None:
    asked = admitted(command(verb, **_params(Verb(verb))))
    assert isinstance(ask(asked), Permitted)
    assert reason(ask(asked, phase=Phase.IDLE)) is Reason.STATE


def test_arm_begins_in_idle_only_and_when_the_watchdog_would() -> None:
    asked = admitted(command("arm"))
    for phase in Phase:
        found = ask(asked, phase=phase)
        if phase is Phase.IDLE:
            assert isinstance(found, Permitted)
        else:
            assert reason(found) is Reason.STATE
    assert reason(ask(asked, phase=Phase.IDLE, arm_refusal="lease too young")) is Reason.STATE


@pytest.mark.parametrize("phase", _SILENT)
def test_nothing_is_written_where_the_phase_forbids_it(phase: Phase) -> None:
    for verb in (Verb.IDLE, Verb.SETPOINT, Verb.RESERVE):
        asked = admitted(command(verb, **_params(verb)))
        assert reason(ask(asked, phase=phase)) is Reason.STATE


@pytest.mark.parametrize("phase", list(Phase))
@pytest.mark.parametrize("verb", ["idle", "disarm", "release", "estop"])
def test_while_something_is_in_force_what_takes_it_away_needs_neither_approval_nor_phase(
    verb: str, phase: Phase
) -> None:
    asked = admitted(command(verb), "guard-1" if verb == "estop" else "ops-1")
    terms: dict[str, Any] = {"phase": phase, "policy": Approval.MONITOR, "disabled": ("x",)}
    assert isinstance(ask(asked, in_force=True, **terms), Permitted)
    assert reason(ask(asked, in_force=False, **terms)) is Reason.CONTROL_DISABLED
    assert reason(ask(in_force=True, **terms)) is Reason.CONTROL_DISABLED, "power"


# --- interlocks and limits -------------------------------------------------------------------


def test_an_interlock_rejects_and_names_every_reason() -> None:
    found = ask(facts=facts({"BI1": True}, session=False))
    assert reason(found) is Reason.INTERLOCK
    assert isinstance(found, Rejected)
    assert "LOCKOUT" in found.text
    assert "SESSION" in found.text


def test_arming_needs_every_interlock() -> None:
    asked = admitted(command("arm"))
    assert reason(ask(asked, phase=Phase.IDLE, facts=facts({"BI1": True}))) is Reason.INTERLOCK


def test_a_commands_own_window_of_charge_counts() -> None:
    assert reason(ask(admitted(command(minSoc=50)))) is Reason.INTERLOCK
    assert isinstance(ask(admitted(command(minSoc=49))), Permitted)
    low = admitted(command(minSoc=5))
    assert reason(ask(low, facts=facts({"AI0": 9.0}))) is Reason.INTERLOCK


def test_a_command_in_kw_by_mistake_is_above_the_site_limit() -> None:
    assert reason(ask(admitted(command(powerW=750_000_000)))) is Reason.LIMIT


def test_above_the_site_limit_is_rejected_and_at_it_permitted() -> None:
    for power_w, most_w in ((1, 1_800_000), (-1, 1_500_000)):
        assert isinstance(ask(admitted(command(powerW=power_w * most_w))), Permitted)
        asked = admitted(command(powerW=power_w * (most_w + 1)))
        assert reason(ask(asked)) is Reason.LIMIT


def test_above_available_is_clamped_and_reported() -> None:
    found = ask(ceiling=Ceiling(1e5, 2e5))
    assert isinstance(found, Permitted)
    assert found.applied_w == 2e5
    assert found.warnings == ("clamped to 200000 W: what is available now",)


def test_a_duration_above_the_sites_maximum_is_rejected() -> None:
    assert isinstance(ask(admitted(command(durationS=14_400))), Permitted)
    assert reason(ask(admitted(command(durationS=14_401)))) is Reason.LIMIT


def test_too_many_power_commands_are_rejected_and_idle_never() -> None:
    rate = RateWindow().take(NOW.mono_s - 1)
    assert reason(ask(rate=rate)) is Reason.RATE
    assert isinstance(ask(admitted(command("idle")), rate=rate), Permitted)


def test_the_checks_come_in_the_order_of_the_contract() -> None:
    wrong: list[tuple[Reason, dict[str, Any]]] = [
        (Reason.CONTROL_DISABLED, {"disabled": ("x",)}),
        (Reason.APPROVAL, {"policy": Approval.DUAL}),
        (Reason.STATE, {"phase": Phase.IDLE}),
        (Reason.INTERLOCK, {"facts": facts(lease=False)}),
        (Reason.LIMIT, {}),
        (Reason.RATE, {"rate": RateWindow().take(NOW.mono_s)}),
    ]
    for at, (first, _) in enumerate(wrong):
        fields: dict[str, Any] = {}
        for _, changes in wrong[at:]:
            fields |= changes
        asked = admitted(command(powerW=750_000 if first is Reason.RATE else 9_000_000))
        assert reason(ask(asked, **fields)) is first
