"""What each code in acks, results, births and ``status`` means, in a sentence. Pure.

A platform shows these beside the code; bess-gateway-dispatch(8) has the same table.
"""

from __future__ import annotations

REJECTED = {
    "MALFORMED": "It is no JSON, or no JWS in the general serialization.",
    "TOO_LARGE": "It is larger than 16 KiB.",
    "RETAINED": "It was retained by the broker: nobody sent it now.",
    "SCHEMA": "Its claims are not those of bess.command/1.",
    "SIGNATURE": "A signature does not verify.",
    "UNKNOWN_KEY": "Its key is not in safety.toml.",
    "KEY_EXPIRED": "Its key is not valid yet, not valid any more, or revoked.",
    "ROLE": "Its key may not sign such a command.",
    "WRONG_GATEWAY": "It is for another gateway.",
    "WRONG_ASSET": "It is for another battery than its topic says.",
    "SESSION": "It was signed for an earlier start of the gateway: read birth, sign anew.",
    "CHALLENGE": "The challenge it quotes is not one of this start, or is too old.",
    "LIFETIME": "It would be valid for longer than 120 s.",
    "NOT_YET_VALID": "It is of the future: the signer's clock is ahead.",
    "EXPIRED": "It came too late.",
    "DUPLICATE": "A command with its id was there before.",
    "SEQUENCE": "Its number is not above the last of this issuer.",
    "MAP_DIGEST": "It was signed for another points map: read birth.",
    "SAFETY_DIGEST": "It was signed for another safety.toml: read birth.",
    "CONTROL_DISABLED": "Control of this battery is off: birth says why.",
    "APPROVAL": "It needs an approver's signature, or an operator's word, and has none.",
    "STATE": "The control state does not allow it now: arm first, or reset on the box.",
    "INTERLOCK": "A condition of the site does not hold.",
    "LIMIT": "It asks for more than the limits of the site or the battery allow now.",
    "PARAMS": "A parameter is missing or out of its range.",
    "RATE": "Commands come faster than safety.toml allows.",
    "UNSUPPORTED": "The points map or this battery cannot do it.",
}
ENDED = {
    "started": "The gateway was started.",
    "session": "The connection to the RTAC was lost for too long.",
    "lease": "The cloud did not answer challenges for a lease.",
    "duration": "Its time was over.",
    "interlock": "A condition of the site does not hold any more.",
    "limit": "The limits do not leave it any room.",
    "refused": "The RTAC refused the output.",
    "unknown_outcome": "The output was not answered and the echo does not show it.",
    "failed": "The echo or the measured power did not follow.",
    "restart": "The RTAC, or the gateway, was restarted.",
    "local": "The site has taken the control.",
    "remote": "The site has given the control back.",
    "resumed": "The RTAC took up an old setpoint of ours again.",
    "field_ended": "The site itself went to zero: dead-man, timer or operator.",
    "preempted": "Another master's setpoint is in force.",
    "unborn": "It ended before its first output.",
    "superseded": "A newer command took its place.",
    "duplicate": "It was there before.",
    "expired": "It came too late.",
    "params": "A parameter is out of its range.",
    "state": "The control state does not allow it.",
    "ordered": "A command or an operator ended it: the detail says which.",
    "verified": "Zero is verified.",
    "unverified": "Zero was ordered and could not be verified.",
    "stopping": "The gateway is being stopped.",
    "reload": "A reload changed what it rests on.",
    "disabled": "Control was switched off.",
}
INTERLOCKS = {
    "LEASE": "The cloud does not answer challenges.",
    "SESSION": "The connection to the RTAC is down.",
    "CRITICAL_POINT": "A point that control needs is not fresh and good.",
    "LOCAL": "The battery is in local control.",
    "AUTHORITY": "Somebody else has the authority over the battery.",
    "LOCKOUT": "The battery is locked out.",
    "ESTOP": "The battery's emergency stop is active.",
    "FAULT": "The battery reports a critical fault.",
    "BREAKER": "A breaker or contactor is open.",
    "MAP": "The points map is doubted.",
    "DEVICE_TROUBLE": "The outstation indicates trouble (IIN1.6).",
    "CONFIG_CORRUPT": "The outstation's configuration is corrupt (IIN2.5).",
    "DISK": "The gateway's disk does not take records.",
    "SOC": "The state of charge is unknown or at its limit.",
    "BASE": "What the percent of the setpoint are of is not good.",
}
CONTROL_OFF = {
    "APPROVAL_MONITOR": 'safety.toml says approval = "monitor".',
    "CLOCK_NOT_SANE": "The clock of the box cannot be right.",
    "COMMISSIONING": "A test of commissioning runs.",
    "CONTROL_LOG_LOST": "The audit log was damaged and set aside: reset after a look at the site.",
    "DEADMAN_TEST_EXPIRED": "The dead-man test is older than a year.",
    "DEADMAN_TEST_MISSING": "The dead-man test was not passed with this points map.",
    "DISABLED_BY_OPERATOR": "An operator switched control off on the box.",
    "MAP_REFUSES_CONTROL": "The points map lacks what control needs.",
    "MAP_UNMATCHED": "No points map matches the firmware.",
    "NO_APPROVER_KEY": "safety.toml asks for approvers and has no key of one.",
    "NO_DISPATCHER_KEY": "safety.toml has no valid key of a dispatcher.",
    "NO_HEARTBEAT_KEY": "safety.toml has no valid key for heartbeats.",
    "NO_DEADMAN": "The map has neither a dead-man nor a timer, and nobody took the risk.",
    "RTAC_TOO_SLOW": "The RTAC answers too slowly for the times of safety.toml.",
    "SAFETY_CONFIG_INVALID": "safety.toml has faults.",
    "SAFETY_CONFIG_MISSING": "There is no safety.toml.",
    "SAFETY_NOT_ACKNOWLEDGED": "Nobody acknowledged this safety.toml on the box.",
    "SIGN_TEST_MISSING": "The sign test was not passed with this points map.",
    "SUBSCRIPTION_REFUSED": "The broker lets this gateway hear no commands or heartbeats.",
}
SENTENCES = {**REJECTED, **ENDED, **INTERLOCKS, **CONTROL_OFF}


def sentence(code: str) -> str:
    """The sentence of ``code``, without its stop; "" for a code that is not ours."""
    return SENTENCES.get(code, "").rstrip(".")
