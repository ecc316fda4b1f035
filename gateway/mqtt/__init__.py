"""The MQTT session, the daemon's and the cloud's: paho, dialling, causes."""
