"""bess-gateway: the box between a utility-scale battery's DNP3 controller and a cloud."""

__version__ = "0.1.0"
