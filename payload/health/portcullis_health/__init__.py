"""The health app: tells load balancers and people the truth about one gateway, whatever state that gateway is in."""

__version__ = "1.0.0"
