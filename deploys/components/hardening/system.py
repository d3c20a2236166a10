"""Kernel modules and mounts that nothing here needs, dumps of memory, the console, and devices that people plug in."""

from __future__ import annotations

from deploys.components.hardening.controls import Control, Item, line, sysctl

MODPROBE = "man modprobe.d"
MOUNT = "man mount"


def modules(*names: str) -> list[Item]:
    """Modules that are not loaded, by nobody, and are not there now. Of a container they are the machine's."""
    found: list[Item] = []
    for name in names:
        found += [
            *line("modprobe", f"install {name} /bin/false", f"blacklist {name}"),
            {"kind": "module", "name": name, "when": {"machine": True}},
        ]
    return found


def mount(path: str, *options: str) -> list[Item]:
    return [{"kind": "mount", "path": path, "options": [*options]}]


CONTROLS = (
    Control(
        "modules-file-systems", "modules", "baseline", "file systems that nobody uses any more are not mounted",
        "A stick with a broken one gets into the kernel.", MODPROBE,
        lambda want: modules("cramfs", "freevxfs", "hfs", "hfsplus", "jffs2"),
        "1.1.1.1, 1.1.1.2, 1.1.1.3, 1.1.1.4, 1.1.1.5", "os-10",
    ),
    Control(
        "modules-udf", "modules", "strict", "DVDs are not mounted", "As before. Azure's machines need it.", MODPROBE,
        lambda want: modules("udf"), "1.1.1.8", "os-10",
    ),
    Control(
        "modules-protocols", "modules", "baseline", "protocols that nobody uses are not spoken",
        "Each had holes that gave root to any user.", MODPROBE, lambda want: modules("dccp", "tipc", "rds", "sctp"),
        "3.2.1, 3.2.2, 3.2.3, 3.2.4",
    ),
    Control(
        "usb-storage", "usb", "baseline", "disks and sticks that are plugged in are not used",
        "Who gets at the machine would copy it, or start something.", MODPROBE,
        lambda want: modules("usb-storage", "uas"), "1.1.1.9",
    ),
    Control(
        "usb-memory-access", "usb", "baseline", "devices on FireWire get no way into memory",
        "They would read keys out of it.", MODPROBE, lambda want: modules("firewire-core", "firewire-ohci"),
    ),
    Control(
        "mounts-shared-memory", "mounts", "baseline", "nothing is started from shared memory",
        "Every user may write there.", MOUNT, lambda want: mount("/dev/shm", "nosuid", "nodev", "noexec"),
        "1.1.2.2.2, 1.1.2.2.3, 1.1.2.2.4",
    ),
    Control(
        "mounts-temporary", "mounts", "baseline", "temporary files are no devices, and nobody becomes another by them",
        "Every user may write there.", MOUNT,
        lambda want: [*mount("/tmp", "nosuid", "nodev"), *mount("/var/tmp", "nosuid", "nodev")],
        "1.1.2.1.2, 1.1.2.1.3, 1.1.2.5.2, 1.1.2.5.3",
    ),
    Control(
        "mounts-homes", "mounts", "baseline", "there are no devices in homes", "Users may write there.", MOUNT,
        lambda want: mount("/home", "nosuid", "nodev"), "1.1.2.3.2, 1.1.2.3.3",
    ),
    Control(
        "dumps-none", "dumps", "baseline", "a program that dies leaves no copy of its memory",
        "Keys and passwords are in it.", "man limits.conf, coredump.conf",
        lambda want: [
            *line("limits", "* soft core 0", "* hard core 0", "root hard core 0"), *line("profile", "ulimit -c 0"),
            *line("coredump", "Storage=none", "ProcessSizeMax=0"),
            *sysctl(fs__suid_dumpable=0),
        ], "1.5.3", "sysctl-31a",
    ),
    Control(
        "console-restart", "console", "baseline", "three keys on the console do not restart the host",
        "Whoever reaches a keyboard could.", "man systemd.special, ctrl-alt-del.target",
        lambda want: [{"kind": "unit", "name": "ctrl-alt-del.target", "state": "masked"}],
    ),
)  # fmt: skip
