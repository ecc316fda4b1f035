"""A simulated battery behind an RTAC, as a DNP3 outstation."""
