#!/bin/sh
# packages.sh [NAME[=VERSION]...]: bring what the base image has up to date, for that is of the day it was made on; and
# install Debian packages, in the version the host has where its sources still offer it.
set -eu
policy=/usr/sbin/policy-rc.d
# Nothing is to be started in a build.
[ -e $policy ] || { printf '#!/bin/sh\nexit 101\n' >$policy; chmod 0755 $policy; ours=1; }
apt-get -q update
apt-get -q -y --no-install-recommends -o Dpkg::Options::=--force-confold upgrade
count=$#
while [ "$count" -gt 0 ]; do
    wanted=$1 count=$((count - 1))
    shift
    # An archive drops a version when its successor comes; the host gets that too, and the image is built anew then.
    apt-cache madison "${wanted%%=*}" | awk '{ print $3 }' | grep -qxF "${wanted#*=}" || [ "$wanted" = "${wanted%%=*}" ] || {
        echo "the package sources no longer offer $wanted; the image gets what they offer"
        wanted=${wanted%%=*}
    }
    set -- "$@" "$wanted"
done
apt-get -q -y --no-install-recommends --allow-downgrades install "$@"
[ -z "${ours:-}" ] || rm $policy
rm -rf /var/log/apt /var/log/dpkg.log /var/cache/ldconfig/aux-cache /var/cache/debconf/*-old
