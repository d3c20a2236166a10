#!/bin/sh
# Turns a minimal Debian root file system into what the lab's hosts start from; runs inside it, as root.
set -eu
suite=$1

# What a cloud image has, and nothing of the product. debootstrap alone leaves only the main suite; the archive it was
# made from has the others beside it.
mirror=$(grep -rhoE 'https?://[^ ]*/debian' /etc/apt/sources.list /etc/apt/sources.list.d 2>/dev/null | head -n 1)
[ -n "$mirror" ] || { echo "no Debian archive is named in /etc/apt"; exit 1; }
rm -f /etc/apt/sources.list.d/*
cat > /etc/apt/sources.list <<LIST
deb $mirror $suite main
deb $mirror $suite-updates main
deb ${mirror%/debian}/debian-security $suite-security main
LIST

# Container images carry these to stop services and throw downloads away; a host must do neither.
rm -f /usr/sbin/policy-rc.d /etc/apt/apt.conf.d/docker-* /etc/dpkg/dpkg.cfg.d/docker*

# No kernel modules in a container: trixie's systemd reports itself degraded because of this one unit.
systemctl mask systemd-modules-load.service
systemctl enable ssh.service
systemctl set-default multi-user.target

# Each host makes keys of its own, as a cloud host does at its first boot.
rm -f /etc/ssh/ssh_host_*
cat > /etc/systemd/system/lab-ssh-keys.service <<UNIT
[Unit]
Description=SSH host keys of a new lab host
Before=ssh.service
ConditionPathExists=!/etc/ssh/ssh_host_ed25519_key
[Service]
Type=oneshot
ExecStart=/usr/bin/ssh-keygen -A
[Install]
WantedBy=multi-user.target
UNIT
systemctl enable lab-ssh-keys.service

# Debian already has a group of this name.
useradd --create-home --gid operator --shell /bin/bash operator
echo 'operator ALL=(ALL) NOPASSWD: ALL' > /etc/sudoers.d/operator
chmod 0440 /etc/sudoers.d/operator
for home in /root /home/operator; do install -d -m 0700 "$home/.ssh"; done
chown operator: /home/operator/.ssh

# An empty machine id is filled at boot; a baked-in one would be the same on every host.
: > /etc/machine-id
rm -f /var/lib/dbus/machine-id
rm -rf /var/cache/apt/archives/*.deb /var/lib/apt/lists/* /var/log/* /tmp/* /var/tmp/*
mkdir -p /var/log/journal
