"""Rules of the uplink by which nothing is lost, and nobody is believed for another."""

from __future__ import annotations

from tests.mutants.mutant import Mutant

_UNHEARD = "tests/unit/uplink/test_unheard.py"
_BOUNDS = "tests/unit/uplink/test_bounds.py"
_BUNDLES = "tests/unit/uplink/test_bundles.py"

MUTANTS = (
    Mutant(
        "a record that nobody takes is kept where somebody took before",
        "gateway/uplink/unheard.py",
        "        if self.require is None and topic not in self._heard:",
        "        if self.require is None:",
        f"{_UNHEARD}::test_a_record_that_nobody_takes_is_kept_where_somebody_took_before",
    ),
    Mutant(
        "one record at a time asks whether somebody takes again",
        "gateway/uplink/shipper.py",
        "        self._unheard.sent(topic, now.mono_s)\n",
        "",
        f"{_UNHEARD}::test_one_record_at_a_time_asks_again_and_less_and_less_often",
    ),
    Mutant(
        "telemetry of a battery under control is not held",
        "gateway/uplink/waiting.py",
        "        return since_s if asset in self.unheld else since_s + self.hold_s",
        "        return since_s + self.hold_s",
        f"{_BUNDLES}::test_other_streams_and_assets_under_control_are_not_held",
    ),
    Mutant(
        "a quota blocks no topic",
        "gateway/uplink/shipper.py",
        "        if event.quota:  # no fault of the record's, or of its topic's",
        "        if False:",
        f"{_BOUNDS}::test_a_quota_slows_history_down_and_live_data_is_not_blocked_for_long",
    ),
    Mutant(
        "while power may flow a third of the lease bounds the wait for the broker",
        "gateway/mqtt/endings.py",
        "            return min(self.first_s, urgent_s)",
        "            pass",
        "tests/unit/mqtt/test_endings.py::"
        "test_while_power_may_flow_a_third_of_the_lease_bounds_the_wait_without_growth",
    ),
    Mutant(
        "a payload is believed on its own gateway's topics alone",
        "gateway/consumer/consumer.py",
        '        if message.get("gateway") != speaker:',
        "        if False:",
        "tests/unit/consumer/test_consumer.py::"
        "test_a_payload_on_the_topic_of_another_gateway_is_refused_and_counted",
    ),
)
