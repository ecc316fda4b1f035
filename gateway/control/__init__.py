"""One asset under command: the watchdog, the dispatch and the operator put together. Pure."""
