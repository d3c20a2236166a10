"""What every host gets unless its group or the inventory says otherwise. docs/settings.md lists every key."""

preset = "auto"
