"""Questions about every component; nothing here names one."""
