#!/bin/sh
# gather.sh FOLDER: packs what this host has to reach package indexes with: sources, keys, proxies, authorities, logins.
# A build gets it as a secret, host.tar.gz in FOLDER, which is in no layer and no cache. FOLDER is for root alone.
set -eu
umask 022
tree=$1/tree
mkdir -p "$tree/apt" "$tree/home/.config" "$tree/keys"
# A link to nowhere is nothing for apt either.
cp -rpL /etc/apt/. "$tree/apt/" || true

# Keys lie where the build's own system has nothing, so they come with the sources that name them.
sources() { find "$tree/apt" -type f \( -name '*.list' -o -name '*.sources' \) -exec "$@" {} +; }
keys=$(sources sed -nE 's/.*(signed-by=|^Signed-By:)[[:space:]]*([^]]*).*/\2/Ip' | tr ', ' '\n' |
    grep '^/' | grep -v '^/etc/apt/' | sort -u || true)
for key in $keys; do
    [ -f "$key" ] || continue
    mkdir -p "$tree/keys${key%/*}"
    cp -L "$key" "$tree/keys$key"
    sources sed -i "s#$key#/host/keys$key#g"
done
sources sed -i 's#/etc/apt/#/host/apt/#g'
find "$tree/apt" -path '*/apt.conf*' -type f -exec sed -i 's#/etc/apt/#/host/apt/#g' {} +

# A program that chooses a proxy stays on the host, so it is asked here. Hooks are of packages the image does not have.
{
    echo '#clear Acquire::http::Proxy-Auto-Detect; #clear Acquire::https::Proxy-Auto-Detect;'
    for hook in DPkg::Pre-Invoke DPkg::Pre-Install-Pkgs DPkg::Post-Invoke APT::Update::Pre-Invoke \
        APT::Update::Post-Invoke APT::Update::Post-Invoke-Success; do
        echo "#clear $hook;"
    done
    # shellcheck disable=SC2016 # apt's own word
    for site in $(apt-get indextargets --format '$(SITE)' 2>/dev/null | sed -nE 's#^(https?://[^/]+).*#\1#p' | sort -u); do
        proxy=$(/usr/lib/apt/apt-helper auto-detect-proxy "$site/" 2>/dev/null |
            sed -n "s/^Using proxy '\([^']*\)'.*/\1/p")
        [ -z "$proxy" ] || [ "$proxy" = DIRECT ] || echo "Acquire::${site%%:*}::Proxy::${site#*//} \"$proxy\";"
    done
} >"$tree/apt/apt.conf.d/zz-portcullis"

for file in .npmrc .netrc .curlrc; do
    [ ! -f "/root/$file" ] || cp "/root/$file" "$tree/home/"
done
for folder in pip uv; do
    [ ! -d "/root/.config/$folder" ] || cp -r "/root/.config/$folder" "$tree/home/.config/"
done
[ ! -f /etc/pip.conf ] || cp /etc/pip.conf "$tree/"
[ ! -f /etc/uv/uv.toml ] || cp /etc/uv/uv.toml "$tree/"
cp -L /etc/ssl/certs/ca-certificates.crt "$tree/ca.crt"
export -p | grep -iE '^export ((https?|ftp|all|no)_proxy|(PIP|UV|NPM_CONFIG)_[A-Z_]+)=' >"$tree/environment" || true
tar -C "$tree" -czf "$1/host.tar.gz" .
rm -rf "$tree"
size=$(stat -c %s "$1/host.tar.gz")
# BuildKit's own limit for a secret.
[ "$size" -le 512000 ] || { echo "apt's folder and the authorities of this host are $((size / 1024)) KiB packed, and a build takes 500; remove sources and keys nobody uses from /etc/apt"; exit 1; }
