"""Builds what the lab's mirror serves."""
