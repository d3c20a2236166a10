#!/bin/sh
# user.sh NAME UID:GID HOME: the user with the host's numbers, because image and host share its files.
set -eu
name=$1 uid=${2%%:*} gid=${2##*:} home=$3
# Whoever has one of the numbers in the image makes room: of a base image nobody else runs here.
other=$(getent passwd "$uid" | cut -d : -f 1)
[ -z "$other" ] || [ "$other" = "$name" ] || userdel "$other"
other=$(getent group "$gid" | cut -d : -f 1)
[ -z "$other" ] || [ "$other" = "$name" ] || groupdel "$other"
if getent group "$name" >/dev/null; then groupmod -g "$gid" "$name"; else groupadd --system -g "$gid" "$name"; fi
if getent passwd "$name" >/dev/null; then
    usermod -u "$uid" -g "$gid" "$name"
else
    useradd --system -u "$uid" -g "$gid" --home-dir "$home" --no-create-home --shell /usr/sbin/nologin "$name"
fi
