"""Configurations to audit: mistakes as people write them, sound ones, and how a file of several is taken apart."""
