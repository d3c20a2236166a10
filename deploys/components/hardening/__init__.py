"""Hardening of a host that can be undone: controls as data, area by area, and the component that asks for them."""
