"""A dispatch application, the cloud's side of control: for platform engineers, demo and tests.

link = BrokerAccess("mqtt.example.com", 8883, ca, cert, key, client_id="dispatcher")
ops, pulse = load_signer(Path("ops-1.key"), "ops-1"), load_signer(Path("pulse.key"), "pulse-1")
with Dispatcher(link, gateway="gw-17", signers=(ops,), heartbeat=pulse) as dispatcher:
    dispatcher.ready("bess-1", within_s=10)
    sent = dispatcher.send("bess-1", "discharge", power_w=500_000, duration_s=900)
    dispatcher.wait_for(sent, {"executing"}, within_s=10)
"""
